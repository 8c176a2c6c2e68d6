# SPDX-License-Identifier: BSD-3-Clause
"""The load: fio's nbd engine, one job, and what it says about itself."""
import json
import os
import resource
import subprocess
import time
from dataclasses import dataclass

from .relays import NotRun, program

GIB = 1 << 30
NOBODY = 65534
CIPHER = "aes-256-gcm"  # what all of them agree on, if nobody says otherwise


@dataclass(frozen=True)
class Workload:
    """One fio job. bulk: its cost is told per GiB, otherwise per request."""
    title: str
    rw: str
    size: str
    depth: int
    bulk: bool

    @property
    def unit(self):
        return "s/GiB" if self.bulk else "us/op"


WORKLOADS = {
    "read-1m": Workload("sequential read, 1 MiB, queue depth 8", "read", "1m", 8, True),
    "write-1m": Workload("sequential write, 1 MiB, queue depth 8", "write", "1m", 8, True),
    "read-4k": Workload("random read, 4 KiB, queue depth 32", "randread", "4k", 32, False),
    "write-4k": Workload("random write, 4 KiB, queue depth 32", "randwrite", "4k", 32, False),
    "qd1": Workload("random read, 4 KiB, queue depth 1", "randread", "4k", 1, False),
}


@dataclass(frozen=True)
class Sample:
    """One run of one workload through one relay."""
    cpu: float      # of the relay: s/GiB or us/op
    rate: float     # MiB/s or requests a second
    p50: float      # us
    p99: float      # us
    foreign: float  # CPU time of processes that have no part in it, as a share of one core


def busy_seconds():
    """CPU time that the whole machine has spent on anything, stolen time included."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _idle, _wait, irq, soft, steal = map(int, f.readline().split()[1:9])
    return (user + nice + system + irq + soft + steal) / 100


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def require_fio():
    out = subprocess.run([program("fio"), "--enghelp"], check=False, capture_output=True, text=True)
    if "nbd" not in out.stdout.split():
        raise NotRun("this fio has no nbd engine")


def as_user(home):
    """For libnbd looks for certificates in $HOME/.pki/libnbd, but not if it is root."""
    command = ["env", f"HOME={home}"]
    return command if os.geteuid() else ["setpriv", f"--reuid={NOBODY}", "--clear-groups", *command]


def fio(uri, workload, seconds, home):
    """Runs the job; fio's JSON for it."""
    argv = as_user(home) if uri.startswith("nbds:") else []
    argv += ["fio", "--name=bench", "--ioengine=nbd", f"--uri={uri}", f"--rw={workload.rw}",
            f"--bs={workload.size}", f"--iodepth={workload.depth}", "--time_based",
            f"--runtime={seconds}", "--norandommap", "--lat_percentiles=1", "--clat_percentiles=0",
            "--output-format=json"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr or done.stdout}")
    job = json.loads(done.stdout[done.stdout.index("{"):])["jobs"][0]
    if job["error"]:
        raise RuntimeError(f"{' '.join(argv)}: error {job['error']}")
    return job["write" if "write" in workload.rw else "read"]


def cipher():
    """CPU seconds that the cipher alone takes for a GiB, in records of 16 KiB."""
    argv = [program("openssl"), "speed", "-mr", "-seconds", "1", "-evp", CIPHER, "-bytes", "16384"]
    out = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
    line = next(line for line in out.splitlines() if line.startswith("+F:"))
    return GIB / float(line.split(":")[-1])


def run(relay, ground, workload, seconds):
    """One sample."""
    begin = time.monotonic()
    cpu, behind, ours, all_ = relay.cpu(), ground.cpu(), children_seconds(), busy_seconds()
    result = fio(relay.uri, workload, seconds, ground.home)
    cpu, behind = relay.cpu() - cpu, ground.cpu() - behind
    ours, all_ = children_seconds() - ours, busy_seconds() - all_
    took = time.monotonic() - begin
    amount = result["io_bytes"] / GIB if workload.bulk else result["total_ios"] / 1e6
    percentiles = result["lat_ns"]["percentile"]
    return Sample(
        cpu=cpu / amount,
        rate=result["bw_bytes"] / (1 << 20) if workload.bulk else result["iops"],
        p50=percentiles["50.000000"] / 1000,
        p99=percentiles["99.000000"] / 1000,
        foreign=max(0.0, all_ - cpu - behind - ours) / took)


class Patience:
    """Waits for quiet moments, on a machine that others use, too, until it is used up."""

    QUIET = 0.15  # foreign CPU time up to this share of one core

    def __init__(self, seconds):
        self.left = seconds

    def wait(self):
        while self.left > 0:
            begin, busy = time.monotonic(), busy_seconds()
            time.sleep(min(0.4, self.left))
            took = time.monotonic() - begin
            if busy_seconds() - busy <= self.QUIET * took:
                return
            self.left -= took

    def run(self, relay, ground, workload, seconds):
        """One sample; of a disturbed one nothing is kept while there is patience."""
        while True:
            self.wait()
            sample = run(relay, ground, workload, seconds)
            if sample.foreign <= self.QUIET or self.left <= 0:
                return sample
            self.left -= seconds
