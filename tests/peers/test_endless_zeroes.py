# SPDX-License-Identifier: BSD-3-Clause
"""Requests over petabytes: a single header that keeps upstream busy for longer than anybody waits."""
import time

import pytest

from nbdtest import wire
from nbdtest.proxy import wait_idle
from nbdtest.rawserver import ModelUpstream

MIB = 1 << 20
PIB = 1 << 50


class Vast(ModelUpstream):
    """An export of a petabyte."""
    size = PIB


class Stuck(Vast):
    """Never answers a zero."""

    def on_write_zeroes(self, c, r):
        pass


COMMANDS = {"write_zeroes": wire.WRITE_ZEROES, "trim": wire.TRIM, "cache": wire.CACHE}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_h147_petabytes_and_gone(model, start_proxy, servers, raw, bystander, command):
    """Who has gone for good gets nothing done any more."""
    upstream = model(Vast)
    good = servers.nbdkit("memory", "1M")
    proxy = start_proxy({"main": upstream.uri, "good": good.uri}, tcp="127.0.0.1", threads=1,
                        log_level="info")
    watcher = bystander(proxy.listens["good"].address)
    with proxy.ends("client-broken", timeout=5):
        c = raw(proxy.address)
        c.start(fmt="extended")
        c.request(command, 0, PIB)
        upstream.wait_requests(1, command)
        watcher.served()
        c.reset()
    upstream.wait_no_connection()
    assert sum(r.length for r in upstream.requests(command)) < PIB


def test_h147_many_petabytes_at_once(stage):
    """No more is upstream than max-in-flight, and little is remembered of the rest."""
    s = stage(Stuck, max_in_flight=16, log_level="info")
    before = s.proxy.process.rss()
    c = s.client(timeout=1)
    c.start(fmt="extended")
    try:
        for _ in range(100000):
            c.send(wire.extended_request(wire.WRITE_ZEROES, 0, PIB, wire.NO_HOLE))
    except OSError:
        pass
    time.sleep(0.5)
    assert 1 <= len(s.upstream.requests(wire.WRITE_ZEROES)) <= 16
    assert s.proxy.process.rss() - before < 32 * MIB
    c.close()
    for one in list(s.upstream.open_connections):
        one.close()
    wait_idle(s.proxy, 1)


def test_h147_others_pass_a_long_zero(stage):
    """The same client's READs do not wait for the end of the petabyte."""
    s = stage(Vast, log_level="info")
    c = s.client()
    c.start(fmt="extended")
    c.request(wire.WRITE_ZEROES, 0, PIB - 4096, cookie=1)
    s.upstream.wait_requests(1, wire.WRITE_ZEROES)
    c.request(wire.READ, PIB - 4096, 512, cookie=2)
    assert c.chunks()[0].cookie == 2
    for one in list(s.upstream.open_connections):
        one.close()


def test_g140_upstream_gone_inside_a_long_zero(stage):
    s = stage(Vast, log_level="info")
    with s.proxy.ends("upstream-lost"):
        c = s.client()
        c.start(fmt="extended")
        c.request(wire.WRITE_ZEROES, 0, PIB)
        s.upstream.wait_requests(50, wire.WRITE_ZEROES)
        for one in list(s.upstream.open_connections):
            one.close()
        said = c.drain()
        assert len(said) in (0, 38), "one error chunk, or none"


def test_e109_a_piece_of_a_petabyte_fails(stage):
    class Fails(Vast):
        def on_write_zeroes(self, c, r):
            self.done(c, r, wire.ENOSPC if r.offset >= 4 << 30 else 0)

    s = stage(Fails, log_level="info")
    c = s.client()
    c.start(fmt="extended")
    assert c.call(wire.WRITE_ZEROES, 0, PIB) == wire.ENOSPC
    assert c.silent(0.2), "a second reply"
    assert len(s.upstream.requests(wire.WRITE_ZEROES)) < 512
    assert c.read(0, 512) == bytes(512)


@pytest.mark.parametrize("policy, answer", [("never", wire.ENOTSUP), ("off", wire.EINVAL)])
def test_e98_fast_zero_of_a_petabyte(stage, policy, answer):
    s = stage(Vast, fast_zero=policy)
    c = s.client()
    c.start(fmt="extended")
    assert c.call(wire.WRITE_ZEROES, 0, PIB, wire.FAST_ZERO) == answer
    assert not s.upstream.requests()


def test_e111_honest_upstream_and_a_petabyte(stage):
    """An extended upstream that offers FAST_ZERO may be asked for all of it at once, or piece by piece; a
    refusal comes before anything was zeroed."""
    class Honest(Vast):
        has_extended = True
        flags = Vast.flags | wire.SEND_FAST_ZERO
        zeroed = 0

        def on_write_zeroes(self, c, r):
            if r.flags & wire.FAST_ZERO:
                self.done(c, r, wire.ENOTSUP)
            else:
                self.zeroed += r.length
                self.done(c, r)

    s = stage(Honest)
    c = s.client()
    c.start(fmt="extended")
    assert c.call(wire.WRITE_ZEROES, 0, PIB, wire.FAST_ZERO) == wire.ENOTSUP
    assert s.upstream.zeroed == 0
