# SPDX-License-Identifier: BSD-3-Clause
"""What nbdzero-probe is tried on: servers, each on disks, and what is true of them without measuring."""
import contextlib
import os
import subprocess
from dataclasses import dataclass, field

import pytest

from nbdtest import paths
from nbdtest.data import MIB, fill, pattern
from nbdtest.disks import loop_mounted, run, tmpfs
from nbdtest.generations import GENERATIONS, MACHINE, MISSING, Inside
from nbdtest.upstreams import Servers

SIZE = 64 * MIB  # of what is stored: room for all levels in place
FAST, SLOW = "fast", "slow"
HOLES, NO_HOLE = False, True
IN_PLACE = ("--in-place",)
SCRATCH = ("--scratch", "0:32M")


class NotRun(Exception):
    """This machine lacks what it takes."""


@dataclass
class Running:
    """A server that may be measured."""
    upstream: object
    folder: str         # on the disk that it uses
    renew: object = None  # makes its disk what it was before it was first written to; None: no need


@dataclass(frozen=True)
class Combination:
    """start(ground) gives a Running. truth: {no_hole: FAST, SLOW or None, which asks for the reference}."""
    name: str
    start: object
    truth: dict
    mode: tuple = IN_PLACE
    apart: frozenset = field(default_factory=frozenset)  # classes that no goal counts


class Ground:
    """What all combinations stand on. A file system is made once, when it is first asked for."""

    def __init__(self, folder, processes, stack):
        self.folder = folder
        self.processes = processes
        self.stack = stack
        self.servers = Servers(folder, processes)
        self.disks = {}
        self.places = {}

    def disk(self, kind):
        if kind not in self.disks:
            context = tmpfs() if kind == "tmpfs" else loop_mounted(kind, self.folder)
            self.disks[kind] = self._enter(context)
        return self.disks[kind]

    def place(self, number):
        """A folder in another Debian's root, and a loop-mounted ext4 in it."""
        if number not in self.places:
            if number not in GENERATIONS:
                raise NotRun(MISSING.get(number) or "no such root here (NBDTEST_ALL_PEERS=1, tests/root)")
            place = Inside(GENERATIONS[number], self.processes)
            self.stack.callback(place.close)
            self._enter(loop_mounted("ext4", place.real))
            self.places[number] = place
        return self.places[number]

    def _enter(self, context):
        # Those of nbdtest skip a test where something is missing.
        try:
            return self.stack.enter_context(context)
        except pytest.skip.Exception as why:
            raise NotRun(str(why)) from None

    @contextlib.contextmanager
    def running(self, combination):
        """The server, and neither it nor its files afterwards."""
        before = len(self.processes.started)
        try:
            running = combination.start(self)
        except (AssertionError, OSError) as why:
            raise NotRun(str(why).splitlines()[0]) from None
        try:
            yield running
        finally:
            for servers in [self.servers] + [p.servers for p in self.places.values()]:
                servers.stop_all()
            for process in reversed(self.processes.started[before:]):
                process.terminate()
            if running.upstream.backing:
                os.unlink(running.upstream.backing)


def stored(servers, folder):
    """A file full of data, on the disk for good."""
    path = servers.file(data=pattern(SIZE), folder=folder)
    run("sync", path)
    return path


def qcow2(servers, folder):
    path = servers.file(folder=folder)
    run("qemu-img", "create", "-q", "-f", "qcow2", path, SIZE)
    return path


def serve(kind, servers, folder):
    """A server of a file on a disk."""
    if kind == "qemu-nbd qcow2":
        path = qcow2(servers, folder)
        upstream = servers.qemu_nbd(path, "qcow2")
        fill(upstream.uri, SIZE)
        return upstream
    path = stored(servers, folder)
    if kind == "nbdkit file":
        upstream = servers.nbdkit("file", path)
        upstream.backing = path
        return upstream
    return servers.nbd_server({"disk": path}) if kind == "nbd-server" else servers.qemu_nbd(path)


def on_disk(kind, disk):
    def start(ground):
        folder = ground.disk(disk)
        return Running(serve(kind, ground.servers, folder), folder)
    return start


def on_clone(kind, disk):
    """On a clone that shares all blocks with another file: what is written first pays for the copy. Both servers
    open the file anew for each client, so that a new clone may take its place."""
    def start(ground):
        folder = ground.disk(disk)
        upstream = serve(kind, ground.servers, folder)
        original = os.path.join(folder, "original")
        run("cp", upstream.backing, original)

        def renew():
            run("cp", "--reflink=always", original, upstream.backing + ".new")
            os.rename(upstream.backing + ".new", upstream.backing)
            run("sync", "-f", folder)
        return Running(upstream, folder, renew)
    return start


def in_root(number, kind):
    def start(ground):
        place = ground.place(number)
        folder = os.path.join(place.folder, "ext4.mnt")
        return Running(serve(kind, place.servers, folder), folder)
    return start


def filtered(*parameters, filters=("blocksize", "delay"), visible=False):
    """A memory disk whose costs the filters make: D(...) of docs/zeroing.md unless its own flag is visible."""
    def start(ground):
        hidden = () if visible else ("zeromode=plugin", "fastzeromode=none")
        outer = () if visible else ("nozero",)
        upstream = ground.servers.nbdkit("memory", "3G", *hidden, *parameters,
                                         filters=[*outer, *filters])
        fill(upstream.uri, SIZE)
        return Running(upstream, ground.folder)
    return start


def emulated(*parameters, filters):
    """A memory disk that can only be written to, through filters."""
    def start(ground):
        upstream = ground.servers.nbdkit("memory", "3G", "zeromode=emulate", *parameters,
                                         filters=["nozero", *filters])
        fill(upstream.uri, SIZE)
        return Running(upstream, ground.folder)
    return start


def both(truth):
    return {HOLES: truth, NO_HOLE: truth}


DISKS = ("ext4", "xfs", "btrfs", "tmpfs")
KINDS = ("nbdkit file", "nbd-server", "qemu-nbd raw", "qemu-nbd qcow2")


def truth_of(kind, disk):
    """nbd-server has no other way of zeroing than to write; zero.md's table names where nbdkit's holes are fast."""
    if kind == "nbd-server":
        return both(SLOW)
    known = kind == "nbdkit file" and disk in ("ext4", "xfs", "tmpfs")
    return {HOLES: FAST if known else None, NO_HOLE: None}


def disk_combinations():
    for kind in KINDS:
        for disk in DISKS:
            # Allocating memory and zeroing it is what both do there: a race that nobody wins for long.
            apart = frozenset({NO_HOLE} if disk == "tmpfs" else ())
            yield Combination(f"{kind}, {disk}", on_disk(kind, disk), truth_of(kind, disk), apart=apart)
    for kind, disk in (("nbdkit file", "ext4"), ("nbd-server", "ext4"), ("nbdkit file", "xfs"),
                       ("nbd-server", "xfs")):
        yield Combination(f"{kind}, {disk}, scratch", on_disk(kind, disk), truth_of(kind, disk), SCRATCH)
    for kind, disk in (("nbd-server", "xfs"), ("nbdkit file", "xfs"), ("nbd-server", "btrfs")):
        truth = both(SLOW) if kind == "nbd-server" else both(None)
        yield Combination(f"{kind}, clone on {disk}", on_clone(kind, disk), truth)


# D(...): the rows of docs/zeroing.md, at 16 MiB.
ROWS = {
    "D 1": (("maxdata=256K", "maxlen=256K", "delay-write=1ms", "delay-zero=1ms"), SLOW),
    "D 2": (("maxdata=256K", "maxlen=256K", "delay-write=4ms", "delay-zero=3ms"), SLOW),
    "D 3": (("maxdata=256K", "maxlen=2G", "delay-write=1ms", "delay-zero=1ms"), FAST),
    "D 4": (("maxdata=256K", "maxlen=2G", "delay-write=1ms", "delay-zero=20ms"), FAST),
    "D 5": (("maxdata=1M", "maxlen=2G", "delay-read=5ms", "delay-write=5ms", "delay-zero=5ms"), FAST),
}


def made_combinations():
    yield Combination("nbdkit memory", filtered(filters=(), visible=True), both(None))
    for name, (parameters, truth) in ROWS.items():
        yield Combination(name, filtered(*parameters), both(truth))
    yield Combination("D 6", filtered("delay-zero=60ms", filters=("delay",)), both(SLOW))
    for name in ("D 1", "D 3"):
        parameters, truth = ROWS[name]
        yield Combination(f"{name}, scratch", filtered(*parameters), both(truth), SCRATCH)
    # nbdkit's rate filter counts what is read and written; zeroes pass it for nothing. It lets the first
    # seconds pass, too, unless told otherwise: a probe would be over.
    yield Combination("rate-limited, zeroes free", filtered("rate=2G", "burstiness=0.002", filters=("rate",)), both(FAST))
    yield Combination("rate-limited, zeroes written", emulated("rate=2G", "burstiness=0.002", filters=("rate",)), both(SLOW))


def root_combinations():
    for number in (11, 13):
        if number == MACHINE.number:
            continue
        for kind in ("nbdkit file", "nbd-server", "qemu-nbd raw"):
            yield Combination(f"{kind}, ext4, Debian {number}", in_root(number, kind), truth_of(kind, "ext4"))


COMBINATIONS = {c.name: c for c in (*disk_combinations(), *made_combinations(), *root_combinations())}


def versions():
    """Of the servers of all generations, and of the probe."""
    known = {g.name: {p: g.version(p) for p in ("nbdkit", "nbd-server", "qemu-nbd")}
             for g in GENERATIONS.values()}
    probe = subprocess.run([paths.PROBE, "--version"], capture_output=True, text=True, check=True)
    return {**known, "nbdzero-probe": probe.stdout.split()[-1]}
