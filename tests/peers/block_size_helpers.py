# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of block sizes share: an upstream that insists on them, and the proxy that repairs."""
import threading

import pytest

from nbdtest import wire
from nbdtest.data import pattern
from nbdtest.rawserver import ModelUpstream

BLOCK = 4096
FORMATS = ["simple", "structured", "extended"]


class Blocks(ModelUpstream):
    """Insists on whole blocks; the export's last piece may be odd."""

    size = 1 << 20
    flags = ModelUpstream.flags | wire.CAN_MULTI_CONN
    block_size = (BLOCK, BLOCK, 32 << 20)

    def __init__(self, folder, **overrides):
        super().__init__(folder, **overrides)
        self.disk[:] = pattern(self.size, 5)

    def serve(self, c, r):
        end = r.offset + r.length
        if r.offset % BLOCK or (end % BLOCK and end != self.size):
            self.failures.append(f"unaligned: {r.command} {r.offset}+{r.length}")
        super().serve(c, r)

    def seen(self, *commands):
        """What has come: (command, offset, length)."""
        return [r[:1] + r[3:5] for r in self.requests()
                if r.command != wire.DISC and (not commands or r.command in commands)]


@pytest.fixture
def repaired(stage):
    """repaired(Kind, ...): a stage whose upstream is repaired."""
    def set_up(kind=Blocks, overrides=None, **keys):
        return stage(kind, overrides, **{"block-size": "repair", **keys})
    return set_up


def check_write(s, c, offset, data, flags=0):
    """A WRITE that changes its own bytes and no others."""
    expected = bytearray(s.upstream.disk)
    expected[offset:offset + len(data)] = data
    assert c.write(offset, data, flags) == 0
    assert s.upstream.disk == expected


def check_zero(s, c, offset, length, flags=0):
    expected = bytearray(s.upstream.disk)
    expected[offset:offset + length] = bytes(length)
    assert c.call(wire.WRITE_ZEROES, offset, length, flags) == 0
    assert s.upstream.disk == expected


class SlowRead(Blocks):
    """Answers the first READ when it is let go."""

    def __init__(self, folder, **overrides):
        super().__init__(folder, **overrides)
        self.go = threading.Event()

    def on_read(self, c, r):
        if not self.go.is_set():
            self.go.wait(10)
        self.good(c, r)
