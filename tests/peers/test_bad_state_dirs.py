# SPDX-License-Identifier: BSD-3-Clause
"""A state-dir that cannot be used: a line that says so, truthful service, and nothing measured where the lock cannot
be had."""
import glob
import os
import subprocess
import time

import pytest

from nbdtest import paths, wire
from nbdtest.data import MIB, pattern
from nbdtest.disks import small_tmpfs
from nbdtest.process import wait_until
from probed_upstreams import SEED, Slow

RANGE = (0, 16 * MIB)


def a_file(folder):
    place = os.path.join(folder, "a-file")
    with open(place, "wb"):
        pass
    return place


def serves_truthfully(upstream, proxy, raw):
    c = raw(proxy.address, timeout=20)
    c.start()
    assert c.call(wire.WRITE_ZEROES, *RANGE, wire.FAST_ZERO) == wire.ENOTSUP
    assert c.read(0, 4096) == pattern(4096, SEED)
    assert c.call(wire.WRITE_ZEROES, 0, 4096) == 0 and c.read(0, 4096) == bytes(4096)
    upstream.disk[:4096] = pattern(4096, SEED)
    return c


def test_a_file_in_its_place(model, start_proxy, raw, folder):
    upstream = model(Slow)
    place = a_file(folder)
    proxy = start_proxy(upstream.uri, state_dir=place)
    serves_truthfully(upstream, proxy, raw)
    assert not [r for r in upstream.requests(wire.WRITE_ZEROES) if r.length > 4096], "measured without a lock"
    lines = [x for x in proxy.lines("warn") if place in x]
    assert len(lines) == 1 and "nothing will be measured from inside a request" in lines[0], lines


@pytest.fixture
def small(folder):
    with small_tmpfs(folder, "256K") as where:
        yield where


def test_read_only(model, start_proxy, raw, small):
    upstream = model(Slow)
    subprocess.run([paths.find("mount"), "-o", "remount,ro", small], check=True)
    proxy = start_proxy(upstream.uri, state_dir=small)
    serves_truthfully(upstream, proxy, raw)
    assert not [r for r in upstream.requests(wire.WRITE_ZEROES) if r.length > 4096]
    lines = [x for x in proxy.lines("warn") if small in x]
    assert len(lines) == 1 and "Read-only file system" in lines[0], lines


def test_a_full_disk(model, start_proxy, raw, small):
    upstream = model(Slow)
    ballast = os.path.join(small, "ballast")
    with open(ballast, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError:
            pass
    proxy = start_proxy(upstream.uri, state_dir=small)
    serves_truthfully(upstream, proxy, raw)
    assert proxy.export()["probes"]["run"] == 1, "locks need no space"
    told = lambda: [x for x in proxy.lines("warn") if small in x]  # noqa: E731
    wait_until(told, 10, "a warning")
    assert "cannot be saved: No space left on device" in told()[0]
    assert not glob.glob(os.path.join(small, "verdict-*")), "half a file"
    time.sleep(6)  # it is tried again, and not told again
    assert len(told()) == 1
    os.unlink(ballast)
    wait_until(lambda: glob.glob(os.path.join(small, "verdict-*.json")), 10, "a saved verdict")


def test_what_a_killed_process_left_is_removed(model, start_proxy, folder):
    upstream = model(Slow)
    state = os.path.join(folder, "state")
    os.mkdir(state)
    dead = subprocess.Popen(["/bin/true"])
    dead.wait()
    left = os.path.join(state, f"verdict-0123.json.{dead.pid}")
    alive = os.path.join(state, f"verdict-0123.json.{os.getpid()}")
    for name in (left, alive):
        with open(name, "w", encoding="utf-8") as f:
            f.write("{")
    start_proxy(upstream.uri, state_dir=state)
    assert not os.path.exists(left) and os.path.exists(alive)
