# SPDX-License-Identifier: BSD-3-Clause
"""What systemd is told, by a NOTIFY_SOCKET of the test's own: which messages, in which order, and that the
watchdog is fed by what the workers do, not by the mere existence of the process."""
import os
import signal
import time

import pytest

from nbdtest import wire
from nbdtest.notify import NotifySocket
from nbdtest.process import wait_until
from nbdtest.threads import held
from holding_upstreams import HoldsReads


@pytest.fixture
def systemd(folder):
    one = NotifySocket(os.path.join(folder, "notify"))
    yield one
    one.close()


def monotonic_us():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


@pytest.mark.smoke
def test_a_life(systemd, stage, raw):
    """READY, status, reload, end; every message from the main process."""
    s = stage(env=systemd.env, watch=False)
    pid = str(s.proxy.process.pid)
    ready = systemd.until("READY", "MAINPID", "STATUS")
    assert ready["MAINPID"] == pid and ready["STATUS"] == "2 listeners, 0 connections"
    s.client().start()
    wait_until(lambda: systemd.until("STATUS")["STATUS"] == "2 listeners, 1 connection", 20)
    before = monotonic_us()
    s.proxy.process.popen.send_signal(signal.SIGHUP)
    reloading = systemd.until("RELOADING", "MONOTONIC_USEC")
    assert before <= int(reloading["MONOTONIC_USEC"]) <= monotonic_us()
    assert systemd.until("READY")["STATUS"] == "2 listeners, 1 connection"
    s.proxy.process.popen.send_signal(signal.SIGTERM)
    systemd.until("STOPPING")
    assert s.proxy.process.popen.wait(20) == 0
    assert not [m for m in systemd.seen if "WATCHDOG" in m], "nobody has asked for that"
    assert {m.sender for m in systemd.seen} == {s.proxy.process.pid}


def test_a_refused_reload_ends_as_a_reload(systemd, stage):
    s = stage(env=systemd.env, watch=False)
    systemd.until("READY")
    with open(s.proxy.config, "a", encoding="ascii") as f:
        f.write("[proxy]\nnonsense = 1\n")
    assert s.proxy.stat("reload", check=False).returncode
    systemd.until("RELOADING")
    assert "the last reload was refused" in systemd.until("READY")["STATUS"]


def test_a_drain_asks_for_time(systemd, stage):
    s = stage(HoldsReads, env=systemd.env, watch=False, drain_timeout="60s")
    systemd.until("READY")
    c = s.client(timeout=30)
    c.start()
    c.request(wire.READ, 0, 512)
    s.upstream.wait_requests(1, wire.READ)
    s.proxy.process.popen.send_signal(signal.SIGTERM)
    systemd.until("STOPPING")
    first = systemd.until("EXTEND_TIMEOUT_USEC")
    # Asked again well before what it asked for is over.
    second = systemd.until("EXTEND_TIMEOUT_USEC")
    assert second.at - first.at < int(first["EXTEND_TIMEOUT_USEC"]) / 1e6
    assert any(m.get("STATUS") == "draining: 2 listeners, 1 connection" for m in systemd.seen)
    s.upstream.may.set()
    assert len(c.reply(512).payload) == 512
    assert s.proxy.process.popen.wait(20) == 0


def test_an_abstract_socket(stage):
    systemd = NotifySocket(f"@nbdzero-test-{os.getpid()}")
    stage(env=systemd.env, watch=False)
    systemd.until("READY")
    systemd.close()


def test_a_socket_where_nobody_is(stage, folder):
    s = stage(env={"NOTIFY_SOCKET": os.path.join(folder, "nobody")}, watch=False)
    s.client().start()
    s.proxy.stat("reload")
    s.proxy.stop()
    assert len([line for line in s.proxy.lines("warn") if "NOTIFY_SOCKET" in line]) == 1


def test_a_watchdog_is_fed_and_a_stuck_worker_stops_that(systemd, stage):
    """One thread is held as by a debugger; all others run, the main one included."""
    usec = 2_000_000
    s = stage(env=dict(systemd.env, WATCHDOG_USEC=str(usec)), watch=False, threads=2)
    systemd.until("READY")
    feeds = [systemd.until("WATCHDOG").at for _ in range(4)]
    assert feeds[-1] - feeds[0] < 3 * 4 * usec / 1e6
    with held(s.proxy.process.pid, "worker-1"):
        wait_until(lambda: "worker-1 has stopped turning its loop" in s.proxy.log(), 20)
        systemd.skip()  # what was sent before
        systemd.none("WATCHDOG", 0.6 * usec / 1e6)
        assert "worker-0 has" not in s.proxy.log()
        assert s.proxy.stat("check", check=False).returncode == 2
    systemd.until("WATCHDOG")
    wait_until(lambda: "worker-1 goes on" in s.proxy.log(), 20)


def test_a_watchdog_of_another_process(systemd, stage):
    s = stage(env=dict(systemd.env, WATCHDOG_USEC="200000", WATCHDOG_PID="1"), watch=False)
    systemd.until("READY")
    systemd.none("WATCHDOG", 1)
    assert "WATCHDOG" not in s.proxy.log()


def test_a_watchdog_that_is_no_number(systemd, stage):
    s = stage(env=dict(systemd.env, WATCHDOG_USEC="soon"), watch=False)
    systemd.until("READY")
    wait_until(lambda: any("WATCHDOG_USEC" in line for line in s.proxy.lines("warn")), 10)
