# SPDX-License-Identifier: BSD-3-Clause
"""SIGUSR2 and `upgrade`: the installed binary takes the sockets over, the process before it keeps its connections,
nobody is lost; and where the new one cannot start nothing has changed."""
import json
import os
import shutil
import signal
import socket
import stat
import threading

import nbd
import pytest

from nbdtest import paths, wire
from nbdtest.data import MIB, connected
from nbdtest.notify import NotifySocket
from nbdtest.process import accepts, free_port, wait_until
from nbdtest.upstreams import Daemon
from holding_upstreams import HoldsReads
from probed_upstreams import HoldsZeroes


def gone(pid):
    daemon = Daemon(None, None)
    daemon.pid = pid
    return not daemon.running()


class Service:
    """A proxy whose binary is a copy of its own, and the processes that follow each other in it."""

    def __init__(self, proxy, program):
        self.proxy = proxy
        self.program = program
        self.pids = [proxy.process.pid]

    @property
    def pid(self):
        return self.pids[-1]

    def ask(self, command, timeout=90):
        """One request to the control socket, and its reply."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(timeout)
            s.connect(self.proxy.control)
            s.sendall(json.dumps({"version": 1, "command": command}).encode() + b"\n")
            with s.makefile() as f:
                return json.loads(f.readline())

    def upgrade(self):
        reply = self.ask("upgrade")
        assert "result" in reply, reply
        self.pids.append(reply["result"]["pid"])
        assert self.proxy.json()["pid"] == self.pid
        return self.pid

    def replace(self, text):
        """Another program at its path, as a package manager does it."""
        with open(self.program + ".new", "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(self.program + ".new", 0o755)
        os.rename(self.program + ".new", self.program)

    def stop(self):
        for pid in self.pids:
            if not gone(pid):
                os.kill(pid, signal.SIGTERM)
            if pid == self.proxy.process.pid:
                assert self.proxy.process.popen.wait(30) == 0, self.proxy.log()[-3000:]
            else:
                wait_until(lambda p=pid: gone(p), 30, f"process {pid} ends")
        # Successors are nobody's children here, so that only this tells a good end.
        assert self.proxy.log().count(" info ended\n") == len(self.pids), self.proxy.log()[-3000:]
        self.proxy.check_log()


@pytest.fixture
def service(start_proxy, folder):
    running = []

    def start(upstream, **keys):
        program = os.path.join(folder, "nbdzero-proxy")
        shutil.copy(paths.PROXY, program)
        running.append(Service(start_proxy(upstream, program=program, **keys), program))
        return running[-1]

    yield start
    for one in running:
        one.stop()


class Worker(threading.Thread):
    """A libnbd client: connects, writes, reads back what it wrote, and again; or all on one connection."""

    def __init__(self, uri, offset, lasting):
        super().__init__(daemon=True)
        self.uri, self.offset, self.lasting = uri, offset, lasting
        self.connections = self.turns = 0
        self.failure = None
        self.ending = threading.Event()
        self.start()

    def turn(self, h):
        data = os.urandom(64 << 10)
        h.pwrite(data, self.offset)
        assert h.pread(len(data), self.offset) == data, "other bytes than were written"
        self.turns += 1

    def run(self):
        try:
            while not self.ending.is_set():
                with connected(self.uri) as h:
                    self.connections += 1
                    self.turn(h)
                    while self.lasting and not self.ending.is_set():
                        self.turn(h)
        except (nbd.Error, AssertionError) as e:
            self.failure = repr(e)

    def stop(self):
        self.ending.set()
        self.join(60)
        assert not self.failure and not self.is_alive(), self.failure


@pytest.mark.calls
def test_nobody_is_lost(service, servers):
    """Clients come, go and stay, with every byte checked, through four upgrades; by TCP and by a Unix socket."""
    upstream = servers.nbdkit("memory", "16M")
    s = service({"main": upstream.uri, "other": (upstream.uri, {}, {"address": f"127.0.0.1:{free_port()}"})})
    tcp = next(row["address"] for row in s.proxy.json()["listeners"] if row["name"] == "other")
    workers = [Worker(uri, (2 * i + lasting) * MIB, bool(lasting))
               for i, uri in enumerate((s.proxy.uri(), f"nbd://{tcp}/")) for lasting in (0, 1)]
    for _ in range(4):
        for w in workers:
            target = w.turns + 3
            wait_until(lambda w=w, t=target: w.turns >= t or w.failure, 60, "turns")
        s.upgrade()
    before = [w.turns for w in workers]
    wait_until(lambda: all(w.turns > t + 2 or w.failure for w, t in zip(workers, before)), 60, "turns")
    # Who stays is still with the first process, who comes is with the last.
    assert not gone(s.pids[0])
    for w in workers:
        w.stop()
    assert workers[1].connections == workers[3].connections == 1 and workers[0].connections > 5
    for pid in s.pids[:-1]:
        wait_until(lambda p=pid: gone(p), 30, f"process {pid} ends with its last connection")
    assert s.proxy.process.popen.wait(1) == 0
    assert len(set(s.pids)) == 5 and not s.proxy.lines("error")


@pytest.mark.smoke
def test_what_belongs_to_whom(service, servers, raw):
    """Socket files stay, are the new process's, and go with it; the old one refuses what is not its any more."""
    upstream = servers.nbdkit("memory", "1M")
    s = service(upstream.uri, upgrade_timeout="0s")
    c = raw(s.proxy.address)
    c.start()
    inode = os.stat(s.proxy.address).st_ino, os.stat(s.proxy.control).st_ino
    old = s.proxy.process
    old.popen.send_signal(signal.SIGUSR2)
    wait_until(lambda: "serves now" in old.log(), 60)
    s.pids.append(s.proxy.json()["pid"])
    assert s.pid != old.pid
    assert inode == (os.stat(s.proxy.address).st_ino, os.stat(s.proxy.control).st_ino)
    old.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: f"reload refused: process {s.pid} has taken over" in old.log(), 20)
    old.popen.send_signal(signal.SIGUSR2)
    wait_until(lambda: f"upgrade refused: process {s.pid} has taken over" in old.log(), 20)
    assert c.write(0, b"y" * 512) == 0, "its connection goes on"
    assert s.proxy.json()["connections"] == []
    c.disconnect()
    assert old.popen.wait(20) == 0
    assert os.path.exists(s.proxy.control) and accepts(s.proxy.address)
    os.kill(s.pid, signal.SIGTERM)
    wait_until(lambda: gone(s.pid), 20)
    assert not os.path.exists(s.proxy.control) and not os.path.exists(s.proxy.address)


def test_the_old_one_answers_sigterm(service, servers, raw):
    upstream = servers.nbdkit("memory", "1M")
    s = service(upstream.uri)
    c = raw(s.proxy.address)
    c.start()
    s.upgrade()
    s.proxy.process.popen.send_signal(signal.SIGTERM)
    assert s.proxy.process.popen.wait(20) == 0
    c.expect_close()
    assert accepts(s.proxy.address)


def test_a_second_sigterm_does_not_hurry_the_old_one(service, model, raw):
    """systemd sends one when the new process, which has nothing to finish, has ended."""
    upstream = model(HoldsReads)
    s = service(upstream.uri, drain_timeout="60s")
    c = raw(s.proxy.address, timeout=30)
    c.start()
    cookie = c.request(wire.READ, 0, 512)
    upstream.wait_requests(1, wire.READ)
    s.upgrade()
    for pid in s.pids:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: gone(s.pid), 20, "the new process ends")
    os.kill(s.pids[0], signal.SIGTERM)
    wait_until(lambda: "SIGTERM again" in s.proxy.log(), 20)
    assert c.silent(0.3)
    upstream.may.set()
    assert c.reply(512)[:2] == (cookie, 0)
    c.expect_close()


def test_upgrade_timeout(service, servers, raw):
    upstream = servers.nbdkit("memory", "1M")
    s = service(upstream.uri, upgrade_timeout="1s")
    c = raw(s.proxy.address, timeout=30)
    c.start()
    s.upgrade()
    c.expect_close(timeout=30)
    assert s.proxy.process.popen.wait(20) == 0
    assert "upgrade-timeout: draining" in s.proxy.log()


@pytest.mark.parametrize("program,why", [
    ("#!/bin/sh\nexit 3\n", "exit status 3"),
    ("#!/bin/sh\nkill -SEGV $$\n", "signal 11"),
    ("no program", "Exec format error"),
], ids=["exits", "crashes", "no-program"])
def test_a_broken_binary(service, servers, raw, program, why):
    upstream = servers.nbdkit("memory", "1M")
    s = service(upstream.uri)
    c = raw(s.proxy.address)
    c.start()
    s.replace(program)
    reply = s.ask("upgrade")
    assert why in reply.get("error", ""), reply
    wait_until(lambda: any(why in line for line in s.proxy.lines("error")), 20, "the log says it, too")
    for one in (c, raw(s.proxy.address)):
        if one is not c:
            one.start()
        assert one.write(0, b"z" * 512) == 0
    assert s.proxy.json()["pid"] == s.pid
    # And a good one is welcome.
    shutil.copy(paths.PROXY, s.program + ".new")
    os.rename(s.program + ".new", s.program)
    s.upgrade()


def test_a_bad_configuration(service, servers, raw, folder):
    """Its fault is told to whoever asked; also one that only shows when sockets are opened."""
    upstream = servers.nbdkit("memory", "1M")
    s = service(upstream.uri)
    good = open(s.proxy.config, encoding="ascii").read()
    with open(s.proxy.config, "w", encoding="ascii") as f:
        f.write(good + "[proxy]\nnonsense = 1\n")
    reply = s.ask("upgrade")
    assert s.proxy.config in reply["error"] and "goes on" in reply["error"], reply
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with open(s.proxy.config, "w", encoding="ascii") as f:
            f.write(f"{good}\n[listen new]\naddress = 127.0.0.1:{taken.getsockname()[1]}\nupstream = main\n")
        reply = s.ask("upgrade")
        assert "[listen new]" in reply["error"] and "in use" in reply["error"], reply
    assert stat.S_ISSOCK(os.stat(s.proxy.control).st_mode)
    c = raw(s.proxy.address)
    c.start()
    assert c.write(0, b"z" * 512) == 0 and s.proxy.json()["pid"] == s.pid
    # Another listener, and one less: as the file says.
    path = os.path.join(folder, "elsewhere")
    with open(s.proxy.config, "w", encoding="ascii") as f:
        f.write(good.replace(f"unix:{s.proxy.address}", f"unix:{path}"))
    s.upgrade()
    assert accepts(path) and not os.path.exists(s.proxy.address)
    s.proxy.listen.address = path


def test_another_state_dir_needs_a_restart(service, servers, folder):
    """The two processes would not see each other's locks. A reload that is told so changes nothing of it, either."""
    upstream = servers.nbdkit("memory", "1M")
    s = service(upstream.uri)
    state = s.proxy.json()["state"]["dir"]
    with open(s.proxy.config, encoding="ascii") as f:
        text = f.read()
    assert text.count(f"state-dir = {state}\n") == 1
    with open(s.proxy.config, "w", encoding="ascii") as f:
        f.write(text.replace(f"state-dir = {state}\n", f"state-dir = {folder}/elsewhere\n"))
    assert any("state-dir" in line for line in s.ask("reload")["result"]["warnings"])
    assert s.proxy.json()["state"]["dir"] == state
    error = s.ask("upgrade")["error"]
    assert f"state-dir: {state} -> {folder}/elsewhere needs a restart" in error and "goes on" in error
    with open(s.proxy.config, "w", encoding="ascii") as f:
        f.write(text)
    s.upgrade()


# Says that it is ready, takes what it is given, and fails.
TURNCOAT = """#!/usr/bin/python3
import os, socket, sys, time
channel = socket.socket(fileno=int(os.environ["NBDZERO_UPGRADE"]))
channel.send(b"pid %d" % os.getpid())
channel.send(b"ready")
assert channel.recv(100) == b"go"
{end}
"""


@pytest.mark.parametrize("end, why", [("sys.exit(3)", "exit status 3"),
                                      ("channel.send(b'failed of its own')\nsys.exit(1)", "of its own")])
def test_one_that_fails_when_it_has_everything(service, servers, raw, end, why):
    """All is taken back: listeners, control socket, and the saving of verdicts."""
    upstream = servers.nbdkit("memory", "1M")
    s = service(upstream.uri)
    c = raw(s.proxy.address)
    c.start()
    s.replace(TURNCOAT.replace("{end}", end))
    assert why in s.ask("upgrade")["error"]
    late = raw(s.proxy.address)
    late.start()
    assert late.write(0, b"l" * 512) == 0 and c.read(0, 512) == b"l" * 512
    s.proxy.stat("verdict", "", "slow")
    wait_until(lambda: [n for n in os.listdir(s.proxy.state_dir) if n.startswith("verdict-")], 20, "it is saved")
    for one in (c, late):
        one.disconnect()
    shutil.copy(paths.PROXY, s.program + ".new")
    os.rename(s.program + ".new", s.program)
    s.upgrade()


def test_one_at_a_time(service, servers):
    """While one is under way a second one is refused, and a reload; SIGTERM ends both processes."""
    upstream = servers.nbdkit("memory", "1M")
    s = service(upstream.uri)
    s.replace("#!/bin/sh\nexec sleep 100\n")
    replies = []
    thread = threading.Thread(target=lambda: replies.append(s.ask("upgrade")))
    thread.start()
    wait_until(lambda: "upgrade: starting" in s.proxy.log(), 20)
    assert "another one is under way" in s.ask("upgrade")["error"]
    assert "reload refused: an upgrade is under way" in s.ask("reload")["error"]
    assert accepts(s.proxy.address)
    s.proxy.process.popen.send_signal(signal.SIGTERM)
    thread.join(30)
    assert "asked to end" in replies[0]["error"]
    assert s.proxy.process.popen.wait(20) == 0


def test_systemd_learns_the_main_process(service, servers, folder, raw):
    """MAINPID comes from the old process, which is the one that is believed; READY only then, from the new."""
    systemd = NotifySocket(os.path.join(folder, "notify"))
    upstream = servers.nbdkit("memory", "1M")
    s = service(upstream.uri, env=dict(systemd.env, WATCHDOG_USEC="2000000", WATCHDOG_PID=""))
    systemd.until("READY")
    c = raw(s.proxy.address)
    c.start()
    new = s.upgrade()
    told = systemd.until("MAINPID")
    assert told == {"MAINPID": str(new)} and told.sender == s.pids[0]
    ready = systemd.until("READY")
    assert ready["MAINPID"] == str(new) and ready.sender == new
    assert systemd.until("WATCHDOG").sender == new
    at = len(systemd.seen)
    c.disconnect()
    assert s.proxy.process.popen.wait(20) == 0
    systemd.until("WATCHDOG")
    assert {m.sender for m in systemd.seen[at:]} == {new}, "the old one has nothing to say any more"


def test_metrics_go_over(service, servers):
    port = free_port()
    upstream = servers.nbdkit("memory", "1M")
    s = service(upstream.uri, metrics_listen=f"127.0.0.1:{port}")
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as c:
            c.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert b"nbdzero_" in c.makefile("rb").read()
        s.upgrade()


def test_neither_measures_while_both_serve(model, service, raw):
    upstream = model(HoldsZeroes)
    upstream.go.set()
    s = service(upstream.uri)
    old = raw(s.proxy.address, timeout=30)
    old.start()
    s.upgrade()
    new = raw(s.proxy.address, timeout=30)
    new.start()

    def ask(c):
        return c.call(wire.WRITE_ZEROES, 0, 16 * MIB, wire.FAST_ZERO)
    for c in (new, old, new):
        assert ask(c) == wire.ENOTSUP
    assert not upstream.requests(wire.WRITE_ZEROES) and s.proxy.export()["probes"]["run"] == 0
    old.disconnect()
    assert s.proxy.process.popen.wait(20) == 0
    assert ask(new) in (0, wire.ENOTSUP)
    assert s.proxy.export()["probes"]["run"] == 1, "it is alone now"


def test_what_is_known_goes_over(model, service, raw):
    """What the old one has found out a moment ago the new one knows, and the old one does not write over it."""
    upstream = model(HoldsZeroes)
    upstream.go.set()
    s = service(upstream.uri)
    c = raw(s.proxy.address, timeout=30)
    c.start()
    c.call(wire.WRITE_ZEROES, 0, 16 * MIB, wire.FAST_ZERO)
    wait_until(lambda: s.proxy.export()["probes"]["run"] == 1, 20)
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(s.proxy.control)
        control.sendall(b'{"version":1,"command":"verdict","export":"","verdict":"slow"}\n')
        assert b"result" in control.recv(65536)
    s.upgrade()
    files = {name: os.stat(os.path.join(s.proxy.state_dir, name)).st_mtime_ns
             for name in os.listdir(s.proxy.state_dir) if name.startswith("verdict-")}
    assert files, "nothing has been saved"
    new = raw(s.proxy.address, timeout=30)
    new.start()
    assert any(v["source"] == "pinned" for v in s.proxy.export()["verdicts"])
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(s.proxy.control)
        control.sendall(b'{"version":1,"command":"verdict","export":"","verdict":"fast"}\n')
        assert b"result" in control.recv(65536)
    new.disconnect()
    c.disconnect()
    assert s.proxy.process.popen.wait(20) == 0, "the old one ends last, and saves nothing"
    s.upgrade()
    again = raw(s.proxy.address, timeout=30)
    again.start()
    assert {v["verdict"] for v in s.proxy.export()["verdicts"]} == {"fast"}
