# SPDX-License-Identifier: BSD-3-Clause
"""The files for systemd, as far as they can be tested where it has not booted the machine: systemd-analyze's
opinion, and a proxy under the seccomp filters that systemd makes from the unit."""
import os
import re
import shutil
import subprocess

import pytest

from nbdtest import paths, proxy as nbdtest_proxy

UNITS = os.path.join(paths.TREE, "systemd")
SERVICES = ["nbdzero.service", "nbdzero@.service"]
SANDBOX = os.path.join(paths.BUILD, "tests", "sandbox", "under-unit")


def analyze(*args):
    program = paths.find("systemd-analyze")
    assert program, "systemd is not installed: tools/deps"
    return subprocess.run([program, *args], check=False, capture_output=True, text=True, timeout=60)


def lines_of(name):
    with open(os.path.join(UNITS, name), encoding="utf-8") as f:
        return f.read().splitlines()


def directives(name):
    return [line for line in lines_of(name) if line and line[0] not in "#["]


def test_systemd_understands_them(folder):
    """With programs that exist: those of the build, which are where meson would put them."""
    for name in SERVICES + ["nbdzero.socket"]:
        text = "\n".join(lines_of(name)).replace("/usr/bin/nbdzero-proxy", paths.PROXY)
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text.replace("/usr/bin/nbdzero-stat", paths.STAT) + "\n")
    os.symlink("nbdzero@.service", os.path.join(folder, "nbdzero@one.service"))
    units = [os.path.join(folder, name) for name in ("nbdzero.service", "nbdzero@one.service", "nbdzero.socket")]
    done = analyze("verify", "--man=no", "--recursive-errors=no", *units)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [line for line in done.stderr.splitlines() if "nbdzero" in line], done.stderr
    with open(units[0], "a", encoding="utf-8") as f:
        f.write("[Service]\nNoSuchDirective=yes\n")
    assert "NoSuchDirective" in analyze("verify", "--man=no", units[0]).stderr, "a fault is seen"


@pytest.mark.parametrize("name", SERVICES)
def test_hardened(name, folder):
    done = analyze("security", "--offline=yes", "--threshold=15", os.path.join(UNITS, name))
    assert done.returncode == 0, done.stdout
    score = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert score and float(score.group(1)) <= 1.5
    soft = shutil.copy(os.path.join(UNITS, name), os.path.join(folder, name))
    with open(soft, "a", encoding="utf-8") as f:
        f.write("[Service]\nSystemCallFilter=\n")
    assert analyze("security", "--offline=yes", "--threshold=15", soft).returncode != 0, "a softer one is seen"


@pytest.mark.parametrize("name", SERVICES)
def test_each_directive_has_its_reason(name):
    """A comment stands above it, or above the directives that it belongs to."""
    above = ""
    for line in lines_of(name):
        if line and line[0] not in "#[":
            assert above, f"{line}: no reason is given"
        above = line


def test_the_template_differs_in_names_only():
    def same(line):
        return re.sub(r"nbdzero-%i\b|/%i\b", lambda m: {"nbdzero-%i": "nbdzero"}.get(m[0], "/nbdzero"),
                      line).replace(" (%i)", "")
    service = [line for line in directives("nbdzero.service") if line != "After=nbdzero.socket"]
    assert service == [same(line) for line in directives("nbdzero@.service")]


def test_account_and_folders(folder):
    """What sysusers and tmpfiles make of theirs, in a root of its own."""
    sysusers, tmpfiles = paths.find("systemd-sysusers"), paths.find("systemd-tmpfiles")
    assert sysusers and tmpfiles, "systemd is not installed: tools/deps"
    if os.getuid():
        pytest.skip("only root can make accounts and give files away")
    os.makedirs(os.path.join(folder, "etc"))
    for program, name in ((sysusers, "nbdzero.sysusers"), (tmpfiles, "nbdzero.tmpfiles")):
        args = ["--create"] if program == tmpfiles else []
        done = subprocess.run([program, f"--root={folder}", *args, os.path.join(UNITS, name)], check=False,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    with open(os.path.join(folder, "etc", "group"), encoding="utf-8") as f:
        group = int(re.search(r"^nbdzero:[^:]*:(\d+):", f.read(), re.M).group(1))
    keys = os.stat(os.path.join(folder, "etc", "nbdzero", "tls"))
    assert (keys.st_mode & 0o7777, keys.st_uid, keys.st_gid) == (0o750, 0, group)


# The filters --------------------------------------------------------------------

FORBIDDEN = {
    "a kind of socket": "import socket; socket.socket(socket.AF_NETLINK)",
    "a namespace": "import ctypes, os; l = ctypes.CDLL(None, use_errno=True); "
                   "r = l.unshare(0x10000000); r and exit(os.strerror(ctypes.get_errno()))",
    "memory to write and execute": "import mmap; mmap.mmap(-1, 4096, prot=7)",
    "a system call": "import os; os.chroot('/')",
    "a call that takes from others": "import os; os.sched_setaffinity(0, {0})",
    "a file with another's rights": "import os; os.mkdir('s', 0o700); os.chmod('s', 0o4700)",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_is_forbidden_fails(what, folder):
    code = ["/usr/bin/python3", "-c", FORBIDDEN[what]]
    done = subprocess.run([SANDBOX, os.path.join(UNITS, SERVICES[0]), *code], check=False, cwd=folder,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "Operation not permitted" in done.stderr or "Address family not supported" in done.stderr


@pytest.mark.timing  # that is to say: by a plain build
def test_io_uring_is_allowed_and_needed(folder, servers, processes, monkeypatch):
    """The service's filter serves; one without io_uring is told by its name, which shows that it is there."""
    with open(paths.PROXY, "rb") as f:
        if re.search(b"__[at]san_init", f.read()):
            pytest.skip("sanitizers need system calls that the service must not use: run by a plain build")
    upstream = servers.nbdkit("memory", "1M")
    unit = os.path.join(UNITS, SERVICES[0])
    monkeypatch.setattr(nbdtest_proxy, "AROUND", [SANDBOX, unit])
    proxy = nbdtest_proxy.Proxy(folder, processes, {"main": upstream.uri})
    with open(f"/proc/{proxy.process.pid}/status", encoding="ascii") as f:
        assert re.search(r"^Seccomp:\t2$", f.read(), re.M)
    proxy.stop()
    without = shutil.copy(unit, os.path.join(folder, "without.service"))
    with open(without, "a", encoding="utf-8") as f:
        f.write("SystemCallFilter=~io_uring_setup\n")
    done = subprocess.run([SANDBOX, without, paths.PROXY, "-c", proxy.config], check=False,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "io_uring is forbidden, most likely by a seccomp filter" in done.stderr


# What only a machine that systemd has booted can show ------------------------------

BOOTED = {
    "systemd-start": "that the service starts as nbdzero:nbdzero with its directories",
    "systemd-socket": "that nbdzero.socket starts the service at the first connection",
    "systemd-watchdog": "that a service without progress is killed and started again",
    "systemd-mainpid": "that systemd follows an upgrade to the new main process",
}


@pytest.mark.parametrize("name", BOOTED)
def test_booted(name, record_property):
    record_property("not_run", name)
    if not os.path.isdir("/run/systemd/system"):
        pytest.skip(f"systemd has not booted this machine: only then it can be seen {BOOTED[name]}")
    pytest.skip(f"would change this machine's services: install the package on one that may be, to see "
                f"{BOOTED[name]}")
