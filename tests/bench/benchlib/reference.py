# SPDX-License-Identifier: BSD-3-Clause
"""The truth about a disk-backed server, by measuring it at length with another client (libnbd): the same question
as docs/zeroing.md asks, with medians of many repetitions instead of what a request has time for."""
import contextlib
import statistics
import time
from dataclasses import dataclass

import nbd

from nbdtest.data import MIB, connected, pattern

RATIO, GAIN = 0.30, 0.9
SMALL, LARGE = 65536, 16 * MIB
REPEATS = {SMALL: 15, LARGE: 9}


@dataclass(frozen=True)
class Reference:
    """Medians, in seconds, each with the FLUSH behind it."""
    zero_small: float
    zero_large: float
    write_small: float
    write_large: float

    @property
    def slope(self):
        more = self.write_large - self.write_small
        return max(0.0, self.zero_large - self.zero_small) / more if more > 0 else float("inf")

    @property
    def truth(self):
        fast = self.slope < RATIO and self.zero_large < GAIN * self.write_large
        return "fast" if fast else "slow"


def timed(h, operation):
    begin = time.perf_counter()
    operation()
    h.flush()
    return time.perf_counter() - begin


def one(h, size, offset, flags, data):
    """Zero first, as the probe: what is first on a clone pays for the copy."""
    h.flush()
    zero = timed(h, lambda: h.zero(size, offset, flags))
    write = timed(h, lambda: h.pwrite(data, offset))
    return zero, write


def measure(running, no_hole, span):
    """Of one class of a server; `span` bytes from 0 on are stored data and will be others."""
    flags = nbd.CMD_FLAG_NO_HOLE if no_hole else 0
    found = {}
    data = pattern(LARGE, 7)
    for size, repeats in REPEATS.items():
        samples = []
        with contextlib.ExitStack() as stack:
            h = None
            for n in range(repeats):
                if running.renew:
                    stack.close()
                    running.renew()
                if h is None or running.renew:
                    h = stack.enter_context(connected(running.upstream.uri))
                samples.append(one(h, size, n * size % span, flags, data[:size]))
        found[size] = [statistics.median(side) for side in zip(*samples)]
    (z1, w1), (z2, w2) = found[SMALL], found[LARGE]
    return Reference(z1, z2, w1, w2)
