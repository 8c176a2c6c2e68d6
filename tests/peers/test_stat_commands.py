# SPDX-License-Identifier: BSD-3-Clause
"""nbdzero-stat without a terminal: its tables, what it says of mistakes, and the commands that change things."""
import json
import os
import socket
import subprocess
import threading
import time

import pytest

from nbdtest import paths
from nbdtest.process import wait_until
from nbdtest.proxy import SANITIZER_ENV

HEADINGS = ["LISTENER", "UPSTREAM", "EXPORT", "EXPORT", "ID"]  # of show
NOBODY = 65534


def run(*argv, user=None, timeout=30, **env):
    return subprocess.run([paths.STAT, *argv], check=False, capture_output=True, text=True,
                          timeout=timeout, user=user, env=dict(os.environ, **SANITIZER_ENV, **env))


def test_every_table_has_its_heading(start_proxy):
    """Even if nobody has come yet; and in a pipe there are no colours, and nothing is cut."""
    name = "an-export-with-" + "a-rather-" * 12 + "long-name"
    proxy = start_proxy("nbd+unix:///?socket=/nonexistent", exports={
        "long": {"upstream": "main", "name": name}})
    text = proxy.stat().stdout
    assert text.startswith("nbdzero-proxy ")
    assert [line.split()[0] for line in text.splitlines() if line[:1].isupper()] == HEADINGS
    assert f"main/{name}" in text and "\x1b" not in text and "~" not in text and "\u2026" not in text
    assert text.count("(none)") == 2  # latencies, connections
    assert "not used yet" in proxy.stat("verdicts").stdout
    assert proxy.stat("connections").stdout.splitlines()[1:] == ["(none)"]


def test_latencies_and_connections(stage):
    s = stage()
    s.client().start()
    wait_until(lambda: any(line.split()[:2] == ['good/""', "read"]
                           for line in s.proxy.stat().stdout.splitlines()), 10, "reads counted")
    text = s.proxy.stat().stdout
    row = next(line.split() for line in text.splitlines() if line.split()[:2] == ['good/""', "read"])
    assert len(row) == 10 and all(w.endswith(("us", "ms", "s")) for w in row[5:]), row
    assert len(s.proxy.stat("connections").stdout.splitlines()) == 3


def test_one_snapshot_four_renderings(stage):
    s = stage(watch=False)
    s.client().start()
    assert len(json.loads(s.proxy.stat("json").stdout)["connections"]) == 1
    metrics = s.proxy.stat("prometheus").stdout
    assert "# TYPE nbdzero_" in metrics and metrics.endswith("\n")
    assert "1 of " in s.proxy.stat("show").stdout


def test_watch_in_a_pipe(stage):
    """Again and again, with rates from the second time on; ended by whoever reads it no more."""
    s = stage()
    with subprocess.Popen([paths.STAT, "-s", s.proxy.control, "--watch=0.2"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True,
                          env=dict(os.environ, **SANITIZER_ENV)) as p:
        seen = []
        for line in p.stdout:
            seen.append(line)
            if "OPS/s" in line:
                break
        text = "".join(seen)
        assert text.count("nbdzero-proxy ") == 2 and "requests/s" in text and "\x1b" not in text
        assert "COUNT" in text.split("nbdzero-proxy ")[1]  # no rates at first
        p.stdout.close()
        assert p.wait(30) != 0


def test_watch_goes_on_without_the_daemon(stage):
    s = stage(watch=False)
    with subprocess.Popen([paths.STAT, "-s", s.proxy.control, "connections", "-w0.2"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=dict(os.environ, **SANITIZER_ENV)) as p:
        assert p.stdout.readline().split()[0] == "ID"
        s.proxy.stop()
        for _ in range(2):
            assert "No such file" in p.stderr.readline()
        p.terminate()


def test_usage():
    for argv in (["dance"], ["show", "now"], ["verdict"], ["verdict", "x"], ["verdict", "x", "quick"],
                 ["log-level"], ["log-level", "loud"], ["reload", "-w"], ["-w0.01"], ["-wsoon"],
                 ["--watch=nan"], ["-s"], ["drain", "--watch=2"]):
        done = run("-s", "/nonexistent", *argv)
        assert done.returncode == 2 and "Try nbdzero-stat --help." in done.stderr, (argv, done)
    done = run("--help")
    assert done.returncode == 0 and "log-level" in done.stdout and not done.stderr
    done = run("--version")
    assert done.returncode == 0 and done.stdout.startswith("nbdzero-stat ")


def test_which_socket(stage):
    s = stage(watch=False)
    assert run("show", NBDZERO_CONTROL=s.proxy.control).returncode == 0
    assert run("-s", s.proxy.control, "show", NBDZERO_CONTROL="/nonexistent").returncode == 0
    done = run("show", NBDZERO_CONTROL="/nonexistent")
    assert done.returncode == 1 and "/nonexistent" in done.stderr and "-s SOCKET" in done.stderr


def test_socket_that_nobody_serves(folder):
    """Left over by one that was killed."""
    path = os.path.join(folder, "control")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen()
    done = run("-s", path)
    assert done.returncode == 1 and "nobody listens there" in done.stderr and "start it" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_socket_of_another_user(stage, folder):
    s = stage(watch=False)
    os.chmod(folder, 0o711)
    program = os.path.join(folder, "nbdzero-stat")
    subprocess.run(["cp", paths.STAT, program], check=True)  # the build folder may be closed to them
    done = subprocess.run([program, "-s", s.proxy.control], check=False, capture_output=True, text=True,
                          user=NOBODY, group=NOBODY, extra_groups=[], timeout=30,
                          env=dict(os.environ, **SANITIZER_ENV))
    assert done.returncode == 1 and "Permission denied" in done.stderr, done
    assert "user root" in done.stderr and "sudo" in done.stderr, done


def test_answer_that_drips(folder):
    """A byte now and then is no answer in time: the whole of it has one deadline."""
    path = os.path.join(folder, "control")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def drip():
            peer, _ = listener.accept()
            with peer:
                try:
                    while True:
                        peer.send(b" ")
                        time.sleep(0.05)
                except OSError:
                    pass
        thread = threading.Thread(target=drip)
        thread.start()
        begin = time.monotonic()
        done = run("-s", path, "check")
        assert time.monotonic() - begin < 20
        thread.join()
    assert done.returncode == 2 and done.stdout.startswith("CRITICAL - no answer"), done
    assert "timed out" in done.stdout


def test_log_level(stage):
    s = stage(watch=False)
    assert s.proxy.stat("log-level", "info").stdout == "log-level is info, was debug\n"
    assert s.proxy.stat("log-level", "warn").stdout == "log-level is warn, was info\n"


def test_verdict(start_proxy):
    nowhere = "nbd+unix:///?socket=/nonexistent"
    proxy = start_proxy({"main": nowhere + "/a", "good": nowhere + "/b"}, exports={
        "disk": {"upstream": "main"}, "both": {"upstream": "main"},
        "second": {"upstream": "good", "listen": "good", "name": "both"}})
    said = proxy.stat("verdict", "disk", "fast").stdout
    assert said == "main/disk: fast, until auto\n"
    assert any(line.split()[:1] == ["main/disk"] and "pinned" in line and "fast" in line
               for line in proxy.stat("verdicts").stdout.splitlines())
    assert "set by administrator" in proxy.stat("verdicts").stdout
    assert proxy.stat("verdict", "main/disk", "auto").stdout == "main/disk: measured, not pinned\n"
    assert "pinned" not in proxy.stat("verdicts").stdout
    assert "forgotten" in proxy.stat("verdict", "main/disk", "forget").stdout
    done = proxy.stat("verdict", "both", "slow", check=False)
    assert done.returncode == 1 and "main" in done.stderr and "good" in done.stderr
    assert proxy.stat("verdict", "good/both", "slow").stdout == "good/both: slow, until auto\n"
    done = proxy.stat("verdict", "none", "slow", check=False)
    assert done.returncode == 1 and "none" in done.stderr


def test_drain(stage):
    s = stage(watch=False)
    said = s.proxy.stat("drain").stdout
    assert said.startswith("draining 0 connections, for at most 5s"), said
    assert s.proxy.process.popen.wait(30) == 0
