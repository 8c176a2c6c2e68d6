# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams that are down, or go down, and what the next client finds."""
import os
import struct
import time

import pytest

from nbdtest import wire
from nbdtest.process import free_port, wait_until
from nbdtest.proxy import wait_idle
from nbdtest.rawserver import ModelUpstream


@pytest.mark.smoke
def test_upstream_down_at_start(start_proxy, servers, raw, folder):
    good = servers.nbdkit("memory", "1M")
    proxy = start_proxy({"main": f"nbd+unix:///?socket={folder}/nobody", "good": good.uri})
    with proxy.ends("client-abort"):
        c = raw(proxy.address)
        c.greet()
        for number in (wire.INFO, wire.GO, wire.GO):
            reply = c.option(number, wire.info_data(""))[-1]
            assert reply.kind == wire.ERR_PLATFORM and reply.payload
        assert c.option(wire.LIST)[-1].kind == wire.ACK
        c.abort()
    with proxy.ends("upstream-unreachable"):
        c = raw(proxy.address)
        c.greet()
        c.send(wire.option(wire.EXPORT_NAME))
        c.expect_close()
    c = raw(proxy.listens["good"].address)
    c.start()
    assert proxy.lines("warn")


def test_upstream_comes_up_later(start_proxy, servers, raw, processes, folder):
    path = os.path.join(folder, "later")
    proxy = start_proxy(f"nbd+unix:///?socket={path}")
    c = raw(proxy.address)
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
    server = processes.start(["nbdkit", "-f", "-U", path, "memory", "1M"])
    server.wait_ready(lambda: os.path.exists(path))
    time.sleep(1.1)  # for a second after a failure it is not tried again
    assert c.go().size == 1 << 20
    assert c.read(0, 512) == bytes(512)


def test_upstream_refuses_tcp(start_proxy, raw):
    proxy = start_proxy(f"nbd://127.0.0.1:{free_port()}")
    c = raw(proxy.address)
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
    assert c.alive()


class SlowRead(ModelUpstream):
    """Answers READ when it is dead, that is: never."""

    def on_read(self, c, r):
        c.wait_closed()


@pytest.mark.parametrize("structured", [False, True], ids=["simple", "structured"])
def test_g140_upstream_dies_with_requests_in_flight(stage, structured):
    s = stage(SlowRead)
    with s.proxy.ends("upstream-lost"):
        c = s.client()
        c.start(structured=structured)
        for n in range(4):
            c.request(wire.READ, n * 512, 512)
        s.upstream.wait_requests(1, wire.READ)
        s.upstream.open_connections[0].close()
        got = c.drain()
        at = 0
        while at < len(got):  # errors only, or nothing
            magic = struct.unpack_from(">I", got, at)[0]
            if magic == wire.SIMPLE:
                assert struct.unpack_from(">I", got, at + 4)[0] in (wire.EIO, wire.ESHUTDOWN)
                at += 16
            else:
                assert magic == wire.STRUCTURED
                kind, = struct.unpack_from(">H", got, at + 6)
                assert kind & 0x8000
                at += 20 + struct.unpack_from(">I", got, at + 16)[0]


def test_real_server_killed_in_mid_read(start_proxy, servers, raw, bystander):
    slow = servers.nbdkit("memory", "64M", "delay-read=2", filters=["delay"])
    good = servers.nbdkit("memory", "1M")
    proxy = start_proxy({"main": slow.uri, "good": good.uri}, threads=1)
    bystander(proxy.listens["good"].address)
    with proxy.ends("upstream-lost"):
        c = raw(proxy.address)
        c.start()
        c.request(wire.READ, 0, 32 << 20)
        time.sleep(0.2)
        slow.process.kill()
        got = c.drain()
        assert len(got) < 32 << 20
    c = raw(proxy.address)
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM


def test_upstream_gone_while_idle(stage):
    s = stage()
    with s.proxy.ends("upstream-lost"):
        c = s.client()
        c.start()
        s.upstream.open_connections[0].close()
        c.expect_close()
    c = s.client()
    c.start()
    assert c.read(0, 512) == bytes(512)


def test_memory_and_descriptors_after_many_losses(stage):
    s = stage()
    files = s.proxy.process.open_files()
    for _ in range(30):
        c = s.client()
        c.start()
        wait_until(lambda: s.upstream.open_connections)
        s.upstream.open_connections[0].close()
        c.expect_close()
        c.close()
        s.upstream.wait_no_connection()
    wait_idle(s.proxy, 1)
    assert s.proxy.process.open_files() <= files + 2
