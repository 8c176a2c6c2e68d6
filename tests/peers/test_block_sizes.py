# SPDX-License-Identifier: BSD-3-Clause
"""Block sizes: who asked for them is bound, who did not is passed through, or repaired
(block-size = repair): whole blocks go upstream, and only the bytes of the request change."""
import struct
import threading
import time

import pytest

from block_size_helpers import BLOCK, FORMATS, Blocks, SlowRead, check_write, check_zero, repaired
from nbdtest import wire
from nbdtest.data import pattern
from nbdtest.process import wait_until
from nbdtest.rawserver import ModelUpstream

__all__ = ["repaired"]  # a fixture
MIB = 1 << 20


# Who is bound, and who is not ------------------------------------------------------------------

@pytest.mark.parametrize("repair", [False, True], ids=["pass", "repair"])
def test_d82_who_asked_for_block_sizes_is_bound(stage, repair):
    s = stage(Blocks, block_size="repair" if repair else "pass")
    c = s.client()
    infos = c.start(infos=[wire.INFO_BLOCK_SIZE]).infos
    assert struct.unpack(">III", infos[wire.INFO_BLOCK_SIZE])[0] == BLOCK
    assert c.read(1, 512) == wire.EINVAL
    assert c.write(512, b"x" * 512) == wire.EINVAL
    for command in (wire.TRIM, wire.CACHE, wire.WRITE_ZEROES):
        assert c.call(command, 512, BLOCK) == wire.EINVAL
    assert not s.upstream.seen()
    assert c.read(BLOCK, BLOCK) == s.upstream.disk[BLOCK:2 * BLOCK]


class Tolerant(ModelUpstream):
    block_size = (BLOCK, BLOCK, 32 << 20)


def test_d82_who_did_not_ask_is_passed_through(stage):
    """Upstream repairs by itself, or refuses: not the proxy's business."""
    s = stage(Tolerant)
    c = s.client()
    c.start()
    assert c.write(100, b"x" * 50) == 0
    assert c.read(99, 3) == b"\0xx"
    assert [r[3:5] for r in s.upstream.requests()] == [(100, 50), (99, 3)]


def test_without_a_minimum_nothing_is_repaired(repaired):
    s = repaired(ModelUpstream)
    c = s.client()
    c.start()
    assert c.write(100, b"x" * 50) == 0
    assert [r[3:5] for r in s.upstream.requests()] == [(100, 50)]


class WantsToBeAsked(Blocks):
    """Is not opened by who does not ask for block sizes."""

    def answer_go(self, c, number, data):
        if struct.pack(">H", wire.INFO_BLOCK_SIZE) in data[-8:]:
            super().answer_go(c, number, data)
        else:
            self.refuse(c, number, wire.ERR_BLOCK_SIZE_REQD)


def test_info_asks_what_go_asks(repaired):
    s = repaired(WantsToBeAsked)
    c = s.client()
    c.greet()
    infos = c.go(number=wire.INFO).infos
    assert wire.INFO_BLOCK_SIZE not in infos  # the client is not bound, and does not hear of it
    c.go()
    check_write(s, c, 100, b"x")


def test_scouts_ask_for_block_sizes_too(repaired):
    """INFO says size 0, so that GO must be asked on a connection of its own."""
    class SizeZero(WantsToBeAsked):
        def info_export(self, c, number):
            size, self.size = self.size, 0 if number == wire.INFO else self.size
            super().info_export(c, number)
            self.size = size

    s = repaired(SizeZero)
    c = s.client()
    c.greet()
    assert c.go(number=wire.INFO).size == s.upstream.size


@pytest.mark.parametrize("maximum, told", [(MIB + 100, MIB), (MIB, MIB), (2**32 - 1, 32 * MIB)])
def test_maximum_is_of_whole_blocks(stage, maximum, told):
    s = stage(Blocks, {"block_size": (BLOCK, BLOCK, maximum), "size": 64 * MIB})
    c = s.client()
    infos = c.start(infos=[wire.INFO_BLOCK_SIZE]).infos
    assert struct.unpack(">III", infos[wire.INFO_BLOCK_SIZE]) == (BLOCK, BLOCK, told)
    assert c.read(0, told) == s.upstream.disk[:told]
    assert c.read(0, told + BLOCK) == wire.EINVAL


def test_repairs_are_counted(repaired):
    s = repaired()
    c = s.client()
    c.start()
    check_write(s, c, 0, b"x" * BLOCK)  # whole
    assert c.read(0, BLOCK) == b"x" * BLOCK
    assert s.proxy.export()["repairs"] == 0
    check_write(s, c, 5, b"x" * BLOCK)
    check_write(s, c, s.upstream.size - 5, b"x" * 5)
    assert c.read(1, 1) == b"x"
    check_zero(s, c, 100, 3 * BLOCK)
    assert s.proxy.export()["repairs"] == 4


# READ ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("extended", [False, True], ids=["", "upstream-extended"])
def test_read_gets_its_part_of_the_blocks(repaired, fmt, extended):
    s = repaired(overrides={"has_extended": extended})
    c = s.client()
    c.start(fmt=fmt)
    for offset, length in [(1, 1), (100, 50), (4095, 2), (0, 4097), (5000, 100000), (4096, 8192),
                           (s.upstream.size - 1, 1)]:
        assert c.read(offset, length) == s.upstream.disk[offset:offset + length]
    assert s.upstream.seen()[:3] == [(wire.READ, 0, BLOCK), (wire.READ, 0, BLOCK),
                                     (wire.READ, 0, 2 * BLOCK)]


def test_read_that_is_too_long_when_widened_goes_in_parts(repaired):
    s = repaired(overrides={"size": 4 << 20, "block_size": (BLOCK, BLOCK, 1 << 20)})
    c = s.client()
    c.start()
    assert c.read(1, 1 << 20) == s.upstream.disk[1:1 + (1 << 20)]
    assert s.upstream.seen() == [(wire.READ, 0, 1 << 20), (wire.READ, 1 << 20, BLOCK)]


@pytest.mark.parametrize("fmt", FORMATS)
def test_many_reads_at_once_are_all_answered(repaired, fmt):
    s = repaired()
    c = s.client()
    c.start(fmt=fmt)
    wanted = {c.request(wire.READ, n * 1000 + 1, 999): n * 1000 + 1 for n in range(200)}
    for _ in range(200):
        if fmt == "simple":
            reply = c.reply(999)
            cookie, data = reply.cookie, reply.payload
        else:
            chunk = c.chunk()
            assert chunk.flags & wire.DONE and chunk.kind == wire.OFFSET_DATA
            cookie, data = chunk.cookie, chunk.payload[8:]
        offset = wanted.pop(cookie)
        assert data == s.upstream.disk[offset:offset + 999]


class FailingRead(Blocks):
    def on_read(self, c, r):
        self.done(c, r, wire.EIO)


@pytest.mark.parametrize("fmt", FORMATS)
def test_read_error_is_the_answer(repaired, fmt):
    s = repaired(FailingRead)
    c = s.client()
    c.start(fmt=fmt)
    assert c.read(1, 10) == wire.EIO
    assert c.write(100, b"x") == wire.EIO
    assert not s.upstream.seen(wire.WRITE)


# WRITE -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("fmt", FORMATS)
def test_write_changes_its_own_bytes_only(repaired, fmt):
    s = repaired()
    c = s.client()
    c.start(fmt=fmt)
    for offset, length in [(0, 1), (100, 50), (4095, 2), (4095, 1), (4000, 8192 + 300), (1, 4096),
                           (4096, 4097), (8191, 4097), (5, 300000), (s.upstream.size - 7, 7)]:
        check_write(s, c, offset, pattern(length, offset + 1))


def test_write_costs_few_round_trips(repaired):
    s = repaired()
    c = s.client()
    c.start()
    c.write(100, b"x" * 50)
    assert s.upstream.seen() == [(wire.READ, 0, BLOCK), (wire.WRITE, 0, BLOCK)]
    s.upstream.events.clear()
    c.write(BLOCK, b"x" * (BLOCK + 1))
    assert s.upstream.seen() == [(wire.READ, 2 * BLOCK, BLOCK), (wire.WRITE, BLOCK, 2 * BLOCK)]
    s.upstream.events.clear()
    c.write(1, b"x" * 200000)
    assert s.upstream.seen() == [(wire.READ, 0, BLOCK), (wire.READ, 196608, BLOCK),
                                 (wire.WRITE, 0, 200704)]
    s.upstream.events.clear()
    c.write(BLOCK, b"x" * BLOCK)
    assert s.upstream.seen() == [(wire.WRITE, BLOCK, BLOCK)]


def test_write_that_is_too_long_when_widened_goes_in_parts(repaired):
    s = repaired(overrides={"size": 4 << 20, "block_size": (BLOCK, BLOCK, 1 << 20)})
    c = s.client()
    c.start()
    check_write(s, c, 1, pattern(1 << 20, 9))
    assert s.upstream.seen(wire.WRITE) == [(wire.WRITE, 0, 1 << 20), (wire.WRITE, 1 << 20, BLOCK)]


def test_many_writes_to_one_block_at_once(repaired):
    s = repaired()
    c = s.client()
    c.start()
    expected = bytearray(s.upstream.disk)
    for n in range(300):
        c.request(wire.WRITE, n * 20, 13, payload=bytes([n % 251]) * 13)
        expected[n * 20:n * 20 + 13] = bytes([n % 251]) * 13
    assert sorted(c.reply().cookie for _ in range(300)) == list(range(1, 301))
    assert s.upstream.disk == expected


@pytest.mark.parametrize("threads", [1, 2])
def test_two_clients_and_the_halves_of_the_same_blocks(repaired, threads):
    """What one writes beside the other's bytes is never undone."""
    s = repaired(threads=threads)
    expected = bytearray(s.upstream.disk)

    def work(side):
        with s.client() as c:
            c.start()
            for n in range(150):
                offset = n % 5 * BLOCK + side * 2048
                c.write(offset, bytes([n + side]) * 2048)
    both = [threading.Thread(target=work, args=(side,)) for side in (0, 1)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    for n in range(145, 150):
        for side in (0, 1):
            offset = n % 5 * BLOCK + side * 2048
            expected[offset:offset + 2048] = bytes([n + side]) * 2048
    assert s.upstream.disk == expected


@pytest.mark.parametrize("length", [100, BLOCK], ids=["unaligned", "aligned"])
def test_nobody_writes_between_read_and_write_back(repaired, length):
    s = repaired(SlowRead)
    one, two, three = s.client(), s.client(), s.client()
    for c in (one, two, three):
        c.start()
    one.request(wire.WRITE, 10, 10, payload=b"1" * 10)
    s.upstream.wait_requests(1, wire.READ)
    two.request(wire.WRITE, 0 if length == BLOCK else 50, length, payload=b"2" * length)
    assert three.write(BLOCK, b"3" * BLOCK) == 0  # another block
    assert two.silent(0.3)
    assert s.upstream.seen(wire.WRITE) == [(wire.WRITE, BLOCK, BLOCK)]
    s.upstream.go.set()
    assert one.reply().error == 0 and two.reply().error == 0
    want = b"2" * BLOCK if length == BLOCK else b"1" * 10
    at = 0 if length == BLOCK else 10
    assert s.upstream.disk[at:at + len(want)] == want
    assert two.read(50, 10) == b"2" * 10


def test_an_export_that_grew_between_two_connections_is_the_same_still(repaired):
    """Nor does the repair of one undo what the other writes then."""
    s = repaired(SlowRead)
    one, two = s.client(), s.client()
    one.start()
    s.upstream.size = 2 << 20
    s.upstream.disk.extend(bytes(1 << 20))
    two.start()
    one.request(wire.WRITE, 10, 10, payload=b"1" * 10)
    s.upstream.wait_requests(1, wire.READ)
    two.request(wire.WRITE, 0, BLOCK, payload=b"2" * BLOCK)
    assert two.silent(0.3)
    assert not s.upstream.seen(wire.WRITE)
    s.upstream.go.set()
    assert one.reply().error == 0 and two.reply().error == 0
    assert s.upstream.disk[:BLOCK] == b"2" * BLOCK


def test_others_read_while_a_block_is_repaired(repaired):
    s = repaired(SlowRead)
    one, two = s.client(), s.client()
    one.start()
    two.start()
    one.request(wire.WRITE, 10, 10, payload=b"1" * 10)
    s.upstream.wait_requests(1, wire.READ)
    two.request(wire.READ, 0, 100)
    s.upstream.wait_requests(2, wire.READ)
    s.upstream.go.set()
    assert one.reply().error == 0 and len(two.reply(100).payload) == 100


def test_a_slow_payload_keeps_no_block_from_others(repaired):
    """An aligned WRITE whose payload trickles in does not stand in the way of the repair before it."""
    s = repaired()
    slow, other = s.client(), s.client()
    slow.start()
    other.start()
    slow.send(wire.request(wire.WRITE, 10, 10, cookie=1, payload=b"1" * 10)
              + wire.request(wire.WRITE, 8 * BLOCK, 2 * BLOCK, cookie=2, payload=b"2" * 100))
    assert slow.reply() == (1, 0, b"")
    assert other.write(20, b"3" * 10) == 0
    slow.send(b"2" * (2 * BLOCK - 100))
    assert slow.reply() == (2, 0, b"")
    assert s.upstream.disk[10:30] == b"1" * 10 + b"3" * 10
    assert s.upstream.disk[8 * BLOCK:10 * BLOCK] == b"2" * (2 * BLOCK)


def test_a_slow_payload_of_another_session_keeps_no_block_from_others(repaired):
    """Though that one repairs nothing, and writes whole blocks."""
    s = repaired()
    slow, other = s.client(), s.client()
    slow.start()
    other.start()
    slow.send(wire.request(wire.WRITE, 0, 2 * BLOCK, cookie=2, payload=b"2" * 100))
    assert slow.silent(0.1)
    assert other.write(20, b"3" * 10) == 0
    assert s.upstream.disk[20:30] == b"3" * 10
    slow.send(b"2" * (2 * BLOCK - 100))
    assert slow.reply() == (2, 0, b"")
    assert s.upstream.disk[:2 * BLOCK] == b"2" * (2 * BLOCK)


class FailingWrite(Blocks):
    error = wire.ENOSPC

    def on_write(self, c, r):
        self.done(c, r, self.error)


@pytest.mark.parametrize("error, told", [(wire.ENOSPC, wire.ENOSPC), (wire.ENOTSUP, wire.EINVAL)])
def test_write_error_is_the_answer_and_the_block_is_free_again(repaired, error, told):
    s = repaired(FailingWrite, {"error": error})
    before = bytes(s.upstream.disk)
    c = s.client()
    c.start()
    for _ in range(20):
        assert c.write(100, b"x") == told
    assert s.upstream.disk == before
    assert c.read(100, 1) == before[100:101]


@pytest.mark.parametrize("fua", [False, True], ids=["", "fua"])
def test_fua_is_on_the_write_alone(repaired, fua):
    s = repaired()
    c = s.client()
    c.start()
    check_write(s, c, 1, b"x" * 10, wire.FUA if fua else 0)
    assert [(r.command, r.flags) for r in s.upstream.requests()] == [
        (wire.READ, 0), (wire.WRITE, wire.FUA if fua else 0)]


@pytest.mark.parametrize("command", [wire.WRITE, wire.WRITE_ZEROES, wire.TRIM])
def test_fua_by_flush_where_upstream_has_none(repaired, command):
    s = repaired(overrides={"flags": Blocks.flags & ~wire.SEND_FUA}, probe="off")
    c = s.client()
    c.start()
    n = 3 * BLOCK
    assert c.call(command, 1, n, wire.FUA, b"x" * n if command == wire.WRITE else b"") == 0
    got = s.upstream.requests()
    assert got[-1].command == wire.FLUSH and not any(r.flags & wire.FUA for r in got)
    assert sum(r.command == wire.FLUSH for r in got) == 1
    assert c.call(command, 1, n, 0, b"x" * n if command == wire.WRITE else b"") == 0
    assert s.upstream.requests()[-1].command != wire.FLUSH


# Leaving and dying -----------------------------------------------------------------------------

def test_client_that_vanishes_in_its_payload_writes_nothing(repaired):
    s = repaired()
    before = bytes(s.upstream.disk)
    with s.proxy.ends("client-cut"):
        c = s.client()
        c.start()
        c.send(wire.request(wire.WRITE, 100, 5000, payload=b"x" * 4000))
        time.sleep(0.1)
        c.close()
    assert not s.upstream.seen() and s.upstream.disk == before


def test_client_that_vanishes_later_has_written(repaired):
    s = repaired(SlowRead)
    expected = bytearray(s.upstream.disk)
    expected[100:5100] = b"x" * 5000
    with s.proxy.ends("client-eof"):
        c = s.client()
        c.start()
        c.request(wire.WRITE, 100, 5000, payload=b"x" * 5000)
        s.upstream.wait_requests(1, wire.READ)
        c.close()
        time.sleep(0.1)
        s.upstream.go.set()
    assert s.upstream.disk == expected


class DiesAt(Blocks):
    """The first connection dies when the first request of a kind comes."""

    command = wire.READ

    def serve(self, c, r):
        if c.number == 1 and r.command == self.command:
            c.close()
            return
        super().serve(c, r)


@pytest.mark.parametrize("command", [wire.READ, wire.WRITE], ids=["read", "write"])
@pytest.mark.parametrize("request_", [wire.WRITE, wire.WRITE_ZEROES], ids=["write", "zeroes"])
def test_upstream_dies_in_a_repair(repaired, command, request_):
    s = repaired(DiesAt, {"command": command}, probe="off")
    before = bytes(s.upstream.disk)
    with s.proxy.ends("upstream-lost"):
        c = s.client()
        c.start()
        for n in range(8):  # some of them in turn, some behind them
            c.request(request_, 100 + n, 10000,
                      payload=b"x" * 10000 if request_ == wire.WRITE else b"")
        got = c.drain()  # errors for what had been taken in, no success for anything
        errors = [e for _, e, _ in struct.iter_unpack(">IIQ", got)]
        assert errors and set(errors) <= {wire.EIO, wire.ESHUTDOWN}
    assert s.upstream.disk == before
    other = s.client()
    other.start()
    check_write(s, other, 50, b"y" * 100)


class Forks(Blocks):
    """A WRITE of the first connection is carried out a while after that has died."""

    def on_write(self, c, r):
        if c.number > 1:
            self.good(c, r)
            return
        def late():
            time.sleep(0.4)
            self.disk[r.offset:r.offset + r.length] = r.payload
        threading.Thread(target=late, daemon=True).start()
        c.close()


def test_a_write_that_upstream_still_carries_out_undoes_nothing(repaired):
    s = repaired(Forks)
    one, two = s.client(), s.client()
    one.start()
    two.start()
    one.request(wire.WRITE, 0, 100, payload=b"1" * 100)
    assert one.reply().error == wire.EIO
    assert two.write(200, b"2" * 100) == 0
    time.sleep(0.5)
    assert s.upstream.disk[200:300] == b"2" * 100


def test_memory_of_a_flood_is_bounded(repaired):
    """Long unaligned writes that upstream does not take: no more than max-in-flight-bytes is held."""
    s = repaired(SlowRead, {"size": 64 << 20}, max_in_flight_bytes="4M")
    c = s.client()
    c.start()
    sent = 0

    def flood():
        nonlocal sent
        for n in range(40):
            c.request(wire.WRITE, n * (1 << 20) + 1, 1 << 20, payload=bytes(1 << 20))
            sent = n + 1
    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    s.upstream.wait_requests(1, wire.READ)
    time.sleep(0.5)
    assert sent <= 12  # 4 MiB of payload, and what sockets and buffers hold
    s.upstream.go.set()
    assert all(c.reply().error == 0 for _ in range(40))
    thread.join()
    wait_until(lambda: len(s.upstream.seen(wire.WRITE)) == 40, 5, "all writes upstream")
