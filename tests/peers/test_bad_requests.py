# SPDX-License-Identifier: BSD-3-Clause
"""Requests that are malformed or not allowed: each is refused here, and upstream sees none."""
import pytest

from nbdtest import wire
from nbdtest.rawserver import ModelUpstream

SIZE = ModelUpstream.size
ALL = {"read": wire.READ, "write": wire.WRITE, "flush": wire.FLUSH, "trim": wire.TRIM,
       "cache": wire.CACHE, "write_zeroes": wire.WRITE_ZEROES, "block_status": wire.BLOCK_STATUS}
RANGED = {k: v for k, v in ALL.items() if k != "flush"}
# Flags that each command may carry; whether FAST_ZERO succeeds is another matter.
LEGAL = {wire.READ: wire.FUA, wire.WRITE: wire.FUA, wire.FLUSH: wire.FUA, wire.TRIM: wire.FUA,
         wire.CACHE: wire.FUA, wire.WRITE_ZEROES: wire.FUA | wire.NO_HOLE | wire.FAST_ZERO,
         wire.BLOCK_STATUS: wire.FUA | wire.REQ_ONE}


def ranges_of(command):
    return (0, 0) if command == wire.FLUSH else (0, 512)


@pytest.mark.parametrize("magic", [0, 0x25609514, wire.SIMPLE])
def test_d76_wrong_request_magic(stage, magic):
    s = stage()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.start()
        c.send(wire.request(wire.READ, 0, 512, magic=magic))
        c.expect_close()
    assert not s.upstream.requests(wire.READ)


@pytest.mark.parametrize("command", [8, 9, 0xFFFF])
def test_d77_unknown_command(stage, command):
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start()
        assert c.call(command, 0, 512) == wire.EINVAL
        assert c.read(0, 512) == bytes(512)
        c.disconnect()
    assert all(r.command < 8 for r in s.upstream.requests())


@pytest.mark.parametrize("structured", [False, True], ids=["simple", "structured"])
@pytest.mark.parametrize("command", ALL.values(), ids=ALL.keys())
def test_d78_every_flag_on_every_command(stage, command, structured):
    s = stage()
    c = s.client()
    c.start(structured=structured, queries=["base:allocation"] if structured else ())
    offset, length = ranges_of(command)
    payload = b"p" * length if command == wire.WRITE else b""
    for bit in range(16):
        flag = 1 << bit
        if flag & LEGAL[command] or (flag == wire.DF and structured and command == wire.READ):
            continue
        c.request(command, offset, length, flag, payload)
        assert c.either()[0] == wire.EINVAL, f"flag {flag:#x}"
    assert not s.upstream.requests()
    c.request(wire.WRITE, 0, 512, payload=b"q" * 512)
    assert c.either()[0] == 0


@pytest.mark.parametrize("command", ALL.values(), ids=ALL.keys())
def test_d79_fua_is_accepted_everywhere(stage, command):
    s = stage()
    c = s.client()
    c.start(structured=True, queries=["base:allocation"])
    offset, length = ranges_of(command)
    c.request(command, offset, length, wire.FUA, b"f" * 512 if command == wire.WRITE else b"")
    assert c.either()[0] == 0


@pytest.mark.parametrize("command", RANGED.values(), ids=RANGED.keys())
@pytest.mark.parametrize("offset, length", [
    (2**64 - 1, 1), (SIZE - 1, 2), (SIZE, 1), (0, 2**32 - 1), (2**63, 512), (2**64 - 512, 1024)])
def test_d81_beyond_the_end(stage, command, offset, length):
    if command == wire.WRITE and length > 1 << 20:
        offset, length = SIZE + 512, 4096  # how long a WRITE may be is another test
    s = stage()
    c = s.client()
    c.start(structured=True, queries=["base:allocation"])
    c.request(command, offset, length, payload=b"w" * length if command == wire.WRITE else b"")
    expected = wire.ENOSPC if command in (wire.WRITE, wire.WRITE_ZEROES) else wire.EINVAL
    assert c.either()[0] == expected
    assert not s.upstream.requests(command)
    c.request(wire.READ, 0, 512)
    assert c.either()[0] == 0


@pytest.mark.parametrize("command", ALL.values(), ids=ALL.keys())
def test_d83_zero_length(stage, command):
    s = stage()
    c = s.client()
    c.start(structured=True, queries=["base:allocation"])
    c.request(command, 512, 0)
    refused = command in (wire.BLOCK_STATUS, wire.FLUSH)  # FLUSH: its offset is not zero
    assert c.either()[0] == (wire.EINVAL if refused else 0)
    assert not s.upstream.requests()
    c.request(wire.READ, 0, 512)
    assert c.either()[0] == 0


@pytest.mark.parametrize("flags, commands, fua", [
    (wire.HAS_FLAGS | wire.SEND_WRITE_ZEROES, [wire.FLUSH, wire.TRIM, wire.CACHE], False),
    (wire.HAS_FLAGS | wire.SEND_FLUSH, [wire.TRIM, wire.CACHE], True)], ids=["nothing", "flush"])
def test_d87_d89_not_advertised(stage, flags, commands, fua):
    """FUA is there where FLUSH is: see test_fua_by_flush.py."""
    s = stage(overrides={"flags": flags})
    c = s.client()
    export = c.start()
    assert not export.flags & (wire.SEND_TRIM | wire.SEND_CACHE)
    assert bool(export.flags & wire.SEND_FUA) == fua
    for command in commands:
        assert c.call(command, *ranges_of(command)) == wire.EINVAL
    if not fua:
        assert c.call(wire.WRITE, 0, 512, wire.FUA, b"f" * 512) == wire.EINVAL
    assert not s.upstream.requests()


@pytest.mark.parametrize("offset, length", [(512, 0), (0, 512)])
def test_d87_flush_with_a_range(stage, offset, length):
    s = stage()
    c = s.client()
    c.start()
    assert c.call(wire.FLUSH, offset, length) == wire.EINVAL
    assert c.call(wire.FLUSH) == 0
    assert len(s.upstream.requests(wire.FLUSH)) == 1


def test_d86_read_only(stage):
    s = stage(read_only="yes")
    c = s.client()
    export = c.start()
    assert export.flags & wire.READ_ONLY and not export.flags & wire.SEND_FAST_ZERO
    assert c.write(0, b"w" * 4096) == wire.EPERM
    assert c.call(wire.WRITE_ZEROES, 0, 4096) == wire.EPERM
    assert c.call(wire.WRITE_ZEROES, 0, 4096, wire.FAST_ZERO) == wire.EPERM
    assert c.call(wire.TRIM, 0, 4096) == wire.EPERM
    assert c.read(0, 512) == bytes(512)
    assert {r.command for r in s.upstream.requests()} == {wire.READ}


def test_d88_block_status_without_context(stage):
    s = stage()
    c = s.client()
    c.start(structured=True)
    c.request(wire.BLOCK_STATUS, 0, 4096)
    assert c.either()[0] == wire.EINVAL
    simple = s.client()
    simple.start()
    assert simple.call(wire.BLOCK_STATUS, 0, 4096) == wire.EINVAL
    assert not s.upstream.requests(wire.BLOCK_STATUS)
