# SPDX-License-Identifier: BSD-3-Clause
"""Oldstyle, newstyle that is not fixed, and servers without LIST, INFO or GO: clients see a modern one."""
import struct

import pytest

from nbdtest import wire
from nbdtest.formats import all_clients
from nbdtest.rawclient import Closed
from nbdtest.rawserver import ModelUpstream

ALLOCATION = "base:allocation"
OLD = {
    "oldstyle": {"oldstyle": True},
    "not_fixed": {"handshake_flags": 0},
    "not_fixed_no_zeroes": {"handshake_flags": 2},
    "fixed_with_zeroes": {"handshake_flags": 1, "lacks": (wire.GO, wire.INFO)},
    "no_go": {"lacks": (wire.GO, wire.INFO)},
    "nothing_since_2011": {"lacks": (wire.GO, wire.INFO, wire.LIST, wire.STRUCTURED_REPLY,
                                     wire.SET_META, wire.LIST_META)},
}
old = pytest.mark.parametrize("upstream", OLD.values(), ids=OLD.keys())
not_fixed = pytest.mark.parametrize("upstream", [OLD["not_fixed"], OLD["not_fixed_no_zeroes"]],
                                    ids=["zeroes", "no_zeroes"])
oldstyle = pytest.mark.parametrize("number", [wire.GO, wire.INFO], ids=["go", "info"])


def works(c):
    assert c.write(4096, b"w" * 1000) == 0
    assert c.read(4000, 2000) == bytes(96) + b"w" * 1000 + bytes(904)
    assert c.call(wire.WRITE_ZEROES, 4096, 500) == 0
    assert c.read(4096, 1000) == bytes(500) + b"w" * 500
    assert c.call(wire.FLUSH) == 0


@old
@all_clients
def test_a15_a17_go(stage, upstream, client):
    s = stage(overrides=upstream)
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.agree(client)
        told = c.go(infos=[wire.INFO_NAME], number=wire.INFO)
        export = c.go(infos=[wire.INFO_NAME])
        assert export == told
        assert export.size == s.upstream.size and export.flags & wire.HAS_FLAGS
        assert export.infos.get(wire.INFO_NAME, b"") == b""
        works(c)
        c.disconnect()
    assert s.upstream.requests()[-1].command == wire.DISC
    s.upstream.wait_no_connection()


@old
@pytest.mark.parametrize("flags, padding", [(0, 124), (1, 124), (3, 0)])
def test_a15_a17_export_name(stage, upstream, flags, padding):
    s = stage(overrides=upstream)
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet(flags)
        c.send(wire.option(wire.EXPORT_NAME))
        size, transmission = struct.unpack(">QH", c.receive(10))
        assert size == s.upstream.size and transmission & wire.HAS_FLAGS
        assert c.receive(padding) == bytes(padding)
        works(c)
        c.disconnect()


@old
def test_a15_a17_list_shows_an_export(stage, upstream):
    s = stage(overrides=upstream)
    c = s.client()
    c.greet()
    replies = c.option(wire.LIST)
    assert replies[-1].kind == wire.ACK
    assert [r.payload[4:4 + struct.unpack(">I", r.payload[:4])[0]] for r in replies[:-1]] == [b""]
    c.go()
    works(c)


@old
@pytest.mark.parametrize("name", ["", "disk"])
def test_a15_a17_name_of_the_uri(model, start_proxy, raw, upstream, name):
    """Where the URI names an export, the empty name means that one."""
    u = model(ModelUpstream, **upstream)
    proxy = start_proxy(u.uri.replace("///", f"///{name}"))
    if name and u.oldstyle:  # such a server has no names: the URI cannot mean it
        c = raw(proxy.address)
        c.greet()
        assert c.option(wire.GO, wire.info_data(""))[-1].kind & wire.ERROR_BIT
        assert c.alive()
        return
    c = raw(proxy.address)
    c.start()
    works(c)
    asked = u.options(wire.EXPORT_NAME)
    assert u.oldstyle or asked[-1] == name.encode()


@pytest.mark.parametrize("number", [wire.GO, wire.INFO], ids=["go", "info"])
def test_a15_oldstyle_has_one_name_only(stage, number):
    s = stage(overrides={"oldstyle": True})
    with s.proxy.ends("client-disc", "refused-export"):
        c = s.client()
        c.greet()
        assert c.final(number, wire.info_data("other")) == wire.ERR_UNKNOWN
        assert c.alive()
        c.go()
        works(c)
        c.disconnect()
        c = s.client()
        c.greet()
        c.send(wire.option(wire.EXPORT_NAME, b"other"))
        c.expect_close()


@pytest.mark.parametrize("reserved", [1, 0x8000, 0xFFFF])
def test_a16_reserved_flags_of_oldstyle(stage, reserved):
    s = stage(overrides={"oldstyle": True, "oldstyle_reserved": reserved})
    with s.proxy.ends("client-disc"):
        c = s.client()
        export = c.start()
        assert export.size == s.upstream.size
        assert not export.flags & (wire.SEND_DF | wire.SEND_RESIZE | 0xE000)
        works(c)
        c.disconnect()


@pytest.mark.parametrize("flags", [0, wire.HAS_FLAGS, wire.HAS_FLAGS | wire.READ_ONLY,
                                   0xFFFF & ~wire.READ_ONLY])
def test_a16_flags_of_oldstyle(stage, flags):
    """Servers of before 2011 send none at all: reading and writing is what they can do."""
    s = stage(overrides={"oldstyle": True, "flags": flags})
    c = s.client()
    told = c.start().flags
    assert told & wire.HAS_FLAGS
    assert bool(told & wire.READ_ONLY) == bool(flags & wire.READ_ONLY)
    assert not told & (wire.SEND_DF | wire.SEND_RESIZE | wire.STATUS_PAYLOAD | 0xE000)
    assert c.read(0, 512) == bytes(512)
    if flags & wire.READ_ONLY:
        assert c.write(0, b"w" * 512) == wire.EPERM
    else:
        assert c.write(0, b"w" * 512) == 0 and c.read(0, 512) == b"w" * 512


class KnowsOne(ModelUpstream):
    """Closes on EXPORT_NAME of an export that it does not know."""
    exports = {"known": ""}


@not_fixed
@pytest.mark.parametrize("number", [wire.GO, wire.INFO], ids=["go", "info"])
def test_a17_unknown_export_is_an_error_and_not_the_end(stage, upstream, number):
    s = stage(KnowsOne, upstream)
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        for _ in range(3):
            assert c.final(number, wire.info_data("unknown")) == wire.ERR_UNKNOWN
        assert c.alive()
        c.go("known")
        works(c)
        c.disconnect()


@not_fixed
def test_a17_unknown_export_by_export_name(stage, upstream):
    s = stage(KnowsOne, upstream)
    with s.proxy.ends("refused-export"):
        c = s.client()
        c.greet()
        c.send(wire.option(wire.EXPORT_NAME, b"unknown"))
        c.expect_close()
    s.upstream.wait_no_connection()


@not_fixed
@all_clients
def test_a17_info_then_go(stage, upstream, client):
    """INFO has to open the export to learn of it; the GO behind it has one of its own, or the same."""
    s = stage(overrides=upstream)
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.agree(client)
        for _ in range(3):
            assert c.go(number=wire.INFO).size == s.upstream.size
        c.go()
        works(c)
        c.disconnect()
    s.upstream.wait_no_connection()


@old
def test_a17_info_and_abort_leave_nothing_upstream(stage, upstream):
    s = stage(overrides=upstream)
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        c.go(number=wire.INFO)
        c.abort()
    s.upstream.wait_no_connection()
    # An oldstyle server's flags are tried with a FLUSH before they are believed.
    tried = [wire.FLUSH] if s.upstream.oldstyle else []
    assert [r.command for r in s.upstream.requests() if r.command != wire.DISC] == tried


@not_fixed
def test_a17_name_that_export_name_cannot_say(stage, upstream):
    """4096 bytes are a name; the scripted upstream knows them all."""
    s = stage(overrides=upstream)
    c = s.client()
    c.greet()
    c.go("n" * 4096)
    assert s.upstream.options(wire.EXPORT_NAME)[-1] == b"n" * 4096


class AnswersShort(ModelUpstream):
    """Answers EXPORT_NAME with some of what it should say, and then `then(c)`."""
    handshake_flags = 0
    bytes_of_it = 0
    closes = False

    def answer_export_name(self, c, name):
        whole = struct.pack(">QH", self.size, self.flags) + (b"" if c.no_zeroes else bytes(124))
        c.send(whole[:self.bytes_of_it])
        if not self.closes:
            c.wait_closed()
        return True

    def transmit(self, c):
        c.close()


@pytest.mark.parametrize("flags, sent", [(0, 1), (0, 8), (0, 10), (0, 133), (2, 9)])
@pytest.mark.parametrize("closes", [False, True], ids=["stalls", "closes"])
def test_a17_export_name_answered_in_part(stage, flags, sent, closes):
    """134 bytes, or 10: one too few is no export."""
    s = stage(AnswersShort, {"handshake_flags": flags, "bytes_of_it": sent, "closes": closes},
              connect_timeout="1s")
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        assert c.final(wire.GO, wire.info_data("")) in (wire.ERR_PLATFORM, wire.ERR_UNKNOWN)
        assert c.alive()
        c.abort()
    s.upstream.wait_no_connection()


@not_fixed
def test_a17_padding_that_is_not_zero(stage, upstream):
    """It is reserved: nobody looks at it, and what follows is not shifted."""
    class Padded(ModelUpstream):
        def answer_export_name(self, c, name):
            c.send(struct.pack(">QH", self.size, self.flags), b"" if c.no_zeroes else b"\xff" * 124)
            return True

    s = stage(Padded, upstream)
    c = s.client()
    c.start()
    works(c)


class OldGreeting(ModelUpstream):
    """Sends a prepared greeting, then behaves, or closes."""
    oldstyle = True
    words = b""
    closes = False

    def greet(self, c):
        c.send(self.words)
        if self.closes:
            c.close()


def greeting(size=1 << 20, flags=1, tail=bytes(124)):
    return wire.NBDMAGIC + struct.pack(">QQI", wire.OLDSTYLE, size, flags) + tail


@pytest.mark.parametrize("size", [1 << 63, (1 << 63) + 512, 2**64 - 1])
@oldstyle
def test_g132_oldstyle_size_above_2_63(stage, size, number):
    s = stage(OldGreeting, {"words": greeting(size)}, connect_timeout="1s")
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        reply = c.option(number, wire.info_data(""))[-1]
        assert reply.kind == wire.ERR_PLATFORM and reply.payload
        c.abort()
    s.upstream.wait_no_connection()


@pytest.mark.parametrize("size", [0, 1, 511, 2**63 - 1])
def test_g132_odd_sizes_of_oldstyle(stage, size):
    s = stage(overrides={"oldstyle": True, "size": size})
    c = s.client()
    assert c.start().size == size
    assert c.read(size, 1) == wire.EINVAL
    assert c.write(size, b"e") == wire.ENOSPC


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 15, 16, 17, 23, 24, 27, 28, 29, 100, 151])
@pytest.mark.parametrize("closes", [False, True], ids=["stalls", "closes"])
def test_a15_oldstyle_greeting_cut(stage, cut, closes):
    s = stage(OldGreeting, {"words": greeting()[:cut], "closes": closes}, connect_timeout="700ms")
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
        assert c.alive()
        c.abort()
    s.upstream.wait_no_connection()


def test_a15_oldstyle_greeting_byte_by_byte(stage):
    class Slow(ModelUpstream):
        oldstyle = True

        def greet(self, c):
            for n in self.old_greeting():
                c.send(bytes([n]))

    s = stage(Slow)
    c = s.client()
    c.start()
    works(c)


@pytest.mark.parametrize("extra", [b"\0", b"\0" * 8, wire.simple_reply(0), b"junk" * 4096],
                         ids=["byte", "zeroes", "reply", "junk"])
def test_g146_bytes_behind_an_oldstyle_greeting(stage, extra):
    """Transmission has begun, in which nobody speaks unasked."""
    s = stage(OldGreeting, {"words": greeting() + extra}, io_timeout="1s")
    with s.proxy.ends("upstream-breach"):
        c = s.client()
        c.greet()
        try:
            assert c.option(wire.GO, wire.info_data(""))[-1].kind == wire.ACK
            c.request(wire.READ, 0, 512)
            assert c.reply(512).error == wire.EIO
        except Closed:
            pass
        assert c.drain() == b""
    s.upstream.wait_no_connection()


def test_a15_oldstyle_dies_with_a_read_in_flight(stage):
    class Dies(ModelUpstream):
        oldstyle = True

        def on_read(self, c, r):
            c.send(wire.simple_reply(r.cookie) + bytes(100))
            c.close()

    s = stage(Dies)
    with s.proxy.ends("upstream-lost"):
        c = s.client()
        c.start(fmt="extended")
        c.request(wire.READ, 0, 512)
        try:
            assert c.either()[0] == wire.EIO
        except Closed:
            pass
        c.drain()


def test_g138_chunk_of_an_oldstyle_server(stage):
    """Whatever the client speaks, this upstream has agreed to nothing."""
    class Modern(ModelUpstream):
        oldstyle = True

        def on_read(self, c, r):
            c.send(wire.chunk(r.cookie, wire.OFFSET_DATA, struct.pack(">Q", r.offset)
                              + bytes(r.length)))

    s = stage(Modern)
    with s.proxy.ends("upstream-breach"):
        c = s.client()
        c.start(structured=True)
        c.request(wire.READ, 0, 512)
        try:
            assert c.either()[0] == wire.EIO
        except Closed:
            pass
        c.drain()


@pytest.mark.parametrize("upstream", [OLD["oldstyle"], OLD["not_fixed"]], ids=["oldstyle", "not_fixed"])
def test_e95_fast_zero_over_old_servers(stage, upstream):
    """No WRITE_ZEROES: zeroes are written, and FAST_ZERO is refused without a byte upstream."""
    s = stage(overrides={**upstream, "flags": wire.HAS_FLAGS | wire.SEND_FLUSH})
    s.upstream.disk[:] = b"\xaa" * s.upstream.size
    c = s.client()
    flags = c.start().flags
    assert flags & wire.SEND_WRITE_ZEROES and flags & wire.SEND_FAST_ZERO
    assert c.call(wire.WRITE_ZEROES, 0, 65536, wire.FAST_ZERO) == wire.ENOTSUP
    assert s.upstream.disk == b"\xaa" * s.upstream.size
    assert c.call(wire.WRITE_ZEROES, 512, 65536) == 0
    assert s.upstream.disk[512:66048] == bytes(65536) and s.upstream.disk[66048] == 0xAA
