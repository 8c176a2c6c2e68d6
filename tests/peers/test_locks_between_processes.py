# SPDX-License-Identifier: BSD-3-Clause
"""Processes on one state-dir: none measures inside an export that another serves, and who comes while one measures
waits until that is over."""
import os
import signal
import threading
import time

from nbdtest import wire
from nbdtest.data import MIB, pattern
from nbdtest.process import wait_until
from nbdtest.rawserver import ModelUpstream
from probed_upstreams import SEED, HoldsZeroes

RANGE = (0, 16 * MIB)


class World:
    """Several proxies on one state-dir, before one upstream."""

    def __init__(self, model, start_proxy, raw, folder):
        self.upstream = model(HoldsZeroes)
        self.start_proxy, self.raw = start_proxy, raw
        self.state = os.path.join(folder, "shared")

    def proxy(self, **keys):
        return self.start_proxy(self.upstream.uri, state_dir=self.state, **keys)

    def client(self, proxy, name=""):
        c = self.raw(proxy.address, timeout=30)
        c.start(name)
        return c

    def ask(self, c):
        return c.call(wire.WRITE_ZEROES, *RANGE, wire.FAST_ZERO)

    def begin_probe(self, proxy):
        c = self.client(proxy)
        c.request(wire.WRITE_ZEROES, *RANGE, wire.FAST_ZERO)
        self.upstream.wait_requests(1, wire.WRITE_ZEROES)
        return c


def go_waits(world, proxy, name=""):
    """Begins a GO in a thread: (thread, clients)."""
    clients = []
    thread = threading.Thread(target=lambda: clients.append(world.client(proxy, name)))
    thread.start()
    thread.join(0.5)
    return thread, clients


def test_who_comes_while_another_process_measures_waits(model, start_proxy, raw, folder):
    world = World(model, start_proxy, raw, folder)
    one, two = world.proxy(), world.proxy()
    asker = world.begin_probe(one)
    thread, clients = go_waits(world, two)
    assert thread.is_alive(), "served while another process may write back over its writes"
    world.upstream.go.set()
    assert asker.reply().error in (0, wire.ENOTSUP)
    thread.join(10)
    assert clients and len(clients[0].read(0, 512)) == 512
    # Now both serve it: neither measures.
    runs = one.export()["probes"]["run"]
    assert world.ask(clients[0]) == wire.ENOTSUP
    assert two.export()["probes"]["run"] == 0 and one.export()["probes"]["run"] == runs == 1


def test_another_export_does_not_wait(model, start_proxy, raw, folder):
    world = World(model, start_proxy, raw, folder)
    one, two = world.proxy(), world.proxy()
    asker = world.begin_probe(one)
    thread, clients = go_waits(world, two, "another")
    assert not thread.is_alive() and len(clients[0].read(0, 512)) == 512
    world.upstream.go.set()
    assert asker.reply().error in (0, wire.ENOTSUP)


def test_sigkill_lets_go(model, start_proxy, raw, folder):
    world = World(model, start_proxy, raw, folder)
    one, two = world.proxy(), world.proxy()
    world.begin_probe(one)
    thread, clients = go_waits(world, two)
    assert thread.is_alive()
    one.process.terminate(signal.SIGKILL)
    thread.join(10)
    assert clients, "a process that is dead holds a lock"
    world.upstream.go.set()
    assert world.ask(clients[0]) in (0, wire.ENOTSUP)
    assert two.export()["probes"]["run"] == 1, "it is alone now, and may measure"


def test_the_last_connection_lets_go(model, start_proxy, raw, folder):
    world = World(model, start_proxy, raw, folder)
    world.upstream.go.set()
    one, two = world.proxy(), world.proxy()
    a, b, c = world.client(one), world.client(two), world.client(two)
    b.disconnect()
    wait_until(lambda: two.active() == 1, 5, "one connection")
    assert world.ask(a) == wire.ENOTSUP and one.export()["probes"]["run"] == 0
    c.disconnect()
    wait_until(lambda: two.active() == 0, 5, "no connection")
    assert world.ask(a) in (0, wire.ENOTSUP)
    assert one.export()["probes"]["run"] == 1


def test_a_reload_keeps_the_lock(model, start_proxy, raw, folder):
    world = World(model, start_proxy, raw, folder)
    world.upstream.go.set()
    one, two = world.proxy(), world.proxy()
    a, b = world.client(one), world.client(two)
    two.stat("reload")
    assert world.ask(a) == wire.ENOTSUP and one.export()["probes"]["run"] == 0
    assert len(b.read(0, 512)) == 512


def test_who_is_refused_meanwhile_opens_no_door(model, start_proxy, raw, folder):
    """Of the other class, over another connection: the probe's lock is that of its whole process."""
    world = World(model, start_proxy, raw, folder)
    one, two = world.proxy(), world.proxy()
    asker = world.begin_probe(one)
    second = world.client(one)
    assert second.call(wire.WRITE_ZEROES, *RANGE, wire.FAST_ZERO | wire.NO_HOLE) == wire.ENOTSUP
    thread, clients = go_waits(world, two)
    assert thread.is_alive(), "served while another process may write back over its writes"
    world.upstream.go.set()
    assert asker.reply().error in (0, wire.ENOTSUP)
    thread.join(10)
    assert clients


def test_upstream_breaks_and_may_still_be_zeroing(model, start_proxy, raw, folder):
    """A server that forks carries on for a moment: who waits in another process waits for that, too."""
    world = World(model, start_proxy, raw, folder)
    one, two = world.proxy(), world.proxy()
    asker = world.begin_probe(one)
    thread, clients = go_waits(world, two)
    assert thread.is_alive()
    broken = time.monotonic()
    world.upstream.open_connections[0].close()
    assert asker.reply().error == wire.EIO
    thread.join(10)
    assert clients and time.monotonic() - broken > 0.7, "served at once"
    world.upstream.go.set()


def test_without_multi_conn_a_second_connection_ends_it(model, start_proxy, raw, folder):
    """What it writes upstream may hide from the first one, in a cache of that connection. It stays, or has gone again."""
    for stays in True, False:
        world = World(model, start_proxy, raw, folder)
        world.upstream.flags = ModelUpstream.flags
        proxy = world.proxy()
        asker = world.begin_probe(proxy)
        second = world.client(proxy)
        if not stays:
            second.disconnect()
            wait_until(lambda p=proxy: p.active() == 1, 10, "it has gone")
        zeroed = len(world.upstream.requests(wire.WRITE_ZEROES))
        world.upstream.go.set()
        assert asker.reply().error == wire.ENOTSUP
        assert len(world.upstream.requests(wire.WRITE_ZEROES)) == zeroed == 1
        assert bytes(world.upstream.disk) == pattern(len(world.upstream.disk), SEED)
        assert proxy.export()["probes"]["reasons"]["no-guard"] == 1
        proxy.stop()
