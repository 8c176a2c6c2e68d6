# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams full of data that are there to be measured."""
import threading
import time

from nbdtest import wire
from nbdtest.data import MIB, pattern
from nbdtest.rawserver import ModelUpstream

SEED = 3  # of the pattern that they hold


class Probed(ModelUpstream):
    """What a probe from inside a request takes: FLUSH, several connections, data."""

    size = 16 * MIB
    flags = ModelUpstream.flags | wire.CAN_MULTI_CONN
    has_structured = False

    def __init__(self, folder, **overrides):
        super().__init__(folder, **overrides)
        self.disk[:] = pattern(self.size, SEED)


class Slow(Probed):
    """Zeroes cost what writes cost."""

    def serve(self, c, r):
        if r.command in (wire.WRITE, wire.WRITE_ZEROES):
            time.sleep(r.length / MIB * 0.004)
        super().serve(c, r)


class HoldsZeroes(Probed):
    """Answers WRITE_ZEROES when `go` is set."""

    def __init__(self, folder, **overrides):
        super().__init__(folder, **overrides)
        self.go = threading.Event()

    def on_write_zeroes(self, c, r):
        self.go.wait(20)
        self.good(c, r)
