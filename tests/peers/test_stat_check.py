# SPDX-License-Identifier: BSD-3-Clause
"""nbdzero-stat check: one line for a monitoring system, and each of its exit codes."""
import os

import pytest

from nbdtest import wire
from nbdtest.process import wait_until
from nbdtest.rawserver import ModelUpstream
from nbdtest.threads import held


def check(proxy, code, *words, argv=()):
    done = proxy.stat("check", *argv, check=False)
    (line,) = done.stdout.splitlines()
    assert done.returncode == code, done
    assert line.startswith(["OK", "WARNING", "CRITICAL", "UNKNOWN"][code] + " - "), line
    assert all(word in line for word in words), line
    return line


@pytest.fixture
def certified(stage, world, folder):
    """A proxy whose certificate is valid for so many days."""
    def start(**validity):
        one = world.ours.issue("dated", usage="server", **validity)
        path = world.directory(path=os.path.join(folder, "dated"), ca=world.ours, server=one)
        return stage(listen=world.listen(tls_certificates=path), watch=False).proxy
    return start


def test_ok(stage):
    s = stage()
    c = s.client()
    c.start()
    check(s.proxy, 0, "2 of ")


def test_certificate_of_15_days(certified):
    check(certified(days=15), 0)


def test_certificate_of_13_days(certified):
    line = check(certified(days=13), 1, "server-cert.pem of [listen main] ends in 1")
    assert line.split()[-1] in ("12d23h", "13d0h")


def test_certificate_that_has_ended(certified, world):
    proxy = certified(not_before=-9, not_after=-3)
    check(proxy, 1, "server-cert.pem of [listen main] ended 3d0h ago")
    # And is cured by a reload.
    world.directory(path=f"{proxy.folder}/dated", server=world.server)
    proxy.stat("reload")
    check(proxy, 0)


def test_many_connections(stage):
    s = stage(watch=False, max_connections=10)
    clients = [s.client() for _ in range(9)]
    for c in clients:
        c.greet()
    check(s.proxy, 0, "9 of 10 connections")
    s.client().greet()
    check(s.proxy, 1, "10 of 10 connections")


def test_upstream_down_and_up_again(stage, world, folder):
    """It is told by the last connect, whoever asked for it."""
    s = stage(watch=False)
    check(s.proxy, 0)
    os.rename(s.upstream.path, s.upstream.path + ".away")
    c = s.client()
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
    check(s.proxy, 2, "CRITICAL - the last connect to upstream main failed")
    os.rename(s.upstream.path + ".away", s.upstream.path)
    check(s.proxy, 2)  # nobody has tried again yet
    s.client().start()
    check(s.proxy, 0)


def test_upstream_that_has_moved(stage, model):
    """What is known of the old place says nothing of the new."""
    s = stage(watch=False)
    os.rename(s.upstream.path, s.upstream.path + ".away")
    c = s.client()
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
    other = model(ModelUpstream)
    with open(s.proxy.config, encoding="utf-8") as f:
        text = f.read()
    with open(s.proxy.config, "w", encoding="utf-8") as f:
        f.write(text.replace(s.upstream.uri, other.uri))
    check(s.proxy, 2)
    s.proxy.stat("reload")
    check(s.proxy, 0)


def test_upstream_whose_tls_is_repaired(stage, world, folder):
    """Files are read anew by a reload, so what was wrong with the old ones is forgotten."""
    path = world.directory(path=os.path.join(folder, "trust"), ca=world.foreign)
    s = stage(overrides={"tls": world.serving}, watch=False, **world.upstream(tls_certificates=path))
    c = s.client()
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
    check(s.proxy, 2, "the last connect to upstream main failed")
    world.directory(path=path, ca=world.ours)
    s.proxy.stat("reload")
    check(s.proxy, 0)
    assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM  # with what it began with
    check(s.proxy, 0)
    s.client().start()
    check(s.proxy, 0)


def test_all_reasons_in_one_line(stage, world, folder):
    one = world.ours.issue("dated", usage="server", days=2)
    path = world.directory(path=os.path.join(folder, "dated"), ca=world.ours, server=one)
    s = stage(watch=False, listen=world.listen("allow", tls_certificates=path), max_connections=1)
    os.rename(s.upstream.path, s.upstream.path + ".away")
    c = s.client()
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
    line = check(s.proxy, 2, "upstream main failed; 1 of 1 connections", "; server-cert.pem of ")
    assert line.count(";") == 2


def test_no_answer(stage):
    s = stage(watch=False)
    s.proxy.stop()
    check(s.proxy, 2, "no answer at", s.proxy.control)


def test_a_worker_stands_still(stage):
    """One thread is held as by a debugger; the others run."""
    s = stage(watch=False)
    with held(s.proxy.process.pid, "worker-0"):
        check(s.proxy, 2, "a worker thread does not answer")
    wait_until(lambda: s.proxy.stat("check", check=False).returncode == 0, 5, "the worker is back")


def test_unknown(stage):
    """What says nothing of the proxy."""
    s = stage(watch=False)
    check(s.proxy, 3, "usage", argv=["now"])
    check(s.proxy, 3, "usage", argv=["--nonsense"])
    s.proxy.control = "/" + "x" * 200
    check(s.proxy, 3, "longer than")


def test_usage_of_other_commands(stage):
    s = stage(watch=False)
    for argv in (["reload", "now"], ["--nonsense"], ["dance"], ["show", "--x"]):
        assert s.proxy.stat(*argv, check=False).returncode == 2, argv
