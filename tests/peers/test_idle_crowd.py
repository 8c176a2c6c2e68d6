# SPDX-License-Identifier: BSD-3-Clause
"""Many who connect and do nothing; more than there are descriptors or allowed connections."""
import time

import pytest

from nbdtest.proxy import wait_idle
from nbdtest.rawclient import Closed


@pytest.mark.smoke
def test_a13_500_idle_connections(stage):
    s = stage(handshake_timeout="30s")
    crowd = [s.client() for _ in range(500)]
    c = s.client()
    c.start()
    assert c.write(0, b"a" * 512) == 0
    for idle in crowd:
        idle.close()
    c.disconnect()
    wait_idle(s.proxy, 1)


def test_a13_max_connections_refuses_more(stage):
    s = stage(max_connections=5)
    crowd = [s.client() for _ in range(3)]
    for c in crowd:
        c.receive(18)
    over = [s.client(timeout=2) for _ in range(3)]
    greeted = 0
    for c in over:
        try:
            c.receive(18)
            greeted += 1
        except (Closed, OSError):
            pass
    assert greeted <= 1
    for c in crowd + over:
        c.close()
    wait_idle(s.proxy, 1)
    s.client().start()


def test_h152_64_descriptors(stage):
    """So few that hardly anybody is let in: the others are told so by a close, and nothing spins."""
    s = stage(files=64)
    before = s.proxy.process.cpu()
    for _ in range(100):
        try:
            s.client().drain()
        except OSError:
            pass
    time.sleep(1)
    assert s.proxy.process.cpu() - before < 1
    assert s.upstream.accepted == 0


def test_h152_descriptors_run_out(stage):
    s = stage(files=128, handshake_timeout="30s")
    busy = s.client()
    busy.start()
    crowd = []
    for _ in range(150):
        try:
            crowd.append(s.client(timeout=0.5))
        except OSError:
            break
    time.sleep(0.3)
    before = s.proxy.process.cpu()
    time.sleep(1)
    # The bystander works meanwhile; a loop that spins on accept would take all of a CPU.
    assert s.proxy.process.cpu() - before < 0.8
    assert busy.write(0, b"b" * 512) == 0
    for c in crowd:
        c.close()
    busy.disconnect()
    wait_idle(s.proxy, 1)
    c = s.client()
    c.start()
    assert c.read(0, 512) == b"b" * 512


def test_h152_connects_without_end(stage):
    s = stage()
    end = time.monotonic() + 2
    n = 0
    while time.monotonic() < end:
        try:
            s.client().close()
            n += 1
        except BlockingIOError:  # the backlog is full
            time.sleep(0.001)
    assert n > 100
    wait_idle(s.proxy, 1)
