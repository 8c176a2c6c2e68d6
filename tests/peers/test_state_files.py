# SPDX-License-Identifier: BSD-3-Clause
"""Files of state-dir that are damaged, or whose writer was killed, and a real server that dies while it is measured."""
import glob
import json
import os
import signal

import pytest

from nbdtest import paths, wire
from nbdtest.data import MIB, file_bytes, pattern
from nbdtest.process import wait_until
from nbdtest.rawclient import Closed
from probed_upstreams import SEED, Slow

RANGE = (0, 16 * MIB)


def ask(proxy, raw):
    c = raw(proxy.address, timeout=20)
    c.start()
    error = c.call(wire.WRITE_ZEROES, *RANGE, wire.FAST_ZERO)
    assert c.read(0, 512) == pattern(512, SEED)
    c.disconnect()
    return error


@pytest.fixture
def known(model, start_proxy, raw):
    """(upstream, state-dir, its one file): slow, as a process has saved it."""
    upstream = model(Slow)
    proxy = start_proxy(upstream.uri)
    assert ask(proxy, raw) == wire.ENOTSUP
    proxy.stop()
    [name] = glob.glob(os.path.join(proxy.state_dir, "verdict-*.json"))
    return upstream, proxy.state_dir, name


def change(name, **keys):
    with open(name, encoding="utf-8") as f:
        state = json.load(f)
    state.update(keys)
    with open(name, "w", encoding="utf-8") as f:
        json.dump(state, f)


@pytest.mark.calls
def test_damaged_files_are_set_aside_and_the_good_one_is_used(known, start_proxy, raw):
    upstream, state, name = known
    with open(name, "rb") as f:
        good = f.read()
    aged = good.replace(b'"slow_age_ms": ', b'"slow_age_ms": -')
    bad = [b"", b"\0" * 4096, b"[]", b"null", b'{"a": 1}', good[:-3], good + b"x", good + b" " * (64 << 10), b"[" * 60000,
           good.replace(b'"version": 1', b'"version": 2'), good.replace(b'"flags": ', b'"flags": -'), aged,
           good.replace(b'"saved": ', b'"saved": -'), good.replace(b'"size": ', b'"size": 1e999, "x": '), good]
    bad += [good[:n] for n in range(0, len(good) - 2, 8)]
    assert aged != good
    for i, text in enumerate(bad):
        with open(os.path.join(state, f"verdict-{i:016x}.json"), "wb") as f:
            f.write(text)
    proxy = start_proxy(upstream.uri, state_dir=state)
    assert len(glob.glob(os.path.join(state, "*.damaged"))) == len(bad)
    assert len([x for x in proxy.lines("warn") if "is damaged" in x]) == len(bad)
    assert ask(proxy, raw) == wire.ENOTSUP and proxy.export()["probes"]["run"] == 0


@pytest.mark.parametrize("saved, runs", [(2 ** 62, 0), (0, 1), (-2 ** 63, 1), (-16656744073, 1)],
                         ids=["future", "long_ago", "least", "wraps"])
def test_when_it_was_saved(known, start_proxy, raw, saved, runs):
    upstream, state, name = known
    change(name, saved=saved)
    proxy = start_proxy(upstream.uri, state_dir=state)
    assert ask(proxy, raw) == wire.ENOTSUP and proxy.export()["probes"]["run"] == runs
    assert os.path.exists(name + ".damaged") == (saved < 0)


@pytest.mark.parametrize("key", ["size", "flags"])
def test_another_storage(known, start_proxy, raw, key):
    upstream, state, name = known
    change(name, **{key: 512})
    proxy = start_proxy(upstream.uri, state_dir=state)
    assert ask(proxy, raw) == wire.ENOTSUP and proxy.export()["probes"]["run"] == 1


@pytest.mark.calls
def test_no_lock_file(known, start_proxy, raw):
    """The folder is fine, and yet no lock can be had."""
    upstream, state, name = known
    os.unlink(name)
    os.unlink(os.path.join(state, "locks"))
    os.mkdir(os.path.join(state, "locks"))
    proxy = start_proxy(upstream.uri, state_dir=state)
    assert ask(proxy, raw) == wire.ENOTSUP and proxy.export()["probes"]["run"] == 0
    lines = [x for x in proxy.lines("warn") if state in x]
    assert len(lines) == 1 and "nothing will be measured from inside a request" in lines[0], lines


@pytest.mark.parametrize("step", ["openat", "write", "fsync", "rename"])
def test_killed_while_it_saves(known, start_proxy, raw, processes, step):
    upstream, state, name = known
    change(name, saved=1)  # what it knew has expired: it is measured, and saved, anew
    with open(name, "rb") as f:
        old = f.read()
    proxy = start_proxy(upstream.uri, state_dir=state)
    # The thread that saves does nothing else, but for waiting.
    [thread] = [t for t in os.listdir(f"/proc/{proxy.process.pid}/task")
                if file_bytes(f"/proc/{proxy.process.pid}/task/{t}/comm") == b"state\n"]
    tracer = processes.start([paths.find("strace"), "-p", thread, "-e", f"trace={step}", "-e", f"inject={step}:signal=SIGKILL"])
    wait_until(lambda: "attached" in tracer.log() or not tracer.running(), 10, "strace")
    if "Operation not permitted" in tracer.log():  # a container's seccomp filter, or yama
        pytest.skip("tracing a process is forbidden here (ptrace)")
    assert tracer.running(), tracer.log()
    assert ask(proxy, raw) == wire.ENOTSUP
    assert proxy.process.terminate() == -signal.SIGKILL, "it was not killed while it saved"
    with open(name, "rb") as f:
        now = f.read()
    assert now == old or (step == "rename" and json.loads(now)["saved"] > 1)
    again = start_proxy(upstream.uri, state_dir=state)
    assert not glob.glob(name + ".*") and not glob.glob(os.path.join(state, "*.damaged"))
    assert ask(again, raw) == wire.ENOTSUP


def test_a_real_server_is_killed(servers, start_proxy, raw):
    before = pattern(32 * MIB, 5)
    image = servers.file(data=before)

    def serve():
        return servers.nbdkit("file", image, "zeromode=plugin", "fastzeromode=none", "delay-zero=700ms",
                              filters=["log", "nozero", "delay"])
    upstream = serve()
    proxy = start_proxy(upstream.uri)
    c = raw(proxy.address, timeout=20)
    c.start()
    c.request(wire.WRITE_ZEROES, 4 * MIB, 16 * MIB, wire.FAST_ZERO)
    wait_until(lambda: upstream.requests("Zero"), 10, "the zero of a probe")
    upstream.process.kill()
    try:
        assert c.reply().error == wire.EIO
    except Closed:
        pass
    now = file_bytes(image, 0, len(before))
    differ = [i for i in range(0, len(before), 4096) if now[i:i + 4096] != before[i:i + 4096]]
    assert all(4 * MIB <= i < 4 * MIB + (64 << 10) and not any(now[i:i + 4096]) for i in differ)
    proxy.stop()
    proxy = start_proxy(serve().uri, state_dir=proxy.state_dir)
    c = raw(proxy.address, timeout=30)
    c.start()
    assert c.write(0, b"x" * 4096) == 0 and c.read(0, 4096) == b"x" * 4096
    assert c.call(wire.WRITE_ZEROES, 4 * MIB, 16 * MIB, wire.FAST_ZERO) in (0, wire.ENOTSUP)
