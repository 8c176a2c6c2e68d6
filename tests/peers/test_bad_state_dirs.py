# SPDX-License-Identifier: BSD-3-Clause
"""A state-dir that cannot be used: a line that says so, truthful service, and nothing measured where the lock cannot
be had."""
import fcntl
import glob
import os
import subprocess
import tempfile
import time

import pytest

from nbdtest import paths, wire
from nbdtest.data import MIB, pattern
from nbdtest.disks import small_tmpfs
from nbdtest.process import free_port, wait_until
from nbdtest.proxy import SANITIZER_ENV
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
    with small_tmpfs(folder, "64K") as where:
        yield where


def test_read_only(model, start_proxy, raw, small):
    upstream = model(Slow)
    subprocess.run([paths.find("mount"), "-o", "remount,ro", small], check=True)
    proxy = start_proxy(upstream.uri, state_dir=small)
    serves_truthfully(upstream, proxy, raw)
    assert not [r for r in upstream.requests(wire.WRITE_ZEROES) if r.length > 4096]
    lines = [x for x in proxy.lines("warn") if small in x]
    assert len(lines) == 1 and "Read-only file system" in lines[0], lines
    assert "must name a folder that can be written to" in lines[0]


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
    assert "cannot be saved: No space left on device" in told()[0] and "make room there" in told()[0]
    assert not glob.glob(os.path.join(small, "verdict-*")), "half a file"
    time.sleep(6)  # it is tried again, and not told again
    assert len(told()) == 1
    os.unlink(ballast)
    wait_until(lambda: glob.glob(os.path.join(small, "verdict-*.json")), 10, "a saved verdict")


def test_what_a_killed_process_left_is_removed(model, start_proxy, folder):
    upstream = model(Slow)
    state = os.path.join(folder, "state")
    os.mkdir(state)
    left, at_work, aside = (os.path.join(state, f"verdict-0123.json.{x}") for x in ("aBcDeF", "FeDcBa", "damaged"))
    for name in (left, at_work, aside):
        with open(name, "w", encoding="utf-8") as f:
            f.write("{")
    with open(at_work, encoding="utf-8") as f:
        fcntl.flock(f, fcntl.LOCK_EX)  # as the process does that writes it
        start_proxy(upstream.uri, state_dir=state)
        assert not os.path.exists(left) and os.path.exists(at_work) and os.path.exists(aside)


def test_the_locks_are_taken_away(model, start_proxy, raw, folder):
    """A process that starts after that locks another file: this one must not measure inside the export."""
    upstream = model(Slow)
    state = os.path.join(folder, "state")
    proxy = start_proxy(upstream.uri, state_dir=state)
    c = raw(proxy.address, timeout=20)
    c.start()
    os.unlink(os.path.join(state, "locks"))
    for _ in range(2):
        assert c.call(wire.WRITE_ZEROES, *RANGE, wire.FAST_ZERO) == wire.ENOTSUP
    assert proxy.export()["probes"]["run"] == 0
    lines = told(proxy, "warn", state)
    assert len(lines) == 1 and "was removed while it was in use" in lines[0] and "start all processes anew" in lines[0]
    c.disconnect()
    wait_until(lambda: proxy.active() == 0, 10, "no connection")
    assert raw_asks(proxy, raw) == wire.ENOTSUP and proxy.export()["probes"]["run"] == 1
    told(proxy, "info", "file of locks can be used again")


def told(proxy, level, words):
    """The log's thread writes when it comes to it."""
    return wait_until(lambda: [x for x in proxy.lines(level) if words in x], 10, f"a line with {words!r}")


def raw_asks(proxy, raw):
    c = raw(proxy.address, timeout=20)
    c.start()
    error = c.call(wire.WRITE_ZEROES, *RANGE, wire.FAST_ZERO)
    c.disconnect()
    return error


def test_locks_that_fail_after_the_start(model, start_proxy, raw, folder):
    upstream = model(Slow)
    state = os.path.join(folder, "state")
    proxy = start_proxy(upstream.uri, state_dir=state)
    os.unlink(os.path.join(state, "locks"))
    os.mkdir(os.path.join(state, "locks"))
    for _ in range(2):
        assert raw_asks(proxy, raw) == wire.ENOTSUP
        wait_until(lambda: proxy.active() == 0, 10, "no connection")
    assert proxy.export()["probes"]["run"] == 0
    lines = told(proxy, "warn", state)
    assert len(lines) == 1 and "the file of locks cannot be used: Is a directory" in lines[0]


@pytest.mark.parametrize("missing", [False, True], ids=["not_ours", "cannot_be_made"])
def test_of_another_user(model, processes, missing):
    """Rights mean nothing to root: the proxy runs as somebody else."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    upstream = model(Slow)
    with tempfile.TemporaryDirectory(prefix="nz-", dir="/tmp") as place:
        os.chmod(place, 0o755)
        state, sockets = os.path.join(place, "state"), os.path.join(place, "sockets")
        for name, mode in ((state, 0o700), (sockets, 0o777)):
            os.mkdir(name)
            os.chmod(name, mode)
        port = free_port()
        config = os.path.join(place, "conf")
        state = os.path.join(place, "missing") if missing else state
        with open(config, "w", encoding="utf-8") as f:
            f.write(f"[proxy]\nstate-dir = {state}\ncontrol-socket = {sockets}/control\nlog-level = debug\n"
                    f"[listen a]\naddress = 127.0.0.1:{port}\nupstream = u\n[upstream u]\nuri = {upstream.uri}\n")
        proxy = processes.start([paths.find("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", paths.PROXY,
                                 "-c", config], env=SANITIZER_ENV)
        wait_until(lambda: "serves with" in proxy.log() or not proxy.running(), 20, "a start")
        assert proxy.running(), proxy.log()
        lines = [x for x in proxy.log().splitlines() if state in x]
        what = "cannot be made" if missing else "cannot be used"
        assert len(lines) == 1 and f"{what}: Permission denied" in lines[0]
        assert "give it, with all in it, to the user that nbdzero-proxy runs as" in lines[0]
        assert proxy.terminate() == 0
