# SPDX-License-Identifier: BSD-3-Clause
"""Somebody between the peers who speaks plaintext before TLS: what he says must not count, on either side."""
import struct
import time

import pytest

from nbdtest import wire
from nbdtest.rawserver import ModelUpstream
from nbdtest.tls import TlsSocket
from tls_world import GREETED, STARTTLS, the_line

GO = wire.option(wire.GO, wire.info_data(""))
SLIPPED_IN = {
    "go": GO, "structured": wire.option(wire.STRUCTURED_REPLY),
    "set_meta": wire.option(wire.SET_META, wire.meta_data("", ["base:allocation"])),
    "export_name": wire.option(wire.EXPORT_NAME), "abort": wire.option(wire.ABORT),
    "starttls": STARTTLS, "junk": b"x", "half": GO[:10],
}
DELAYS = [0, 0.001, 0.01, 0.1]


# Clients' side -------------------------------------------------------------------------


@pytest.mark.parametrize("slipped", SLIPPED_IN)
@pytest.mark.parametrize("tls,tcp", [("require", None), ("allow", "127.0.0.1")], ids=["require", "allow"])
def test_c55_plaintext_behind_starttls(stage, world, slipped, tls, tcp):
    """In the same segment: not even the ACK is sent."""
    s = stage(listen=world.listen(tls), tcp=tcp)
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.greet()
        c.send(STARTTLS + SLIPPED_IN[slipped])
        c.expect_close()
    assert "plaintext behind STARTTLS" in the_line(s.proxy, "client: ")
    assert not s.upstream.accepted


@pytest.mark.parametrize("slipped", ["go", "junk"])
def test_c55_plaintext_behind_starttls_and_all_of_it_behind_the_flags(stage, world, slipped):
    s = stage(listen=world.listen())
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.receive(18)
        c.send(GREETED + STARTTLS + SLIPPED_IN[slipped])
        c.expect_close()


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("slipped", ["go", "structured", "set_meta", "junk"])
def test_c55_plaintext_in_the_next_segment(stage, world, slipped, delay):
    """Before the ACK is read: to TLS it is no TLS. Nobody gets an answer in plaintext."""
    s = stage(listen=world.listen("allow"))
    c = s.client()
    c.greet()
    c.send(STARTTLS)
    time.sleep(delay)
    c.send(SLIPPED_IN[slipped])
    if slipped == "junk":  # which may begin a record: the victim's hello follows it
        c.send(TlsSocket(c.sock, world.client).hello())
    left = c.drain()
    ack = wire.option_reply(wire.STARTTLS, wire.ACK)
    assert left in (b"", ack) or (left[:20] == ack and left[20] == 0x15 and len(left) == 27), left
    assert set(s.proxy.endings()) <= {"client-breach", "client-tls-failed"}
    assert len(s.proxy.endings()) == 1 and not s.upstream.accepted


@pytest.mark.parametrize("at", [1, 15])
def test_c55_plaintext_behind_a_cut_starttls(stage, world, at):
    s = stage(listen=world.listen())
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.greet()
        c.send(STARTTLS[:at])
        time.sleep(0.05)
        c.send(STARTTLS[at:] + GO)
        c.expect_close()
    assert not s.upstream.accepted


def test_c56_hello_behind_starttls(stage, world):
    """A client that does not wait for the ACK is one that may be spoken for: refused, as documented."""
    s = stage(listen=world.listen())
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.greet()
        c.send(STARTTLS + TlsSocket(c.sock, world.client).hello())
        c.expect_close()
    assert "plaintext behind STARTTLS" in the_line(s.proxy, "client: ")


@pytest.mark.parametrize("before", ["structured", "extended"])
def test_c57_formats_do_not_survive(stage, world, before):
    s = stage(listen=world.listen("allow"), overrides={"has_extended": True})
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.agree(before)
        assert c.set_meta("", ["base:allocation"])
        c.starttls(world.client)
        c.go()
        c.send(wire.request(wire.READ, 0, 512, cookie=1))
        assert c.reply(512).error == 0
        assert c.call(wire.BLOCK_STATUS, 0, 512) == wire.EINVAL
        c.disconnect()
    assert s.upstream.formats[-1] == "simple" or not s.upstream.connections[-1].contexts
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.agree(before)
        c.starttls(world.client)
        c.agree(before)  # a second time it would be refused
        (number,) = c.set_meta("", ["base:allocation"]).values()
        c.go()
        assert c.status(0, 512) == {number: [(512, 0)]}
        c.disconnect()


def test_c57_contexts_do_not_survive(stage, world):
    s = stage(listen=world.listen("allow"))
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.structured()
        assert c.set_meta("", ["base:allocation"])
        c.starttls(world.client)
        c.structured()
        c.go()
        assert c.status(0, 512) == wire.EINVAL
        c.disconnect()


def test_c57_nor_does_the_connection_upstream(stage, world):
    """Whoever spoke in plaintext may have had it say anything."""
    s = stage(listen=world.listen("allow"))
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.structured()
        assert c.final(wire.INFO, wire.info_data("")) == wire.ACK
        assert s.upstream.accepted == 1
        c.starttls(world.client)
        c.go()
        assert s.upstream.accepted == 2
        c.disconnect()


def test_c58_what_was_learnt_before_is_asked_again(stage, world):
    s = stage(listen=world.listen("allow"), overrides={"exports": {"": "", "old": "old words"}})
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        assert b"old words" in b"".join(r.payload for r in c.option(wire.LIST))
        (info, _) = c.option(wire.INFO, wire.info_data(""))
        assert struct.unpack(">Q", info.payload[2:10])[0] == s.upstream.size
        s.upstream.size //= 2
        s.upstream.exports = {"": "", "new": ""}
        c.starttls(world.client)
        assert c.go().size == s.upstream.size
        assert s.upstream.accepted == 2, "the answer came from a connection that plaintext had the use of"
        c.disconnect()
        c = s.client(tls=world.client)
        c.greet()
        c.starttls()
        names = b"".join(r.payload for r in c.option(wire.LIST))
        assert b"new" in names and b"old" not in names
    assert len(s.upstream.options(wire.LIST)) == 2


def test_c58_nor_a_failure(stage, world):
    """An upstream that was not reached is not dialled again for a while: that, too, is of before."""
    class Closes(ModelUpstream):
        def greet(self, c):
            if self.accepted == 1:
                c.close()
            super().greet(c)

    s = stage(Closes, listen=world.listen("allow"))
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
        c.starttls(world.client)
        c.go()
        c.disconnect()


# Upstream's side -----------------------------------------------------------------------

INFO = struct.pack(">HQH", wire.INFO_EXPORT, 4096, wire.HAS_FLAGS)
INJECTED = {
    "info_and_ack": wire.option_reply(wire.GO, wire.REP_INFO, INFO) + wire.option_reply(wire.GO, wire.ACK),
    "error": wire.option_reply(wire.GO, wire.ERR_UNKNOWN, b"injected"),
    "second_ack": wire.option_reply(wire.STARTTLS, wire.ACK),
    "junk": b"x", "list": wire.option_reply(wire.LIST, wire.SERVER, wire.string("injected")),
}


class Injects(ModelUpstream):
    """Its ACK is followed by somebody's words, at once or later; then it would be a good server."""
    injected = b""
    delay = None

    def starttls(self, c):
        ack = wire.option_reply(wire.STARTTLS, wire.ACK)
        if self.delay is None:
            c.send(ack + self.injected)
        else:
            c.send(ack)
            time.sleep(self.delay)
            c.send(self.injected)
        c.starttls(self.tls)


def expect_unreachable(s, *words):
    """GO gets a clean error, and the client may go on; one line tells the operator."""
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        reply = c.option(wire.GO, wire.info_data("export"))[-1]
        assert reply.kind == wire.ERR_PLATFORM and b"injected" not in reply.payload, reply
        assert reply.payload.decode().isprintable() and b"main" in reply.payload
        assert c.alive()
        c.abort()
    line = the_line(s.proxy, "upstream: ")
    assert " main/" in line and all(word in line for word in words), line
    s.upstream.wait_no_connection()
    return reply


@pytest.mark.parametrize("injected", INJECTED)
def test_c59_plaintext_behind_the_ack(stage, world, injected):
    """In the same segment: not even a hello is sent."""
    s = stage(Injects, {"tls": world.serving, "injected": INJECTED[injected]}, **world.upstream())
    expect_unreachable(s, "bytes behind STARTTLS", s.upstream.path)
    assert s.upstream.accepted == 1
    assert s.upstream.connections[0].plain == GREETED + STARTTLS


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("injected", ["info_and_ack", "error", "junk"])
def test_c59_plaintext_in_the_next_segment(stage, world, injected, delay):
    s = stage(Injects, {"tls": world.serving, "injected": INJECTED[injected], "delay": delay},
              **world.upstream(connect_timeout="2s"))
    expect_unreachable(s, "TLS")
    assert s.upstream.accepted == 1 and not s.upstream.options(wire.GO)


def test_c59_export_name_is_closed(stage, world):
    s = stage(Injects, {"tls": world.serving, "injected": INJECTED["info_and_ack"]}, **world.upstream())
    with s.proxy.ends("upstream-unreachable"):
        c = s.client()
        c.greet()
        c.send(wire.option(wire.EXPORT_NAME, b"export"))
        c.expect_close()


class Answers(ModelUpstream):
    """Answers STARTTLS with `answer`, and would serve all else in plaintext."""
    answer = b""

    def option(self, c, number, data):
        if number != wire.STARTTLS:
            return super().option(c, number, data)
        c.send(self.answer)
        return False


class Leaves(ModelUpstream):
    def starttls(self, c):
        c.close()


def refusal(error, text=b"because"):
    return {"answer": wire.option_reply(wire.STARTTLS, error, text)}


DOWNGRADES = {
    "oldstyle": (ModelUpstream, {"oldstyle": True}, "oldstyle", b""),
    "not-fixed": (ModelUpstream, {"handshake_flags": 0}, "not fixed", b""),
    "not-fixed-no-zeroes": (ModelUpstream, {"handshake_flags": 2}, "not fixed", b""),
    "unsup": (Answers, refusal(wire.ERR_UNSUP), "ERR_UNSUP", STARTTLS),
    "policy": (Answers, refusal(wire.ERR_POLICY), "because", STARTTLS),
    "invalid": (Answers, refusal(wire.ERR_INVALID, b"\x1b[31mbad\n"), "ERR_INVALID", STARTTLS),
    "tls-required": (Answers, refusal(wire.ERR_TLS_REQD), "ERR_TLS_REQD", STARTTLS),
    "ack-with-data": (Answers, refusal(wire.ACK, b"data"), "", STARTTLS),
    "ack-of-go": (Answers, {"answer": wire.option_reply(wire.GO, wire.ACK)}, "", STARTTLS),
    "info": (Answers, {"answer": wire.option_reply(wire.STARTTLS, wire.REP_INFO, INFO)}, "", STARTTLS),
    "server": (Answers, {"answer": wire.option_reply(wire.STARTTLS, wire.SERVER, b"\0\0\0\0")}, "",
               STARTTLS),
    "long-ack": (Answers, {"answer": wire.option_reply(wire.STARTTLS, wire.ACK, length=1 << 31)}, "",
                 STARTTLS),
    "leaves": (Leaves, {}, "", STARTTLS),
}


@pytest.mark.parametrize("case", DOWNGRADES)
def test_c60_no_downgrade(stage, world, case):
    """Not a byte but STARTTLS, and one attempt only."""
    kind, overrides, words, said = DOWNGRADES[case]
    s = stage(kind, {"tls": world.serving, **overrides}, **world.upstream(connect_timeout="2s"))
    expect_unreachable(s, words)
    assert s.upstream.accepted == 1
    plain = bytes(s.upstream.connections[0].plain)
    if said:
        assert plain == GREETED + said
    else:  # perhaps flags, which tell nothing
        assert plain in (b"", struct.pack(">I", overrides.get("handshake_flags", 0))), plain
    assert "\x1b" not in s.proxy.log()


@pytest.mark.parametrize("case", ["oldstyle", "unsup", "leaves"])
def test_c60_no_downgrade_of_export_name_and_list(stage, world, case):
    kind, overrides, _, said = DOWNGRADES[case]
    s = stage(kind, {"tls": world.serving, **overrides}, **world.upstream(connect_timeout="2s"))
    with s.proxy.ends("upstream-unreachable"):
        c = s.client()
        c.greet()
        c.option(wire.LIST)
        c.send(wire.option(wire.EXPORT_NAME, b"export"))
        c.expect_close()
    for c in s.upstream.connections:
        assert bytes(c.plain) in (GREETED + said, said, b""), c.plain


def test_c60_plaintext_upstream_that_demands_tls(servers, model, start_proxy, raw, bystander, world):
    """The other way about: nbd:// is not turned into TLS behind the administrator's back."""
    upstream = model(ModelUpstream, tls=world.serving)
    proxy = start_proxy({"main": upstream.uri.replace("nbds", "nbd"),
                         "good": servers.nbdkit("memory", "1M").uri})
    bystander(proxy.listens["good"].address)
    c = raw(proxy.address)
    c.greet()
    reply = c.option(wire.GO, wire.info_data(""))[-1]
    assert reply.kind not in (wire.ACK, wire.ERR_TLS_REQD) and c.alive()
    assert "nbds://" in the_line(proxy, "upstream: ", "TLS")
    assert not upstream.options(wire.STARTTLS)


def test_c61_starttls_is_first(stage, world):
    """No name, no format, nothing before TLS; and behind it all as ever."""
    s = stage(overrides={"tls": world.serving, "has_extended": True}, **world.upstream())
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start("secret-name", fmt="extended", queries=["base:allocation"])
        assert c.write(0, b"t" * 4096) == 0 and c.read(0, 4096) == b"t" * 4096
        c.disconnect()
    (there,) = s.upstream.connections
    assert bytes(there.plain) == GREETED + STARTTLS
    assert [e[1] for e in s.upstream.events if e[0] == "option"][0] == wire.STARTTLS
    assert s.upstream.options(wire.GO)[0][4:15] == b"secret-name"
    assert s.upstream.formats == ["extended"]
    s.upstream.wait_no_connection()


@pytest.mark.parametrize("name,sni", [("localhost", "localhost"), ("127.0.0.1", None), (None, None)])
def test_c61_name_in_the_hello(stage, world, name, sni):
    """The server is told which name we expect, where that is a name."""
    asked = []
    context = world.context_that_notes(asked)
    s = stage(overrides={"tls": context, "tcp": "127.0.0.1"}, tls_certificates=world.trust,
              **({"tls_hostname": name} if name else {}))
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start()
        c.disconnect()
    assert asked == [sni]
