# SPDX-License-Identifier: BSD-3-Clause
"""What the relay is to reach, always as a ratio of medians measured in one run."""
import os
from dataclasses import dataclass

# Client, relay and server share the machine: with fewer cores the relay's work is the others' loss,
# and throughput says how much work there is in all, not how fast the relay is.
CORES_FOR_THROUGHPUT = 4


@dataclass(frozen=True)
class Goal:
    """Our `what` of a workload, divided by another relay's, against a limit."""
    workload: str
    what: str  # cpu, rate or p50
    other: str
    limit: float

    @property
    def at_least(self):
        return self.what == "rate"

    def judged(self):
        return self.what != "rate" or (os.cpu_count() or 1) >= CORES_FOR_THROUGHPUT

    def met(self, ratio):
        return ratio >= self.limit if self.at_least else ratio <= self.limit


WAYS, SIDES = ("read", "write"), ("client", "upstream")

GOALS = [
    Goal("read-1m", "cpu", "haproxy", 0.45),
    Goal("read-1m", "rate", "direct", 0.9),
    Goal("write-1m", "cpu", "haproxy", 0.45),
    Goal("write-1m", "rate", "direct", 0.9),
    Goal("read-4k", "cpu", "haproxy", 0.42),
    Goal("read-4k", "cpu", "nbdkit", 0.10),
    Goal("read-4k", "rate", "direct", 0.9),
    Goal("write-4k", "cpu", "haproxy", 0.42),
    Goal("write-4k", "cpu", "nbdkit", 0.10),
    Goal("write-4k", "rate", "direct", 0.9),
    Goal("qd1", "p50", "haproxy", 1.0),
    *(Goal(f"{rw}-1m", "cpu", f"nbdkit-tls-{side}", 0.55) for rw in WAYS for side in SIDES),
    *(Goal(f"{rw}-4k", "cpu", f"nbdkit-tls-{side}", 0.17) for rw in WAYS for side in SIDES),
    *(Goal(f"{rw}-1m", "cpu", f"cipher-tls-{side}", 2.4) for rw in WAYS for side in SIDES),
]
