# SPDX-License-Identifier: BSD-3-Clause
"""FAST_ZERO against scripted upstreams: what is advertised, what crosses, what never does."""
import time

import pytest

from nbdtest import wire
from nbdtest.rawserver import ModelUpstream
from probed_upstreams import Slow

PLAIN = ModelUpstream.flags
HONEST = PLAIN | wire.SEND_FAST_ZERO
FZ = wire.FAST_ZERO


def zero_bits(flags):
    return bool(flags & wire.SEND_WRITE_ZEROES), bool(flags & wire.SEND_FAST_ZERO)


@pytest.mark.parametrize("flags, keys, bits", [
    (PLAIN, {}, (True, True)),
    (HONEST, {}, (True, True)),
    (PLAIN & ~wire.SEND_WRITE_ZEROES, {}, (True, True)),  # zeroes by writing
    (PLAIN | wire.READ_ONLY, {}, (None, False)),
    (PLAIN, {"fast_zero": "always"}, (True, True)),
    (PLAIN, {"fast_zero": "never"}, (True, True)),
    (HONEST, {"fast_zero": "off"}, (True, False)),
    (PLAIN, {"fast_zero": "trust"}, (True, False)),
    (HONEST, {"fast_zero": "trust"}, (True, True)),
], ids=["plain", "honest", "no_zeroes", "read_only", "always", "never", "off", "trust_no",
        "trust_yes"])
def test_e95_e96_what_is_advertised(stage, flags, keys, bits):
    s = stage(overrides={"flags": flags}, **keys)
    c = s.client()
    zeroes, fast = zero_bits(c.start().flags)
    assert fast == bits[1] and (bits[0] is None or zeroes == bits[0])


def test_e96_off_means_einval(stage):
    s = stage(overrides={"flags": HONEST}, fast_zero="off")
    c = s.client()
    c.start()
    assert c.call(wire.WRITE_ZEROES, 0, 4096, FZ) == wire.EINVAL
    assert c.call(wire.WRITE_ZEROES, 0, 4096) == 0
    assert all(not r.flags & FZ for r in s.upstream.requests())


@pytest.mark.parametrize("command", [wire.READ, wire.WRITE, wire.TRIM, wire.CACHE])
def test_e97_fast_zero_on_other_commands(stage, command):
    s = stage(overrides={"flags": HONEST})
    c = s.client()
    c.start()
    payload = b"w" * 512 if command == wire.WRITE else b""
    assert c.call(command, 0, 512, FZ, payload) == wire.EINVAL
    assert not s.upstream.requests()


def test_e98_never_means_enotsup_and_nothing_upstream(stage):
    s = stage(fast_zero="never")
    c = s.client()
    c.start()
    assert c.call(wire.WRITE_ZEROES, 0, 65536, FZ) == wire.ENOTSUP
    assert c.call(wire.WRITE_ZEROES, 0, 65536, FZ | wire.NO_HOLE) == wire.ENOTSUP
    assert not s.upstream.requests()
    assert c.call(wire.WRITE_ZEROES, 0, 65536) == 0
    counts = s.proxy.fast_zero()
    assert (counts["requests"], counts["refused"], counts["forwarded"]) == (2, 2, 0)


@pytest.mark.smoke
def test_e101_always_never_sends_the_flag_unadvertised(stage):
    s = stage(fast_zero="always")
    c = s.client()
    c.start()
    assert c.call(wire.WRITE_ZEROES, 0, 65536, FZ) == 0
    assert c.call(wire.WRITE_ZEROES, 0, 65536, FZ | wire.NO_HOLE) == 0
    plain, allocate = s.upstream.requests(wire.WRITE_ZEROES)
    assert plain.flags == 0 and allocate.flags == wire.NO_HOLE


def test_e103_no_hole_arrives_unchanged(stage):
    s = stage()
    c = s.client()
    c.start()
    for flags in (0, wire.NO_HOLE, wire.FUA, wire.FUA | wire.NO_HOLE):
        assert c.call(wire.WRITE_ZEROES, 0, 4096, flags) == 0
    assert [r.flags for r in s.upstream.requests(wire.WRITE_ZEROES)] == [
        0, wire.NO_HOLE, wire.FUA, wire.FUA | wire.NO_HOLE]


class Honest(ModelUpstream):
    """Offers FAST_ZERO; refuses what is not aligned to 64 KiB."""
    flags = HONEST
    size = 8 << 20

    def on_write_zeroes(self, c, r):
        if r.flags & FZ and (r.offset | r.length) % 65536:
            self.done(c, r, wire.ENOTSUP)
        else:
            self.good(c, r)


def test_e111_honest_upstream_is_asked(stage):
    s = stage(Honest)
    s.upstream.disk[:] = b"\xaa" * s.upstream.size
    c = s.client()
    c.start()
    assert c.call(wire.WRITE_ZEROES, 0, 65536, FZ) == 0
    assert s.upstream.requests(wire.WRITE_ZEROES)[-1].flags & FZ
    assert c.call(wire.WRITE_ZEROES, 512, 65536 - 512, FZ) == wire.ENOTSUP
    assert s.upstream.disk[65536:65536 + 512] == b"\xaa" * 512
    assert not s.upstream.requests(wire.WRITE) and not s.upstream.requests(wire.READ)


def test_e105_unaligned_end_is_refused_here(stage):
    """qemu-nbd's qcow2 zeroes the aligned part before it refuses: such a request must not go there."""
    s = stage(Honest)
    s.upstream.disk[:] = b"\xaa" * s.upstream.size
    c = s.client()
    c.start()
    assert c.call(wire.WRITE_ZEROES, 0, 100 << 10, FZ) == wire.ENOTSUP
    assert not s.upstream.requests(wire.WRITE_ZEROES)
    end = s.upstream.size
    assert c.call(wire.WRITE_ZEROES, end - 131072, 131072, FZ) == 0


def test_e98_refusal_is_quick_while_writes_are_in_flight(stage):
    class SlowWrite(ModelUpstream):
        size = 64 << 20

        def on_write(self, c, r):
            time.sleep(0.5)
            self.good(c, r)

    s = stage(SlowWrite, fast_zero="never")
    writer, c = s.client(), s.client()
    writer.start()
    c.start()
    for n in range(4):
        writer.request(wire.WRITE, n << 20, 1 << 20, payload=bytes(1 << 20))
    begin = time.monotonic()
    assert c.call(wire.WRITE_ZEROES, 32 << 20, 16 << 20, FZ) == wire.ENOTSUP
    assert time.monotonic() - begin < 0.2
    for _ in range(4):
        assert writer.reply().error == 0


def test_e99_refusal_overtakes_the_clients_own_writes(stage):
    class SlowFlush(ModelUpstream):
        def on_flush(self, c, r):
            time.sleep(1)
            self.good(c, r)

    s = stage(SlowFlush, fast_zero="never")
    c = s.client()
    c.start()
    c.request(wire.FLUSH, cookie=1)
    begin = time.monotonic()
    c.request(wire.WRITE_ZEROES, 0, 65536, FZ, cookie=2)
    reply = c.reply()
    assert (reply.cookie, reply.error) == (2, wire.ENOTSUP)
    assert time.monotonic() - begin < 0.5
    assert c.reply().cookie == 1


def test_e106_split_fast_zero_is_whole(stage):
    s = stage(overrides={"size": 128 << 20}, fast_zero="always")
    c = s.client(timeout=20)
    c.start()
    assert c.call(wire.WRITE_ZEROES, 0, 128 << 20, FZ) == 0
    zeroes = s.upstream.requests(wire.WRITE_ZEROES)
    assert len(zeroes) == 4 and all(r.length == 32 << 20 and not r.flags & FZ for r in zeroes)


def test_upstream_without_write_zeroes(stage):
    s = stage(overrides={"flags": PLAIN & ~wire.SEND_WRITE_ZEROES})
    s.upstream.disk[:] = b"\xaa" * s.upstream.size
    c = s.client()
    c.start()
    assert c.call(wire.WRITE_ZEROES, 4096, 65536, FZ) == wire.ENOTSUP
    assert s.upstream.disk == b"\xaa" * s.upstream.size
    assert c.call(wire.WRITE_ZEROES, 4096, 300000) == 0
    assert s.upstream.disk[4096:304096] == bytes(300000)
    assert s.upstream.disk[:4096] == b"\xaa" * 4096 and s.upstream.disk[304096] == 0xAA
    assert not s.upstream.requests(wire.WRITE_ZEROES)
    assert c.call(wire.WRITE_ZEROES, 0, 4096, wire.FUA) == 0
    last = s.upstream.requests()[-1]
    assert last.command == wire.FLUSH or last.flags & wire.FUA


class LosesItsCache(ModelUpstream):
    """All of it reads as zero, and it says so. One FLUSH of the first client's fails."""
    failing = 1

    def answer_status(self, c, r):
        c.send(c.status(r, *c.contexts.values(), [(r.length, 3)]))

    def on_flush(self, c, r):
        self.failing, error = 0, wire.EIO if self.failing else 0
        self.done(c, r, error)


def test_what_is_read_after_a_failed_flush_is_no_reason_not_to_zero(stage):
    """It may be in upstream's cache only, clean there, and never reach the disk (docs/zeroing.md, decision 4)."""
    s = stage(LosesItsCache, probe="off")
    c, other = s.client(), s.client()
    c.start(fmt="structured")
    other.start(fmt="structured")
    assert c.call(wire.WRITE_ZEROES, 0, 65536, FZ) == 0  # it is zero already
    assert not s.upstream.requests(wire.WRITE_ZEROES)
    assert other.call(wire.FLUSH) == wire.EIO
    assert c.call(wire.WRITE_ZEROES, 0, 65536, FZ) == wire.ENOTSUP
    assert c.call(wire.WRITE_ZEROES, 0, 65536) == 0
    assert len(s.upstream.requests(wire.WRITE_ZEROES)) == 1


class ProbedInFormats(Slow):
    has_structured = True


@pytest.mark.parametrize("fmt", ["simple", "structured", "extended"])
def test_clients_of_any_format_know_what_one_has_found_out(model, start_proxy, raw, fmt):
    """DF is of a connection's format: an export whose flags differ only by that is the same (NBD_FLAG_SEND_DF)."""
    upstream = model(ProbedInFormats)
    proxy = start_proxy(upstream.uri)
    for form in ("structured", fmt, "structured"):
        c = raw(proxy.address, timeout=20)
        c.start(fmt=form)
        assert c.call(wire.WRITE_ZEROES, 0, upstream.size, wire.FAST_ZERO) == wire.ENOTSUP
        c.disconnect()
    assert proxy.export()["probes"]["run"] == 1, "it was known, and yet measured"
