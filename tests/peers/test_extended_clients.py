# SPDX-License-Identifier: BSD-3-Clause
"""Clients that have agreed to extended headers and do not keep to them, or use all of their 64 bits."""
import pytest

from nbdtest import wire
from nbdtest.rawclient import Closed
from nbdtest.rawserver import ModelUpstream

SIZE = ModelUpstream.size
PAYLOAD = wire.PAYLOAD_LEN
MIB = wire.MIB
NO_PAYLOAD = {"read": wire.READ, "flush": wire.FLUSH, "trim": wire.TRIM, "cache": wire.CACHE,
              "write_zeroes": wire.WRITE_ZEROES, "block_status": wire.BLOCK_STATUS,
              "unknown": 0x99}
without_payload = pytest.mark.parametrize("command", NO_PAYLOAD.values(), ids=NO_PAYLOAD.keys())


@pytest.fixture(params=["simple", "structured", "extended"])
def extended(request, stage):
    """(stage, client): an extended client over each kind of upstream."""
    s = stage(overrides={"has_structured": request.param != "simple",
                         "has_extended": request.param == "extended"})
    c = s.client()
    c.start(fmt="extended", queries=["base:allocation"])
    return s, c


def still_served(s, c):
    """The framing is intact: the next request is served, and the session ends well."""
    with s.proxy.ends("client-disc"):
        assert c.write(4096, b"s" * 512) == 0
        assert c.read(4096, 512) == b"s" * 512
        c.disconnect()


@pytest.mark.parametrize("magic", [wire.REQUEST, 0, wire.EXTENDED], ids=["compact", "zero", "reply"])
def test_d76_magic_that_was_not_agreed(stage, magic):
    s = stage()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.start(fmt="extended")
        c.send(wire.extended_request(wire.READ, 0, 512, magic=magic))
        c.expect_close()
    assert not s.upstream.requests(wire.READ)


def test_d76_a_whole_compact_request(stage):
    """28 bytes, four too few for a header: they say enough, and nobody waits for the rest."""
    s = stage(io_timeout="1s")
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.start(fmt="extended")
        c.send(wire.request(wire.READ, 0, 512) + wire.request(wire.READ, 0, 512))
        c.expect_close()
    assert not s.upstream.requests(wire.READ)


@pytest.mark.parametrize("fmt", ["simple", "structured"])
def test_d76_extended_request_of_a_compact_client(stage, fmt):
    s = stage()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.start(fmt=fmt)
        c.send(wire.extended_request(wire.READ, 0, 512))
        c.expect_close()
    assert not s.upstream.requests(wire.READ)


@without_payload
@pytest.mark.parametrize("length", [1, 12, 512, 65536, (32 << 20) + 1, 64 << 20])
def test_d78_payload_where_there_is_none(stage, command, length):
    """The payload is gracefully consumed, and the command fails (ext: PAYLOAD_LEN)."""
    s = stage()
    c = s.client(timeout=20)
    c.start(fmt="extended", queries=["base:allocation"])
    c.request(command, 0, length, PAYLOAD, b"p" * length)
    assert c.either()[0] == wire.EINVAL
    assert not s.upstream.requests()
    still_served(s, c)


@without_payload
@pytest.mark.parametrize("length", [(64 << 20) + 1, 2**32 - 1, 2**32 + 512, 2**63, 2**64 - 1])
def test_d78_payload_too_long_to_be_drained(stage, command, length):
    s = stage()
    before = s.proxy.process.rss()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.start(fmt="extended")
        c.request(command, 0, length, PAYLOAD)
        c.expect_close()
    assert s.proxy.process.rss() - before < 8 * MIB
    assert not [r for r in s.upstream.requests() if r.command != wire.DISC]


@without_payload
def test_d83_payload_of_nothing(stage, command):
    """The flag promises a nonzero length; without one, nothing follows."""
    s = stage()
    c = s.client()
    c.start(fmt="extended", queries=["base:allocation"])
    c.request(command, 0, 0, PAYLOAD)
    assert c.either()[0] == wire.EINVAL
    assert not s.upstream.requests()
    still_served(s, c)


def test_d78_status_payload_form(extended):
    """The form that bit 12 would allow: consumed and refused."""
    s, c = extended
    context = c.contexts["base:allocation"]
    c.request(wire.BLOCK_STATUS, 0, 12, PAYLOAD, (4096).to_bytes(8, "big") + context.to_bytes(4, "big"))
    assert c.either()[0] == wire.EINVAL
    assert not s.upstream.requests(wire.BLOCK_STATUS)
    still_served(s, c)


@pytest.mark.parametrize("length", [0, 512, 64 << 10])
def test_d78_write_without_payload_flag(extended, length):
    """The flag must be set, and qemu's client does not set it: its payload follows all the same."""
    s, c = extended
    c.send(wire.extended_request(wire.WRITE, 0, length, 0, cookie=77) + b"w" * length)
    c.offsets[77] = 0
    assert c.either()[0] == 0
    assert [r.payload for r in s.upstream.requests(wire.WRITE)] == [b"w" * length] * bool(length)
    still_served(s, c)


def test_d83_write_of_nothing(extended):
    s, c = extended
    c.request(wire.WRITE, 512, 0)
    assert c.either()[0] in (0, wire.EINVAL)
    assert not s.upstream.requests()
    still_served(s, c)


@pytest.mark.parametrize("length", [(64 << 20) + 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1])
def test_d85_write_of_4_gib_and_more(stage, length):
    """The lower half of the length alone would be an innocent one."""
    s = stage()
    before = s.proxy.process.rss()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.start(fmt="extended")
        c.request(wire.WRITE, 0, length, payload=b"w" * 512)
        c.expect_close()
    assert s.proxy.process.rss() - before < 8 * MIB
    assert not s.upstream.requests(wire.WRITE)


def test_d85_write_above_the_payload_limit_is_drained(stage):
    s = stage(overrides={"size": 256 * MIB})
    c = s.client(timeout=20)
    c.start(fmt="extended")
    assert c.write(0, b"w" * (32 * MIB + 1)) == wire.EINVAL
    assert not s.upstream.requests(wire.WRITE)
    assert c.write(0, b"w" * 32 * MIB) == 0


@pytest.mark.parametrize("length", [32 * MIB + 1, 2**32, 2**32 + 512, 2**40])
def test_d84_read_above_the_payload_limit(stage, length):
    s = stage(overrides={"size": 2**41})
    c = s.client()
    c.start(fmt="extended")
    c.request(wire.READ, 0, length)
    assert c.either()[0] in (wire.EINVAL, wire.EOVERFLOW)
    assert not s.upstream.requests()
    assert c.read(2**40, 512) == bytes(512)


BEYOND = [(0, 2**64 - 1), (1, 2**64 - 1), (2**64 - 1, 1), (2**64 - 1, 2**64 - 1), (2**63, 2**63),
          (512, 2**64 - 512), (0, SIZE + 1), (SIZE - 1, 2**32 + 1), (SIZE, 1), (SIZE, 2**32),
          (2**32, 1)]


@pytest.mark.parametrize("command", [wire.READ, wire.TRIM, wire.CACHE, wire.WRITE_ZEROES,
                                     wire.BLOCK_STATUS],
                         ids=["read", "trim", "cache", "write_zeroes", "block_status"])
def test_d81_64_bits_beyond_the_end(extended, command):
    s, c = extended
    expected = {wire.ENOSPC} if command == wire.WRITE_ZEROES else {wire.EINVAL}
    if command == wire.READ:
        expected.add(wire.EOVERFLOW)  # too long, whatever the export's size is
    for offset, length in BEYOND:
        c.request(command, offset, length)
        assert c.either()[0] in expected, (hex(offset), hex(length))
    c.request(wire.WRITE_ZEROES, 0, 2**64 - 1, wire.FAST_ZERO)
    assert c.either()[0] in (wire.ENOSPC, wire.ENOTSUP)
    assert not s.upstream.requests()
    still_served(s, c)


def test_d77_unknown_command_without_payload(extended):
    """In the extended format an unknown command's length is no payload unless the flag says so."""
    s, c = extended
    for command in (8, 9, 0xFFFF):
        c.request(command, 0, 2**40)
        assert c.either()[0] == wire.EINVAL
    still_served(s, c)


def test_d78_every_flag_on_every_extended_command(extended):
    s, c = extended
    legal = {wire.READ: wire.FUA | wire.DF, wire.WRITE: wire.FUA, wire.FLUSH: wire.FUA,
             wire.TRIM: wire.FUA, wire.CACHE: wire.FUA,
             wire.WRITE_ZEROES: wire.FUA | wire.NO_HOLE | wire.FAST_ZERO,
             wire.BLOCK_STATUS: wire.FUA | wire.REQ_ONE}
    for command, allowed in legal.items():
        length = 0 if command == wire.FLUSH else 512
        for bit in range(16):
            if 1 << bit & (allowed | PAYLOAD):
                continue
            payload = b"p" * 512 if command == wire.WRITE else b""
            c.request(command, 0, length, 1 << bit, payload)
            assert c.either()[0] == wire.EINVAL, (command, bit)
    assert not s.upstream.requests()
    still_served(s, c)


def test_d93_disc_with_a_payload(stage):
    """It is the end, whatever comes with it."""
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start(fmt="extended")
        c.request(wire.DISC, 5, 512, PAYLOAD, b"d" * 512)
        c.expect_close()
    last = s.upstream.requests()[-1]
    assert last[:2] == (wire.DISC, 0) and last.offset == last.length == 0


def test_h149_stall_inside_a_refused_payload(stage):
    s = stage(io_timeout="700ms")
    with s.proxy.ends("client-stalled"):
        c = s.client()
        c.start(fmt="extended")
        c.request(wire.TRIM, 0, 4096, PAYLOAD, b"half" * 512)
        try:
            c.either()
        except Closed:
            pass
        c.drain()


@pytest.mark.parametrize("cut", [1, 4, 27, 28, 31])
def test_h149_stall_inside_an_extended_header(stage, cut):
    s = stage(io_timeout="700ms")
    with s.proxy.ends("client-stalled"):
        c = s.client()
        c.start(fmt="extended")
        c.send(wire.extended_request(wire.READ, 0, 512)[:cut])
        assert c.drain() == b""


def test_h150_half_an_extended_payload_and_gone(stage):
    s = stage()
    with s.proxy.ends("client-cut"):
        c = s.client()
        c.start(fmt="extended")
        c.request(wire.WRITE, 0, 4096, payload=b"h" * 2048)
        c.close()
    s.upstream.wait_no_connection()
    assert s.upstream.disk == bytes(SIZE)


def test_h148_duplicate_cookies_of_an_extended_client(extended):
    s, c = extended
    for n in range(8):
        c.request(wire.WRITE, 512 * n, 512, payload=bytes([n + 1]) * 512, cookie=7)
        c.offsets.pop(7)
    offsets = set()
    for _ in range(8):
        x = c.chunk()
        assert (x.cookie, x.kind, x.flags) == (7, wire.NONE, wire.DONE)
        offsets.add(x.offset)
    assert offsets == {512 * n for n in range(8)}
    still_served(s, c)


def test_d82_misaligned_64_bits(stage):
    s = stage(overrides={"block_size": (4096, 4096, 1 << 20), "has_extended": True})
    c = s.client()
    c.start(fmt="extended", infos=[wire.INFO_BLOCK_SIZE])
    for offset, length in [(512, 4096), (0, 512), (0, SIZE - 1)]:
        for command in (wire.WRITE_ZEROES, wire.TRIM):
            c.request(command, offset, length)
            assert c.either()[0] == wire.EINVAL
    assert not s.upstream.requests()
    assert c.write(4096, b"s" * 4096) == 0


def test_d86_read_only_extended(stage):
    s = stage(read_only="yes")
    c = s.client()
    c.start(fmt="extended")
    assert c.write(0, b"w" * 4096) == wire.EPERM
    for command in (wire.WRITE_ZEROES, wire.TRIM):
        c.request(command, 0, 2**64 - 1)
        assert c.either()[0] == wire.EPERM
    assert c.read(0, 512) == bytes(512)
