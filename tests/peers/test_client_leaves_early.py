# SPDX-License-Identifier: BSD-3-Clause
"""Port scanners: they connect and go away."""
import time

from nbdtest.process import wait_until
from nbdtest.proxy import wait_idle

REPEATS = 300


def test_a02_client_leaves_at_once(stage):
    s = stage()
    with s.proxy.ends(*["client-left-early"] * 2):
        c = s.client()
        c.receive(18)
        c.close()
        c = s.client()
        c.receive(18)
        c.send(b"\0\0\0")
        c.close()
    assert s.upstream.accepted == 0


def test_a02_client_resets(start_proxy, servers, raw, bystander):
    proxy = start_proxy(servers.nbdkit("memory", "1M").uri, tcp="127.0.0.1", threads=1)
    bystander(proxy.address)
    before = proxy.endings()
    for _ in range(20):
        c = raw(proxy.address)
        c.receive(18)
        c.reset()
    wait_until(lambda: sum(proxy.endings().values()) - sum(before.values()) >= 20)
    left = proxy.endings()
    assert left.get("client-left-early", 0) + left.get("client-broken", 0) == 20, left


def test_a02_leaves_nothing_behind(stage):
    s = stage()
    files = s.proxy.process.open_files()
    for _ in range(REPEATS):
        c = s.client()
        c.sock.recv(18)
        c.close()
    wait_idle(s.proxy, 1)
    time.sleep(0.1)
    assert s.proxy.process.open_files() <= files + 4
    assert s.upstream.accepted == 0
    assert not s.proxy.lines("error")
