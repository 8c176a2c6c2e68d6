# SPDX-License-Identifier: BSD-3-Clause
"""SIGKILL of the proxy, and the loss of upstream, at each step of a probe: nothing but the chunk in work may differ,
the client has no answer, and the next process serves as if nothing had been (nbdzero-proxy(8), "KILLED WHILE IT
MEASURES")."""
import os
import signal
import threading

import pytest

from nbdtest import wire
from nbdtest.data import MIB, pattern
from nbdtest.process import wait_until
from nbdtest.rawclient import Closed
from nbdtest.rawserver import ModelUpstream

RANGE = (4 * MIB, 16 * MIB)
# The operations of a probe without status: FLUSH, then of each chunk READ, ZERO, FLUSH, (of the first a READ that
# checks,) WRITE, FLUSH. The first four chunks are of 64 KiB, the next three of 1 MiB.
FIRST_CHUNK = range(8)
A_LATER_LEVEL = range(22, 28)
KINDS = {wire.READ: "read", wire.WRITE: "write", wire.WRITE_ZEROES: "zero", wire.FLUSH: "flush"}


class HoldsAt(ModelUpstream):
    """Answers the operation number `at` of a probe when it is let go, and serves it then or never."""

    size = 32 * MIB
    flags = ModelUpstream.flags | wire.CAN_MULTI_CONN
    has_structured = False
    at = 0
    served = True

    def __init__(self, folder, **overrides):
        super().__init__(folder, **overrides)
        self.disk[:] = pattern(self.size, 9)
        self.before = bytes(self.disk)
        self.seen = 0
        self.armed = True
        self.held = None
        self.go = threading.Event()

    def serve(self, c, r):
        if self.armed and r.command != wire.DISC:
            self.seen += 1
            if self.seen == self.at + 1:
                self.held = r
                self.go.wait(20)
                if not self.served:
                    c.close()
                    return
        super().serve(c, r)

    def chunk(self):
        """The range that the probe had in work."""
        zeroes = self.requests(wire.WRITE_ZEROES)
        return (zeroes[-1].offset, zeroes[-1].length) if zeroes else (0, 0)


def check_contents(upstream):
    """Old bytes everywhere, but in the chunk in work, where any byte may be zero."""
    at, length = upstream.chunk()
    assert upstream.disk[:at] == upstream.before[:at]
    assert upstream.disk[at + length:] == upstream.before[at + length:]
    assert RANGE[0] <= at and at + length <= sum(RANGE) or not length
    for new, old in zip(upstream.disk[at:at + length], upstream.before[at:at + length]):
        assert new in (0, old)


def ask(c):
    c.request(wire.WRITE_ZEROES, *RANGE, wire.FAST_ZERO)


def serves_normally(upstream, proxy, raw):
    upstream.armed = False
    c = raw(proxy.address, timeout=20)
    c.start()
    assert c.write(0, b"x" * 4096) == 0 and c.read(0, 4096) == b"x" * 4096
    assert c.call(wire.WRITE_ZEROES, 24 * MIB, 4 * MIB) == 0
    assert c.read(24 * MIB, 4096) == bytes(4096)
    assert c.call(wire.WRITE_ZEROES, *RANGE, wire.FAST_ZERO) in (0, wire.ENOTSUP)
    c.disconnect()


@pytest.mark.parametrize("served", [True, False], ids=["served", "never"])
@pytest.mark.parametrize("at", [*FIRST_CHUNK, *A_LATER_LEVEL])
def test_proxy_killed(model, start_proxy, raw, at, served):
    upstream = model(HoldsAt, at=at, served=served)
    proxy = start_proxy(upstream.uri)
    c = raw(proxy.address)
    c.start()
    ask(c)
    wait_until(lambda: upstream.held, 10, f"operation {at}")
    if KINDS[upstream.held.command] != "flush":
        assert RANGE[0] <= upstream.held.offset < sum(RANGE)
    proxy.process.terminate(signal.SIGKILL)
    with pytest.raises(Closed):
        c.reply()
    upstream.go.set()
    upstream.wait_no_connection(10)
    check_contents(upstream)
    assert not [name for name in os.listdir(proxy.state_dir) if name.endswith((".tmp", ".damaged"))]
    again = start_proxy(upstream.uri, state_dir=proxy.state_dir)
    serves_normally(upstream, again, raw)


@pytest.mark.parametrize("served", [True, False], ids=["served", "never"])
@pytest.mark.parametrize("at", [*FIRST_CHUNK, *A_LATER_LEVEL])
def test_upstream_lost(model, start_proxy, raw, at, served):
    upstream = model(HoldsAt, at=at, served=served)
    proxy = start_proxy(upstream.uri)
    c = raw(proxy.address)
    c.start()
    with proxy.ends("upstream-lost"):
        ask(c)
        wait_until(lambda: upstream.held, 10, f"operation {at}")
        for connection in upstream.open_connections[:]:
            connection.sock.shutdown(2)
        try:
            assert c.reply().error == wire.EIO
        except Closed:
            pass
        upstream.go.set()
    upstream.wait_no_connection(10)
    check_contents(upstream)
    altered = [line for line in proxy.lines("error") if "could not be written back" in line]
    zeroed = bool(upstream.requests(wire.WRITE_ZEROES))
    assert zeroed or not altered
    serves_normally(upstream, proxy, raw)


def test_all_steps_are_tried(model, start_proxy, raw):
    """What the numbers above mean."""
    upstream = model(HoldsAt, at=10 ** 6)
    c = raw(start_proxy(upstream.uri).address, timeout=20)
    c.start()
    assert c.call(wire.WRITE_ZEROES, *RANGE, wire.FAST_ZERO) in (0, wire.ENOTSUP)
    kinds = [KINDS[r.command] for r in upstream.requests()]
    assert [kinds[i] for i in FIRST_CHUNK] == ["flush", "read", "zero", "flush", "read", "write", "flush", "read"]
    later = [upstream.requests()[i] for i in A_LATER_LEVEL]
    assert {KINDS[r.command] for r in later} == set(KINDS.values())
    assert all(r.length == MIB for r in later if r.command != wire.FLUSH)
