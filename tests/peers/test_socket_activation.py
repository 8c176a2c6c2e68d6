# SPDX-License-Identifier: BSD-3-Clause
"""address = systemd:NAME: sockets that are there before the process is, passed by systemd-socket-activate or,
where that cannot make them wrong enough, by the test."""
import os
import signal
import socket
import subprocess

import pytest

from nbdtest import paths
from nbdtest.process import accepts, free_port, wait_until
from nbdtest.proxy import SANITIZER_ENV, run_proxy
from nbdtest.rawclient import RawClient

ACTIVATE = "systemd-socket-activate"


def configuration(folder, *names, extra=""):
    listeners = "".join(f"[listen {n}]\naddress = systemd:{n}\nupstream = u\n" for n in names)
    path = os.path.join(folder, "activated.conf")
    with open(path, "w", encoding="ascii") as f:
        f.write(f"[proxy]\nthreads = 1\ncontrol-socket = {folder}/control\nstate-dir = {folder}/state\n"
                f"drain-timeout = 2s\n{listeners}{extra}[upstream u]\nuri = nbd+unix:///?socket={folder}/u1.sock\n")
    return path


def listening(kind=socket.SOCK_STREAM, family=socket.AF_INET, listen=True, path=None):
    s = socket.socket(family, kind)
    s.bind(path or ("127.0.0.1", 0))
    if listen:
        s.listen(8)
    return s


# $LISTEN_PID must be the process that execs.
SHELL = 'LISTEN_PID=$$ exec "$0" "$@"'


def pass_to(argv, fds, names, **kwargs):
    """Runs a program with these descriptors from 3 on."""
    def arrange():
        high = [os.dup(os.dup2(fd, 100 + i)) for i, fd in enumerate(fds)]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i)
        os.closerange(3 + len(fds), 200)
    env = dict(os.environ, **SANITIZER_ENV, LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=":".join(names))
    return subprocess.Popen(["sh", "-c", SHELL, *map(str, argv)], preexec_fn=arrange, env=env, close_fds=False,
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **kwargs)


def refused(folder, fds, names, *words, config=None):
    """It does not start with these, and says why in its last line."""
    child = pass_to([paths.PROXY, "-c", config or configuration(folder, "a")], fds, names)
    _, said = child.communicate(timeout=30)
    assert child.returncode == 1, said
    last = [line for line in said.splitlines() if "error" in line][-1]
    assert all(word in last for word in words), last


@pytest.mark.smoke
def test_activated_by_a_client(folder, processes, servers):
    """The very first connection, which starts the process, is served; a Unix socket and a TCP one."""
    servers.nbdkit("memory", "1M")
    path, port = os.path.join(folder, "s"), free_port()
    # One name for each socket; the rest of the environment is passed on as asked.
    starter = processes.start([ACTIVATE, "-l", path, "-l", f"127.0.0.1:{port}", "--fdname=a:b",
                               *(f"--setenv={k}={v}" for k, v in SANITIZER_ENV.items()),
                               paths.PROXY, "-c", configuration(folder, "a", "b")])
    wait_until(lambda: " as 4." in starter.log(), 20, "both sockets")  # a file is there before it listens
    with RawClient(path, timeout=30) as c, RawClient(("127.0.0.1", port), timeout=30) as d:
        c.start()
        d.start()
        assert c.write(0, b"x" * 512) == 0 and d.read(0, 512) == b"x" * 512
        # A reload keeps the sockets.
        starter.popen.send_signal(signal.SIGHUP)
        wait_until(lambda: "reloaded" in starter.log(), 20)
        with RawClient(path, timeout=30) as e:
            e.start()
            assert e.read(0, 512) == b"x" * 512
    environ = open(f"/proc/{starter.pid}/environ", "rb").read()
    assert b"LISTEN_FDS=2" in environ, "what it was given"
    assert starter.terminate(signal.SIGTERM) == 0
    assert os.path.exists(path), "it is systemd's file"


def test_allow_at_a_unix_socket_is_warned_of(folder):
    """The configuration cannot know what is passed; with TCP there is nothing to be said."""
    unix, tcp = listening(family=socket.AF_UNIX, path=f"{folder}/s"), listening()
    config = configuration(folder, "a", "b", extra="")
    with open(config, encoding="ascii") as f:
        text = f.read().replace("upstream = u\n", "upstream = u\nallow = 127.0.0.0/8\n")
    with open(config, "w", encoding="ascii") as f:
        f.write(text)
    child = pass_to([paths.PROXY, "-c", config], [unix.fileno(), tcp.fileno()], ["a", "b"])
    try:
        with RawClient(tcp.getsockname(), timeout=30) as c:
            assert c.receive(8) == b"NBDMAGIC"
        with RawClient(f"{folder}/s", timeout=30) as c:
            c.expect_close()
    finally:
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=30)
    warnings = [line for line in said.splitlines() if "allow refuses everybody" in line]
    assert len(warnings) == 1 and "[listen a]" in warnings[0] and "SocketMode=" in warnings[0], said


def test_several_of_one_name(folder, servers):
    servers.nbdkit("memory", "1M")
    sockets = [listening() for _ in range(3)]
    config = configuration(folder, "a", "b")
    child = pass_to([paths.PROXY, "-c", config], [s.fileno() for s in sockets], ["a", "b", "a"])
    try:
        for s in sockets:
            with RawClient(s.getsockname(), timeout=30) as c:
                c.start()
                assert c.read(0, 512) == bytes(512)
        # Given up by one reload, and taken back by the next.
        configuration(folder, "b")
        child.send_signal(signal.SIGHUP)
        first = sockets[0].getsockname()
        waiting = RawClient(first, timeout=30)  # systemd's socket listens on
        configuration(folder, "a", "b")
        child.send_signal(signal.SIGHUP)
        waiting.start()
        waiting.close()
    finally:
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=30)
    assert child.returncode == 0 and "Sanitizer" not in said, said


def test_wrong_kinds(folder):
    good = listening()
    with listening(socket.SOCK_DGRAM, listen=False) as s:
        refused(folder, [good.fileno(), s.fileno()], ["a", "x y"],
                "descriptor 4", "(FileDescriptorName=x y)", "not a stream socket", "ListenStream=")
    with listening(listen=False) as s:
        refused(folder, [s.fileno()], ["a"], "descriptor 3", "not listening", "Accept=no")
    with open(os.path.join(folder, "file"), "wb") as f:
        refused(folder, [f.fileno()], ["a"], "descriptor 3", "not a socket")
    with listening() as s:
        refused(folder, [good.fileno(), s.fileno()], ["a", "spare"], "descriptor 4", "used by no [listen]",
                "systemd:spare")
    refused(folder, [good.fileno()], ["b"], "[listen a]", "passed: b", "FileDescriptorName=a")
    good.close()


def test_connected_and_seqpacket(folder):
    pair = socket.socketpair()
    refused(folder, [pair[0].fileno()], ["a"], "not listening")
    path = os.path.join(folder, "seq")
    with listening(socket.SOCK_SEQPACKET, socket.AF_UNIX, path=path) as s:
        refused(folder, [s.fileno()], ["a"], "not a stream socket")


def test_nothing_passed(folder):
    done = run_proxy("-c", configuration(folder, "a"))
    assert done.returncode == 1 and "passed: none" in done.stderr


def test_check_needs_no_sockets(folder):
    done = run_proxy("--check", "-c", configuration(folder, "a", "b"))
    assert done.returncode == 0 and "2 listeners" in done.stdout, done


def test_a_name_that_cannot_be(folder):
    done = run_proxy("--check", "-c", configuration(folder, "a:b"))
    assert done.returncode == 78 and "FileDescriptorName" in done.stderr


def test_sockets_of_another_process(folder):
    """$LISTEN_PID is somebody else: what is open is none of our business."""
    done = subprocess.run([paths.PROXY, "-c", configuration(folder, "a")], check=False, text=True, timeout=30,
                          capture_output=True, env=dict(os.environ, **SANITIZER_ENV, LISTEN_PID="1", LISTEN_FDS="1"))
    assert done.returncode == 1 and "passed: none" in done.stderr


def test_a_reload_that_wants_what_was_not_passed(folder, servers):
    servers.nbdkit("memory", "1M")
    with listening() as s:
        child = pass_to([paths.PROXY, "-c", configuration(folder, "a")], [s.fileno()], ["a"])
        try:
            wait_until(lambda: accepts(s.getsockname()), 20)
            wait_until(lambda: os.path.exists(f"{folder}/control"), 20)
            configuration(folder, "a", "b")
            done = subprocess.run([paths.STAT, "-s", f"{folder}/control", "reload"], check=False,
                                  capture_output=True, text=True, timeout=30)
            assert done.returncode == 1 and "no socket of the name b was passed (passed: a)" in done.stderr, done
            with RawClient(s.getsockname(), timeout=30) as c:
                c.start()
        finally:
            child.send_signal(signal.SIGTERM)
            child.communicate(timeout=30)
    assert child.returncode == 0
