# SPDX-License-Identifier: BSD-3-Clause
"""user and group: started as root, the process becomes somebody without any right, and works as he does."""
import grp
import json
import os
import pwd
import signal
import stat
import subprocess

import pytest

from nbdtest import paths
from nbdtest.process import wait_until
from nbdtest.proxy import SANITIZER_ENV, wait_idle
from nbdtest.rawclient import RawClient
from nbdtest.rawserver import ModelUpstream

NOBODY = pwd.getpwnam("nobody")
# Nobody may trace a process that has given root up, its own leak check no more than others.
ENV = {"ASAN_OPTIONS": SANITIZER_ENV["ASAN_OPTIONS"].replace("detect_leaks=1", "detect_leaks=0")}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def open_folder(folder):
    """One that everybody may look into, and nobody else but root may write to."""
    os.chmod(folder, 0o755)
    return folder


@pytest.fixture
def nobody_proxy(open_folder, model, start_proxy):
    """nobody_proxy({key: value} of [listen], user=..., **keys): its sockets are in a folder of the user, and its
    upstream may be reached by anybody."""
    def start(listen=None, user="nobody", extra="", **keys):
        run = os.path.join(open_folder, "run")
        os.mkdir(run)
        os.chown(run, NOBODY.pw_uid, NOBODY.pw_gid)
        upstream = model(ModelUpstream)
        os.chmod(upstream.uri.partition("socket=")[2], 0o666)
        state = keys.pop("state_dir", os.path.join(run, "state"))
        if not os.path.exists(state):
            os.mkdir(state, 0o700)
            os.chown(state, NOBODY.pw_uid, NOBODY.pw_gid)
        proxy = start_proxy({"main": (upstream.uri, {}, listen or {})}, at=run, threads=2, user=user,
                            state_dir=state, env=ENV, extra=extra, **keys)
        return proxy
    return start


def status(pid, task):
    with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def tasks(proxy):
    pid = proxy.process.popen.pid
    return [status(pid, task) for task in os.listdir(f"/proc/{pid}/task")]


def works(address):
    c = RawClient(address)
    c.start()
    assert c.write(0, b"u" * 4096) == 0 and c.read(0, 4096) == b"u" * 4096
    c.disconnect()


def add(proxy, text):
    with open(proxy.config, "a", encoding="utf-8") as f:
        f.write("\n" + text + "\n")


def no_way_back(proxy, uid, gid):
    """Each thread, those of the kernel for its io_uring included."""
    all_tasks = tasks(proxy)
    assert len(all_tasks) > 3
    for task in all_tasks:
        assert task["Uid"].split() == [str(uid)] * 4, task["Name"]
        assert task["Gid"].split() == [str(gid)] * 4, task["Name"]
        for name in "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
            assert int(task[name], 16) == 0, (task["Name"], name, task[name])
        assert task["NoNewPrivs"] == "1", task["Name"]
        assert "0" not in task.get("Groups", "").split()


@pytest.mark.smoke
def test_becomes_the_user(nobody_proxy):
    proxy = nobody_proxy()
    works(proxy.address)
    wait_idle(proxy)
    no_way_back(proxy, NOBODY.pw_uid, NOBODY.pw_gid)
    assert "root has been given up: user nobody" in proxy.log()
    assert all("max-connections lowered" in line for line in proxy.lines("warn")), proxy.lines("warn")
    for path in proxy.control, proxy.address:
        assert os.stat(path).st_uid == NOBODY.pw_uid
    # It may not be traced, and so belongs to root for /proc: its keys are in no core file.
    assert os.stat(f"/proc/{proxy.process.popen.pid}/mem").st_uid == 0
    proxy.stop()
    assert not os.path.exists(proxy.control) and not os.path.exists(proxy.address)


def test_by_number_with_a_group_of_its_own(nobody_proxy):
    """No user or group that the system knows."""
    proxy = nobody_proxy(user="4000001", group="4000002")
    assert "needs a restart" not in proxy.stat("reload").stdout
    no_way_back(proxy, 4000001, 4000002)
    works(proxy.address)


def test_group(nobody_proxy):
    proxy = nobody_proxy(group="daemon")
    no_way_back(proxy, NOBODY.pw_uid, grp.getgrnam("daemon").gr_gid)


def test_reload_after_it(nobody_proxy, open_folder):
    """Sockets come and go; what only root could do is a fault that says so, and changes nothing."""
    proxy = nobody_proxy({"socket-mode": "0600"})
    run = os.path.dirname(proxy.control)
    with open(proxy.config, encoding="utf-8") as f:
        before = f.read()
    add(proxy, f"[listen more]\naddress = unix:{run}/more\nupstream = main\nsocket-mode = 0640")
    proxy.stat("reload")
    works(f"{run}/more")
    assert stat.S_IMODE(os.stat(f"{run}/more").st_mode) == 0o640
    with open(proxy.config, "w", encoding="utf-8") as f:
        f.write(before.replace("socket-mode = 0600", "socket-mode = 0660"))
    assert "[listen main] socket-mode: 0600 -> 0660" in proxy.stat("reload").stdout
    assert stat.S_IMODE(os.stat(proxy.address).st_mode) == 0o660
    assert not os.path.exists(f"{run}/more")
    add(proxy, f"[listen mine]\naddress = unix:{open_folder}/mine\nupstream = main")
    done = proxy.stat("reload", check=False)
    assert done.returncode == 1 and "needs a restart: root, which this may take" in done.stderr
    works(proxy.address)


def low_ports_are_roots():
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as f:
        if int(f.read()) < 2:
            pytest.skip("anybody may have any port here")


def test_port_of_root(nobody_proxy):
    low_ports_are_roots()
    proxy = nobody_proxy()
    add(proxy, "[listen low]\naddress = 127.0.0.77:1\nupstream = main")
    done = proxy.stat("reload", check=False)
    assert done.returncode == 1
    assert "[listen low]: cannot listen on 127.0.0.77:1: Permission denied: ports below 1024 are root's (needs a restart" in done.stderr


def test_opened_before_it(nobody_proxy):
    """A port that only root may have, in use as nobody."""
    proxy = nobody_proxy(extra="[listen low]\naddress = 127.0.0.78:1\nupstream = main\n")
    works(("127.0.0.78", 1))
    no_way_back(proxy, NOBODY.pw_uid, NOBODY.pw_gid)
    proxy.stat("reload")
    works(("127.0.0.78", 1))


def test_state_is_made_for_the_user(nobody_proxy, folder):
    run = os.path.join(folder, "made")
    os.mkdir(run)
    proxy = nobody_proxy(state_dir=os.path.join(run, "x"))
    state = os.path.join(run, "a/b/state")
    proxy.stop()
    with open(proxy.config, encoding="utf-8") as f:
        text = f.read()
    with open(proxy.config, "w", encoding="utf-8") as f:
        f.write(text.replace(f"state-dir = {run}/x", f"state-dir = {state}"))
    again = subprocess.Popen([paths.PROXY, "-c", proxy.config], stderr=subprocess.PIPE, text=True,
                             env={**os.environ, **SANITIZER_ENV, **ENV})
    try:
        wait_until(lambda: os.path.exists(f"{state}/locks"), 20, "the file of locks")
        for path in f"{run}/a", f"{run}/a/b", state, f"{state}/locks":
            assert os.stat(path).st_uid == NOBODY.pw_uid, path
    finally:
        again.send_signal(signal.SIGTERM)
        assert "cannot be used" not in again.communicate(timeout=20)[1]


def test_what_the_user_cannot_use_is_told(nobody_proxy, folder, world, open_folder):
    """Read as root, and not to be read again: a key; a folder of state that is root's; a socket in a folder
    where it cannot be removed."""
    keys = world.directory(path=os.path.join(folder, "keys"), ca=world.ours, server=world.server)
    os.chmod(f"{keys}/server-key.pem", 0o600)
    state = os.path.join(folder, "roots")
    os.mkdir(state, 0o700)
    proxy = nobody_proxy(world.listen(tls_certificates=keys), state_dir=state,
                         extra=f"[listen more]\naddress = unix:{open_folder}/more\nupstream = main\n")
    warnings = "\n".join(proxy.lines("warn"))
    assert "server-key.pem" in warnings and "every reload will be refused" in warnings
    assert f"state-dir {state}: cannot be used: Permission denied" in warnings
    assert f"{open_folder}/more will stay behind when this process ends" in warnings
    works(f"{open_folder}/more")
    assert proxy.stat("reload", check=False).returncode == 1
    proxy.stop()
    assert os.path.exists(f"{open_folder}/more") and not os.path.exists(proxy.control)


# Who is not root -------------------------------------------------------------------------------


def must_execute(uid, gid):
    if subprocess.run(["test", "-x", paths.PROXY], check=False, user=uid, group=gid).returncode:
        pytest.skip(f"uid {uid} may not look into the build folder")


def run_as(uid, gid, *argv, **kwargs):
    must_execute(uid, gid)
    return subprocess.Popen(argv, user=uid, group=gid, extra_groups=[], stderr=subprocess.PIPE, text=True,
                            env={**os.environ, **SANITIZER_ENV, **ENV}, **kwargs)


@pytest.fixture
def written(open_folder):
    def write(*lines):
        os.chown(open_folder, NOBODY.pw_uid, NOBODY.pw_gid)
        path = f"{open_folder}/x.conf"
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(["[proxy]", f"control-socket = {open_folder}/control",
                               f"state-dir = {open_folder}/state", "threads = 1", *lines,
                               "[listen main]", f"address = unix:{open_folder}/main", "upstream = main",
                               "[upstream main]", f"uri = nbd+unix:///?socket={open_folder}/none"]) + "\n")
        return path
    return write


def test_already_that_user(written, open_folder):
    """As after an upgrade, or under systemd's User=."""
    path = written("user = nobody")
    p = run_as(NOBODY.pw_uid, NOBODY.pw_gid, paths.PROXY, "-c", path)
    try:
        wait_until(lambda: os.path.exists(f"{open_folder}/control"), 20, "its control socket")
        wait_until(lambda: RawClient(f"{open_folder}/main").receive(18), 20, "a greeting")
        caps = [status(p.pid, t) for t in os.listdir(f"/proc/{p.pid}/task")]
        assert all(int(t["CapPrm"], 16) == 0 and t["NoNewPrivs"] == "1" for t in caps)
    finally:
        p.send_signal(signal.SIGTERM)
        log = p.communicate(timeout=20)[1]
    assert p.returncode == 0 and "given up" not in log, log


def test_a_capability_that_was_given_is_given_up(written, open_folder):
    """As by AmbientCapabilities= of a unit that means it well: a low port cannot be had by it, which is said."""
    must_execute(NOBODY.pw_uid, NOBODY.pw_gid)
    low_ports_are_roots()
    path = written("[listen low]", "address = 127.0.0.79:1", "upstream = main")
    give = ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups",
            "--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"]
    start = {"stderr": subprocess.PIPE, "text": True, "env": {**os.environ, **SANITIZER_ENV, **ENV}}
    with subprocess.Popen([*give, paths.PROXY, "-c", path], **start) as p:
        assert "127.0.0.79:1: Permission denied: ports below 1024 are root's" in p.communicate(timeout=20)[1]
        assert p.returncode == 1
    with subprocess.Popen([*give, paths.PROXY, "-c", written()], **start) as p:
        try:
            wait_until(lambda: os.path.exists(f"{open_folder}/control"), 20, "its control socket")
            caps = [status(p.pid, t) for t in os.listdir(f"/proc/{p.pid}/task")]
            assert all(int(t[name], 16) == 0 for t in caps for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"))
        finally:
            p.send_signal(signal.SIGTERM)
            p.communicate(timeout=20)
        assert p.returncode == 0


@pytest.mark.parametrize("key, said", [
    ("user = daemon", "user: only root can become another user, and this process runs as uid"),
    ("user = nobody\ngroup = daemon", "group: only root can take another group")])
def test_another_user_than_root_wants_one(written, key, said):
    p = run_as(NOBODY.pw_uid, NOBODY.pw_gid, paths.PROXY, "-c", written(key))
    assert said in p.communicate(timeout=20)[1]
    assert p.returncode == 1


def test_root_without_a_user(start_proxy, model):
    """That this is more than it needs is told."""
    proxy = start_proxy(model(ModelUpstream).uri)
    assert any("runs as root and needs none of that" in line for line in proxy.lines("warn"))


@pytest.mark.parametrize("line, said", [
    ("user = no-such-user", "there is no such user"), ("group = daemon", "group needs user"),
    ("user = nobody\ngroup = no-such-group", "there is no such group"),
    ("user = 4000001", "group = NAME or number is needed"), ("user = 4294967295", "there is no such user")])
def test_faults(written, line, said):
    done = subprocess.run([paths.PROXY, "--check", "-c", written(line)], capture_output=True, text=True,
                          check=False, timeout=20, env=dict(os.environ, **SANITIZER_ENV))
    assert done.returncode == 78 and said in done.stderr, done.stderr


def test_upgrade_after_it(nobody_proxy):
    """The successor is nobody from its first moment, and has all sockets, that of root's port, too."""
    must_execute(NOBODY.pw_uid, NOBODY.pw_gid)
    proxy = nobody_proxy(extra="[listen low]\naddress = 127.0.0.79:1\nupstream = main\n")
    before = proxy.json()["pid"]
    proxy.process.popen.send_signal(signal.SIGUSR2)

    def answers():
        # Whoever asks in the moment in which the old process ends is told to try again.
        done = proxy.stat("json", check=False)
        return done.returncode == 0 and json.loads(done.stdout)["pid"] != before

    wait_until(answers, 20, "the successor")
    after = proxy.json()["pid"]
    try:
        works(proxy.address)
        works(("127.0.0.79", 1))
        for task in os.listdir(f"/proc/{after}/task"):
            assert status(after, task)["Uid"].split() == [str(NOBODY.pw_uid)] * 4
            assert int(status(after, task)["CapBnd"], 16) == 0
        assert os.stat(f"/proc/{after}/mem").st_uid == 0, "it may be traced, and its keys be in a core file"
    finally:
        os.kill(after, signal.SIGTERM)
    wait_until(lambda: not os.path.exists(proxy.control), 20, "its end")
