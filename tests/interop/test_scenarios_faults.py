# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios of docs/zeroing.md in which something goes wrong while the proxy measures."""
import os
import re
import threading
import time

import pytest

from interop_helpers import Costs
from nbdtest import wire
from nbdtest.data import MIB, connected, error_of, fast_zero, file_bytes, pattern
from nbdtest.disks import small_tmpfs
from nbdtest.process import wait_until
from nbdtest.rawclient import Closed

RANGE = 16 * MIB
FZ = wire.FAST_ZERO


@pytest.fixture
def filled(model, start_proxy, raw):
    """filled(Kind, ...): a scripted upstream full of data, a proxy, and a way to connect."""
    def start(kind=Costs, overrides=None, **keys):
        upstream = model(kind, **(overrides or {}))
        upstream.disk[:] = pattern(upstream.size)
        proxy = start_proxy(upstream.uri, **keys)

        def client(name=""):
            c = raw(proxy.address, timeout=30)
            c.start(name)
            return c
        return upstream, proxy, client
    return start


@pytest.mark.timing
def test_scenario_14_fast_turns_slow(filled):
    """Fast at first; then demoted within one large request."""
    upstream, proxy, client = filled(Costs, {"size": 512 * MIB, "zero_ms": (1.0, 0.0)})
    c = client()
    for n in range(3):
        assert c.call(wire.WRITE_ZEROES, n * RANGE, RANGE, FZ) == 0
    assert proxy.verdict(RANGE) == "fast"
    upstream.zero_ms = (0.0, 1.0)
    upstream.disk[:] = pattern(upstream.size)
    assert c.call(wire.WRITE_ZEROES, 0, 448 * MIB, FZ) == 0  # it was fast when it came
    assert proxy.verdict(RANGE) != "fast"
    begin = time.monotonic()
    assert c.call(wire.WRITE_ZEROES, 448 * MIB, RANGE, FZ) == wire.ENOTSUP
    assert time.monotonic() - begin < 1.5


QUICK = {"write_ms": (0.0, 0.2), "zero_ms": (0.0, 0.2)}


def probe_operations(filled):
    """How many requests one whole probe makes."""
    upstream, proxy, client = filled(Costs, QUICK)
    assert client().call(wire.WRITE_ZEROES, 0, RANGE, FZ) == wire.ENOTSUP
    assert proxy.export()["probes"]["run"] == 1
    return upstream.requests()


@pytest.mark.parametrize("error", [wire.EIO, wire.ENOSPC], ids=["eio", "enospc"])
def test_scenario_15_an_error_at_every_operation_of_a_probe(filled, error):
    n = len(probe_operations(filled))
    assert n > 20
    upstream, proxy, client = filled(Costs, QUICK)
    answers = {0: 0, wire.EIO: 0, wire.ENOTSUP: 0}
    for k in range(1, n + 1):
        upstream.disk[:] = pattern(upstream.size)
        c = client(f"e{k}")  # each export has verdicts of its own
        seen = [0]

        def fail(_, k=k, seen=seen):
            seen[0] += 1
            return error if seen[0] == k else 0
        upstream.fail = fail
        answer = c.call(wire.WRITE_ZEROES, RANGE, RANGE, FZ)
        upstream.fail = None
        answers[answer] += 1
        inside = upstream.disk[RANGE:2 * RANGE]
        if answer == wire.ENOTSUP:
            assert inside == pattern(upstream.size)[RANGE:2 * RANGE], f"operation {k}: altered"
        elif answer == 0:
            assert inside == bytes(RANGE), f"operation {k}: success, and data left"
        assert upstream.disk[:RANGE] == pattern(RANGE), f"operation {k}: outside the range"
        assert upstream.disk[2 * RANGE:] == pattern(upstream.size)[2 * RANGE:]
        c.close()
    assert answers[wire.ENOTSUP] > n // 2, answers


def test_scenario_15_a_write_back_that_never_succeeds(filled):
    """EIO, and the log says where."""
    upstream, proxy, client = filled(Costs, QUICK)
    c = client()
    zeroed = []

    def fail(r):
        if r.command == wire.WRITE_ZEROES:
            zeroed.append(r)
        return wire.ENOSPC if r.command == wire.WRITE and zeroed else 0
    upstream.fail = fail
    begin = time.monotonic()
    assert c.call(wire.WRITE_ZEROES, RANGE, RANGE, FZ) == wire.EIO
    assert time.monotonic() - begin < 5
    assert proxy.lines("error"), "the operator must be told"
    assert re.search(rf"{zeroed[-1].offset}\b.*{zeroed[-1].length}\b|0x{zeroed[-1].offset:x}",
                     "\n".join(proxy.lines("error"))), proxy.lines("error")
    upstream.fail = None
    # No more probes there until an administrator says so.
    run = proxy.export()["probes"]["run"]
    c = client()
    assert c.call(wire.WRITE_ZEROES, 2 * RANGE, RANGE, FZ) == wire.ENOTSUP
    assert proxy.export()["probes"]["run"] == run


@pytest.mark.smoke
def test_scenario_15_a_failed_flush_of_ours_is_owed(filled):
    upstream, _, client = filled(Costs, QUICK)
    writer, asker, idle = client(), client(), client()
    assert writer.write(0, b"w" * 512) == 0
    failed = []

    def fail(r):
        if r.command == wire.FLUSH and not failed:
            failed.append(r)
            return wire.EIO
        return 0
    upstream.fail = fail
    assert asker.call(wire.WRITE_ZEROES, RANGE, RANGE, FZ) in (wire.ENOTSUP, wire.EIO)
    assert failed, "no FLUSH of the proxy's own"
    assert writer.call(wire.FLUSH) == wire.EIO
    # With CAN_MULTI_CONN one connection's FLUSH speaks for all: others may hear of it, but once.
    assert idle.call(wire.FLUSH) in (0, wire.EIO)
    for c in writer, idle, asker:
        c.call(wire.FLUSH)
        assert c.call(wire.FLUSH) == 0


def test_scenario_15_upstream_breaks_inside_a_probe(filled):
    """EIO and the end, or just the end: nothing is restored over another connection."""
    class Breaks(Costs):
        def on_write_zeroes(self, c, r):
            self.disk[r.offset:r.offset + r.length] = bytes(r.length)
            c.close()

    upstream, proxy, client = filled(Breaks, QUICK)
    c = client()
    c.request(wire.WRITE_ZEROES, RANGE, RANGE, FZ)
    got = c.drain()
    assert got == b"" or got[4:8] == b"\0\0\0\5", got
    altered = upstream.requests(wire.WRITE_ZEROES)
    assert len(altered) == 1
    time.sleep(0.3)
    assert not [r for r in upstream.requests(wire.WRITE) if r.offset == altered[0].offset]
    assert proxy.lines("error"), "the operator must be told"


def test_scenario_15_client_leaves_inside_a_probe(filled):
    """The chunk in work is written back, nothing else is sent."""
    class SlowZero(Costs):
        def on_write_zeroes(self, c, r):
            self.disk[r.offset:r.offset + r.length] = bytes(r.length)
            time.sleep(0.2)
            self.done(c, r)

    upstream, _, client = filled(SlowZero, QUICK)
    c = client()
    c.request(wire.WRITE_ZEROES, RANGE, RANGE, FZ)
    upstream.wait_requests(1, wire.WRITE_ZEROES)
    c.close()
    upstream.wait_no_connection()
    assert upstream.disk == pattern(upstream.size)
    assert len(upstream.requests(wire.WRITE_ZEROES)) == 1


def test_scenario_15_full_tmpfs_with_a_greedy_tenant(servers, start_proxy, folder):
    with small_tmpfs(folder, "80M") as where:
        path = servers.file(data=pattern(48 * MIB), folder=where)
        proxy = start_proxy(servers.nbdkit("file", path).uri)
        stop = threading.Event()

        def tenant():
            with open(os.path.join(where, "tenant"), "wb", buffering=0) as f:
                while not stop.is_set():
                    try:
                        f.write(bytes(65536))
                    except OSError:
                        time.sleep(0.0005)
        thread = threading.Thread(target=tenant, daemon=True)
        thread.start()
        wait_until(lambda: os.statvfs(where).f_bavail == 0)
        with connected(proxy.uri()) as h:
            error = error_of(h.zero, RANGE, RANGE, FZ)
        stop.set()
        thread.join()
        inside = file_bytes(path, RANGE, RANGE)
        if error in ("ENOTSUP", "EOPNOTSUPP"):
            assert inside == pattern(48 * MIB)[RANGE:2 * RANGE]
        elif error is None:
            assert inside == bytes(RANGE)
        else:
            assert error in ("EIO", "ENOTCONN"), error
            assert proxy.lines("error"), "lost silently"


class PickyTail(Costs):
    """EINVAL to a zero that is not a multiple of 4 KiB."""

    def on_write_zeroes(self, c, r):
        if r.length % 4096:
            self.done(c, r, wire.EINVAL)
        else:
            self.good(c, r)


@pytest.mark.parametrize("flags, keys", [(0, {}), (FZ, {"fast_zero": "always"})],
                         ids=["plain", "fast"])
def test_scenario_16_einval_to_the_tail(filled, flags, keys):
    upstream, _, client = filled(PickyTail, QUICK, **keys)
    assert client().call(wire.WRITE_ZEROES, 0, 32 * MIB + 512, flags) == 0
    assert upstream.disk[:32 * MIB + 512] == bytes(32 * MIB + 512)
    assert upstream.disk[32 * MIB + 512:] == pattern(upstream.size)[32 * MIB + 512:]


class SlowFirstWrite(Costs):
    """The other client's WRITE takes 400 ms."""

    def on_write(self, c, r):
        if r.payload[:5] == b"other":
            time.sleep(0.4)
        self.good(c, r)


@pytest.mark.smoke
def test_scenario_17_a_write_is_upstream_when_the_probe_would_start(filled):
    upstream, proxy, client = filled(SlowFirstWrite, QUICK)
    other, asker = client(), client()
    payload = b"other" + b"o" * 4091
    other.request(wire.WRITE, RANGE, 4096, payload=payload)
    upstream.wait_requests(1, wire.WRITE)
    begin = time.monotonic()
    answer = asker.call(wire.WRITE_ZEROES, RANGE, RANGE, FZ)
    assert answer == wire.ENOTSUP
    assert time.monotonic() - begin < 0.35, "waited for the write instead of 50 ms"
    assert other.reply().error == 0
    expected = payload + pattern(upstream.size)[RANGE + 4096:]
    assert upstream.disk[RANGE:] == expected
    assert not upstream.requests(wire.WRITE_ZEROES)


@pytest.mark.smoke
def test_scenario_17_writes_arrive_during_the_probe(filled):
    """Every acknowledged write is there, whatever the answer to the zero was."""
    upstream, _, client = filled(Costs, {"write_ms": (0.0, 1.0), "zero_ms": (0.0, 1.0)})
    other, asker = client(), client()
    asker.request(wire.WRITE_ZEROES, RANGE, RANGE, FZ)
    upstream.wait_requests(1, wire.WRITE_ZEROES)
    expected = bytearray(pattern(upstream.size)[RANGE:2 * RANGE])
    for n in range(32):
        payload = bytes([n + 1]) * 4096
        at = n * 524288 % RANGE
        assert other.write(RANGE + at, payload) == 0
        expected[at:at + 4096] = payload
    assert asker.reply().error == wire.ENOTSUP
    assert upstream.disk[RANGE:2 * RANGE] == expected


@pytest.mark.parametrize("when", ["before", "during"])
def test_scenario_17_half_a_write_and_gone(filled, when):
    upstream, _, client = filled(Costs, QUICK)
    other, asker = client(), client()

    def half():
        other.request(wire.WRITE, RANGE, MIB, payload=b"half" * 1000)
    if when == "before":
        half()
        time.sleep(0.1)
    asker.request(wire.WRITE_ZEROES, RANGE, RANGE, FZ)
    if when == "during":
        upstream.wait_requests(1, wire.WRITE_ZEROES)
        half()
    other.close()
    try:
        answer = asker.reply().error
    except Closed:
        answer = "closed"
    assert answer == wire.ENOTSUP, answer
    assert upstream.disk == pattern(upstream.size)


def test_scenario_18_status_that_lies(servers, start_proxy):
    """nbdkit's cacheextents remembers 'zero' while somebody else writes the file."""
    path = servers.file(4 * MIB)
    proxy = start_proxy(servers.nbdkit("file", path, filters=["cacheextents"]).uri)
    data = pattern(4 * MIB)
    with connected(proxy.uri(), contexts=["base:allocation"]) as h:
        h.block_status(4 * MIB, 0, lambda *a: 0)
        with open(path, "r+b") as f:
            f.write(data)
        for at, length in ((0, 65536), (MIB, MIB)):
            now = bytearray(file_bytes(path))
            if fast_zero(h, length, at):
                now[at:at + length] = bytes(length)
            assert file_bytes(path) == now


def test_scenario_20_two_proxies_on_one_state_dir(model, start_proxy, raw, folder):
    upstream = model(Costs, **QUICK)
    upstream.disk[:] = pattern(upstream.size)
    state = os.path.join(folder, "shared")
    one = start_proxy(upstream.uri, state_dir=state)
    two = start_proxy(upstream.uri, state_dir=state)
    a, b = raw(one.address), raw(two.address)
    a.start()
    b.start()
    for c in a, b:
        assert c.call(wire.WRITE_ZEROES, 0, RANGE, FZ) == wire.ENOTSUP
    assert not upstream.requests(wire.WRITE_ZEROES)
    assert [p.export()["probes"]["run"] for p in (one, two)] == [0, 0]
    b.disconnect()
    two.stop()
    assert a.call(wire.WRITE_ZEROES, 0, RANGE, FZ) == wire.ENOTSUP
    assert one.export()["probes"]["run"] == 1
    assert upstream.disk == pattern(upstream.size)
