# SPDX-License-Identifier: BSD-3-Clause
"""What may come by the control socket, and what may lie at its path. A client of the proxy is served all the
time."""
import os
import signal
import socket
import time

import pytest

from nbdtest import paths
from nbdtest.control import Control, ask, request
from nbdtest.process import wait_until
from nbdtest.proxy import SANITIZER_ENV, run_proxy

BAD = {
    b"": "not JSON",
    b"\0": "not JSON",
    b"\xff\xfe": "not JSON",
    b'{"version":1,"command":"json"': "not JSON",
    b'{"version":1,"command":"json"}{}': "not JSON",
    b'{"version":1,"command":"js\\u0000on"}': "not JSON",
    b"[" * 4000: "not JSON",
    b'{"version":1e400,"command":"json"}': "not JSON",
    b'{"version":99999999999999999999,"command":"json"}': "not JSON",
    b'{"version":1,"command":"json","command":"drain"}': "not JSON: duplicate",
    b'["json"]': "not a JSON object",
    b'{"command":"json"}': '"version"',
    b'{"version":1.0,"command":"json"}': '"version"',
    b'{"version":0,"command":"json"}': "version 0 is not spoken here, only 1",
    b'{"version":1}': '"command"',
    b'{"version":1,"command":null}': '"command"',
    b'{"version":1,"command":"\xc3\xa9\\u001b[2J"}': 'unknown command "\\xc3\\xa9\\x1b[2J"',
    b'{"version":1,"command":"log-level"}': 'no "level"',
    b'{"version":1,"command":"log-level","level":"loud"}': "error, warn, info or debug would be right",
    b'{"version":1,"command":"log-level","level":["debug"]}': '"level" is not a string',
    b'{"version":1,"command":"log-level","level":"info","for":"1h"}': 'has no "for"',
    b'{"version":1,"command":"drain","really":false}': 'has no "really"',
    b'{"version":1,"command":"verdict","export":"x"}': 'no "verdict"',
}


def test_each_bad_request_has_its_error(stage):
    s = stage()
    with Control(s.proxy.control) as c:
        for text, expected in BAD.items():
            c.send(text + b"\n")
            reply = c.reply()
            assert list(reply) == ["error"] and expected in reply["error"], (text, reply)
        counts = c.ask("json")["result"]["control"]
    assert counts["malformed"] == len(BAD)
    assert counts["requests"] >= len(BAD) + 1 and counts["changes"] == counts["denied"] == 0


def test_all_at_once_are_answered_in_their_order(stage):
    s = stage(watch=False)
    with Control(s.proxy.control) as c:
        c.send("".join(f"{request('json')}\nx{i}\n" for i in range(20)))
        for _ in range(20):
            assert "exports" in c.reply()["result"]
            assert "not JSON" in c.reply()["error"]


@pytest.mark.parametrize("size", [4097, 1 << 20])
def test_huge(stage, size):
    s = stage()
    with Control(s.proxy.control) as c:
        try:
            c.send(b" " * size)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it does not listen to the end
        assert c.reply() == {"error": "the request is longer than 4096 bytes"}
    assert s.proxy.json()["control"]["malformed"] == 1


class Nuisance:
    """A connection that sends one thing again and again, reads nothing, and notes when it was closed."""

    def __init__(self, path, data):
        self.control = Control(path)
        self.control.sock.setblocking(False)
        self.data = data
        self.start = time.monotonic()
        self.lasted = None

    def send(self):
        try:
            self.control.sock.send(self.data)
        except BlockingIOError:
            pass
        except OSError:
            self.lasted = self.lasted or time.monotonic() - self.start
        return self.lasted


def test_slow_ones_are_closed(stage):
    """One that never ends its request, and one that asks and asks and does not read: what waits for it is
    bounded, and so is the time."""
    s = stage()
    before = s.proxy.process.rss()
    both = [Nuisance(s.proxy.control, b" "), Nuisance(s.proxy.control, (request("json") + "\n").encode())]
    try:
        wait_until(lambda: all([n.send() for n in both]), 60, "both are closed", 0.01)
        assert both[0].lasted > 4
        assert s.proxy.process.rss() - before < 64 << 20
        wait_until(lambda: s.proxy.json()["control"]["conversations"] == 1, 10, "both are gone")
    finally:
        for n in both:
            n.control.close()


def test_connections_that_vanish_while_they_wait(stage):
    """The reply comes to nobody."""
    s = stage()
    for _ in range(12):  # fewer than there may be
        with Control(s.proxy.control) as c:
            c.send(request("json") + "\n")
    wait_until(lambda: s.proxy.json()["control"]["conversations"] == 1, 10, "all are gone")


# What lies at the path ----------------------------------------------------------------------


@pytest.fixture
def config(folder):
    """(file, control socket) of a proxy that has not been started."""
    path, control = os.path.join(folder, "a.conf"), os.path.join(folder, "made", "control.sock")
    os.mkdir(os.path.dirname(control))
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"[proxy]\ncontrol-socket = {control}\nstate-dir =\nthreads = 1\n"
                f"[listen a]\naddress = unix:{folder}/a.sock\nupstream = b\n"
                f"[upstream b]\nuri = nbd+unix:///?socket={folder}/none\n")
    return path, control


def bound(path, kind, listen=False):
    s = socket.socket(socket.AF_UNIX, kind)
    s.bind(path)
    if listen:
        s.listen(1)
    return s


OCCUPANTS = {
    "living": (lambda path: bound(path, socket.SOCK_STREAM, True), "in use: another process answers there"),
    "datagram": (lambda path: bound(path, socket.SOCK_DGRAM), "in use: another process answers there"),
    "file": (lambda path: open(path, "x", encoding="ascii"), "what is there is not a socket"),
    "directory": (os.mkdir, "what is there is not a socket"),
    "dangling": (lambda path: os.symlink("nowhere", path), "what is there is not a socket"),
}


@pytest.mark.parametrize("kind", OCCUPANTS)
def test_what_is_not_ours_is_refused(config, kind):
    path, control = config
    make, why = OCCUPANTS[kind]
    held = make(control)
    before = os.lstat(control).st_ino
    done = run_proxy("-c", path)
    assert done.returncode == 1
    assert f"error control-socket: cannot listen on unix:{control}: {why}" in done.stderr
    assert os.lstat(control).st_ino == before
    del held


def test_a_dead_socket_is_replaced(config, processes):
    path, control = config
    bound(control, socket.SOCK_STREAM, True).close()
    process = processes.start([paths.PROXY, "-c", path], env=SANITIZER_ENV)

    def answers():
        try:
            return ask(control, "json")["result"]["pid"]
        except ConnectionRefusedError:
            return None
    process.wait_ready(answers)
    assert ask(control, "json")["result"]["pid"] == process.pid
    assert process.terminate(signal.SIGTERM) == 0
    assert not os.path.exists(control)
