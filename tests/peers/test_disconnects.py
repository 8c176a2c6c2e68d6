# SPDX-License-Identifier: BSD-3-Clause
"""All the ways to leave: with DISC, without, with requests in flight, with half a connection."""
import signal
import socket
import time

import pytest

from nbdtest import wire
from nbdtest.proxy import wait_idle
from nbdtest.rawserver import ModelUpstream


class SlowWriter(ModelUpstream):
    """Takes 20 ms for each WRITE."""

    def on_write(self, c, r):
        time.sleep(0.02)
        self.good(c, r)


@pytest.mark.smoke
def test_d90_disc_when_idle(stage):
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start()
        c.disconnect()
    s.upstream.wait_no_connection()
    disc = s.upstream.requests()[-1]
    assert (disc.command, disc.flags, disc.offset, disc.length) == (wire.DISC, 0, 0, 0)


def test_d91_disc_with_16_in_flight(stage):
    s = stage(SlowWriter)
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start()
        c.send(b"".join(wire.request(wire.WRITE, n * 512, 512, cookie=n, payload=bytes([n + 1]) * 512)
                        for n in range(16)) + wire.request(wire.DISC))
        acknowledged = c.drain()
    cookies = [int.from_bytes(acknowledged[i + 8:i + 16], "big")
               for i in range(0, len(acknowledged), 16)]
    assert len(cookies) == 16
    s.upstream.wait_no_connection()
    for n in cookies:
        assert s.upstream.disk[n * 512:n * 512 + 512] == bytes([n + 1]) * 512
    commands = [r.command for r in s.upstream.requests()]
    assert commands == [wire.WRITE] * 16 + [wire.DISC]


def test_d92_write_after_disc(stage):
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start()
        c.send(wire.request(wire.DISC) + wire.request(wire.WRITE, 0, 512, payload=b"w" * 512))
        c.expect_close()
    s.upstream.wait_no_connection()
    assert not s.upstream.requests(wire.WRITE)


def test_d93_disc_with_flags_and_range(stage):
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start()
        c.request(wire.DISC, 4096, 512, 0xFFFF)
        c.expect_close()
    s.upstream.wait_no_connection()
    disc = s.upstream.requests()[-1]
    assert (disc.command, disc.flags, disc.offset, disc.length) == (wire.DISC, 0, 0, 0)


def test_d94_reset_with_requests_in_flight(servers, start_proxy, raw, bystander, model):
    upstream = model(SlowWriter)
    good = servers.nbdkit("memory", "1M")
    proxy = start_proxy({"main": upstream.uri, "good": good.uri}, tcp="127.0.0.1", threads=1)
    bystander(proxy.listens["good"].address)
    c = raw(proxy.address)
    c.start()
    for n in range(8):
        c.request(wire.WRITE, n * 512, 512, payload=b"w" * 512)
    upstream.wait_requests(1)
    c.reset()
    upstream.wait_no_connection()
    wait_idle(proxy, 1)
    endings = proxy.endings()
    assert endings.get("client-broken", 0) + endings.get("client-eof", 0) == 1, endings


def test_h151_half_close_after_the_last_request(stage):
    s = stage(SlowWriter)
    c = s.client()
    c.start()
    for n in range(4):
        c.request(wire.WRITE, n * 512, 512, payload=b"h" * 512)
    c.sock.shutdown(socket.SHUT_WR)
    assert [c.reply().error for _ in range(4)] == [0] * 4
    c.expect_close()
    s.upstream.wait_no_connection()


def test_eof_between_messages(stage):
    s = stage()
    with s.proxy.ends("client-eof"):
        c = s.client()
        c.start()
        assert c.read(0, 512) == bytes(512)
        c.close()
    s.upstream.wait_no_connection()
    assert s.upstream.requests()[-1].command == wire.DISC


@pytest.mark.parametrize("cut", [1, 27])
def test_eof_inside_a_header(stage, cut):
    s = stage()
    with s.proxy.ends("client-cut"):
        c = s.client()
        c.start()
        c.send(wire.request(wire.READ, 0, 512)[:cut])
        c.close()
    s.upstream.wait_no_connection()
    assert not s.upstream.requests(wire.READ)


def test_k173_sigterm_finishes_what_is_in_flight(stage):
    s = stage(SlowWriter, watch=False)
    busy, idle = s.client(), s.client()
    busy.start()
    idle.start()
    busy.request(wire.WRITE, 0, 512, payload=b"t" * 512)
    s.upstream.wait_requests(1)
    s.proxy.process.popen.send_signal(signal.SIGTERM)
    assert busy.reply().error == 0
    busy.expect_close()
    idle.drain()
    s.proxy.stop()
    s.upstream.wait_no_connection()
    assert len(s.upstream.requests(wire.DISC)) == 2
