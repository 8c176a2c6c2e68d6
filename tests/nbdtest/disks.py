# SPDX-License-Identifier: BSD-3-Clause
"""File systems to put images on: where this machine lets us have them."""
import contextlib
import os
import shutil
import subprocess
import tempfile
import time

import pytest

from . import paths


def run(*argv, timeout=60, check=True):
    """Runs a program; returns its standard output."""
    argv = [str(a) for a in argv]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    assert not check or done.returncode == 0, \
        f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def settle(longest=3):
    """Lets disk and processors come to rest, because what follows is measured; not for ever. True if
    they did."""
    os.sync()
    end = time.monotonic() + longest
    quiet = 0
    while quiet < 3 and time.monotonic() < end:
        before = _busy()
        time.sleep(0.1)
        quiet = quiet + 1 if _busy() - before < 0.04 * os.cpu_count() else 0
    return quiet == 3


def _busy():
    """Seconds that all processors together have been busy or waited for a disk since boot."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _, wait, *rest = map(int, f.readline().split()[1:8])
    return (user + nice + system + wait + sum(rest)) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def loop_mounted(kind, folder, size="4G"):
    """A fresh file system of a kind (ext4, xfs, btrfs) on a loop device."""
    mkfs = paths.find(f"mkfs.{kind}")
    if os.geteuid() != 0:
        pytest.skip("loop mounts need root")
    if not mkfs:
        pytest.skip(f"mkfs.{kind} is not installed")
    image, where = os.path.join(folder, f"{kind}.img"), os.path.join(folder, f"{kind}.mnt")
    with open(image, "wb") as f:
        f.truncate(int(size[:-1]) << 30)
    os.mkdir(where)
    options = ["-q", "-E", "lazy_itable_init=1"] if kind == "ext4" else ["-q"]
    run(mkfs, *options, image)
    mounted = subprocess.run([paths.find("mount"), "-o", "loop", image, where], check=False,
                             capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount {kind} on a loop device: {mounted.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run([paths.find("umount"), "-l", where], check=False)


@contextlib.contextmanager
def tmpfs():
    """A folder on the tmpfs at /dev/shm."""
    if not os.path.ismount("/dev/shm") or not os.access("/dev/shm", os.W_OK):
        pytest.skip("no tmpfs at /dev/shm")
    path = tempfile.mkdtemp(prefix="nz-", dir="/dev/shm")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def small_tmpfs(folder, size):
    """A tmpfs of its own that can be filled up."""
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    where = os.path.join(folder, "small")
    os.mkdir(where)
    done = subprocess.run([paths.find("mount"), "-t", "tmpfs", "-o", f"size={size}", "none", where],
                          check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run([paths.find("umount"), "-l", where], check=False)
