# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams that keep a request in flight for as long as a test likes."""
import threading

from nbdtest.rawserver import ModelUpstream


class HoldsReads(ModelUpstream):
    """Answers no READ before it may."""

    def __init__(self, folder, **overrides):
        self.may = threading.Event()
        super().__init__(folder, **overrides)

    def on_read(self, c, r):
        self.may.wait(60)
        self.good(c, r)
