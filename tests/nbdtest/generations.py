# SPDX-License-Identifier: BSD-3-Clause
"""Debian 11, 12 and 13: whose programs serve and ask. The machine's own run as they are, the others'
in a root that tests/root has made. A folder of a test in such a root has the same path inside and
outside, so that addresses and file names mean the same to everybody, and Unix socket paths stay short."""
import functools
import os
import re
import shutil
import subprocess
import tempfile

from . import paths
from .disks import run
from .upstreams import Servers

ROOT_TOOL = os.path.join(paths.TREE, "tests", "root")
ALL_PEERS = os.environ.get("NBDTEST_ALL_PEERS", "") == "1"
PACKAGE = {"nbdinfo": "libnbd-bin", "nbdcopy": "libnbd-bin", "libnbd": "python3-libnbd"}


class Generation:
    """One Debian's programs; root "" is the machine itself."""

    def __init__(self, number, root=""):
        self.number = number
        self.root = root

    @property
    def name(self):
        return f"debian-{self.number}"

    def argv(self, program, *args):
        inside = [paths.find("chroot"), self.root] if self.root else []
        if program == "python3":
            program = "/usr/bin/python3"  # where Debian's libnbd is; another may come first in PATH
        return [*inside, program, *args]

    @functools.lru_cache(maxsize=None)
    def version(self, program):
        """As upstream counts: without Debian's epoch and revision."""
        if program.startswith("qemu"):  # the package of a stable release keeps the first one's number
            return re.search(r"\d+(\.\d+)+", run(*self.argv(program, "--version")))[0]
        shown = run("dpkg-query", f"--admindir={self.root}/var/lib/dpkg", "-W", "-f", "${Version}",
                    PACKAGE.get(program, program))
        return shown.rpartition(":")[2].rpartition("-")[0].partition("+")[0]

    @functools.lru_cache(maxsize=None)
    def offers(self, program):
        """Debian 11's fio is built without NBD."""
        return program != "fio" or "nbd" in run(*self.argv("fio", "--enghelp"))


class Place:
    """A folder of one test where a generation's programs run."""

    def __init__(self, generation, folder, processes):
        self.generation = generation
        self.folder = folder
        self.processes = processes
        self.servers = Servers(folder, self)
        self.started = []

    def start(self, argv, name=None, **kwargs):
        """As Processes.start(): what Servers asks for."""
        name = name or os.path.basename(str(argv[0]))
        process = self.processes.start(self.generation.argv(*argv), name=name, **kwargs)
        self.started.append((name, process))
        return process

    def run(self, *argv, **kwargs):
        return run(*self.generation.argv(*argv), **kwargs)

    def path(self, name):
        return os.path.join(self.folder, name)

    def sees(self, other):
        """Whether programs here can open what is there."""
        return not self.generation.root or self.folder == other.folder

    def close(self):
        self.servers.stop_all()
        for name, process in self.started:
            if name == "nbdkit":  # asked to end, it removes its folder in /tmp
                process.terminate()


class Inside(Place):
    """A folder in a root, and a link to it of the same name outside."""

    def __init__(self, generation, processes):
        link = tempfile.mktemp(prefix="nz-")
        self.real = generation.root + link
        os.makedirs(self.real)
        os.symlink(self.real, link)
        super().__init__(generation, link, processes)

    def close(self):
        super().close()
        os.unlink(self.folder)
        shutil.rmtree(self.real, ignore_errors=True)


def find_root(number):
    """The path of a root, or None, and why there is none."""
    why = os.environ.get(f"NBDTEST_NO_DEBIAN_{number}")
    if why:
        return None, why
    asked = subprocess.run([ROOT_TOOL, "--path", str(number)], check=False, capture_output=True,
                           text=True, timeout=20)
    return asked.stdout.strip() or None, asked.stderr.strip().partition(": ")[2]


def machine_number():
    """12 on Debian 12; 0 where it is not a Debian at all."""
    with open("/etc/os-release", encoding="utf-8") as f:
        facts = dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line)
    number = facts.get("VERSION_ID", "").strip('"')
    return int(number) if number.isdigit() and facts.get("ID") == "debian" else 0


MACHINE = Generation(machine_number())
GENERATIONS = {MACHINE.number: MACHINE}
MISSING = {}
for _number in (11, 13) if ALL_PEERS else (13,):
    if _number != MACHINE.number:
        _root, _why = find_root(_number)
        if _root:
            GENERATIONS[_number] = Generation(_number, _root)
        else:
            MISSING[_number] = _why
