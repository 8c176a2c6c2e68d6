# SPDX-License-Identifier: BSD-3-Clause
"""What the interop tests share: what is stored, servers with a known truth, and asking them."""
import re
import time

from nbdtest import wire
from nbdtest.data import MIB, connected, fast_zero, file_bytes, fill, pattern, read_all
from nbdtest.rawserver import ModelUpstream


def stored(server, size=16 << 20):
    """From the file behind it where that is a raw one, else from the server directly."""
    if server.backing and getattr(server, "kind", "") != "qemu-qcow2":
        return file_bytes(server.backing, 0, size)
    return read_all(server.uri, size)


def hidden(servers, *parameters, filters=("blocksize", "delay"), size="3G"):
    """D(...) of docs/zeroing.md: a memory disk whose costs the filters make, its own flag hidden. The log
    filter is outermost: it sees what the proxy sends."""
    return servers.nbdkit("memory", size, "zeromode=plugin", "fastzeromode=none", *parameters,
                          filters=["log", "nozero", *filters])


def received(upstream, command):
    """[(magic, offset, length), ...] of the requests that this qemu-nbd has traced."""
    line = re.compile(r"magic = (0x[0-9a-f]+), .*\.type = (0x[0-9a-f]+), from = (\d+), len = (\d+)")
    return [(int(found[1], 16), int(found[3]), int(found[4]))
            for found in line.finditer(upstream.process.log()) if int(found[2], 16) == command]


class Asker:
    """A client that fills a range with data and then asks for it to be zeroed fast."""

    def __init__(self, proxy, upstream, ranges=3, length=16 * MIB, export=None):
        self.uri = proxy.uri(upstream.export if export is None else export)
        self.length = length
        self.size = ranges * length
        self.data = bytearray(fill(self.uri, self.size))

    def ask(self, n, no_hole=False):
        """FAST_ZERO of the n-th range: (answer, seconds)."""
        with connected(self.uri) as h:
            begin = time.monotonic()
            answer = fast_zero(h, self.length, n * self.length, no_hole)
            took = time.monotonic() - begin
        if answer:
            self.data[n * self.length:(n + 1) * self.length] = bytes(self.length)
        return answer, took

    def check(self):
        """Zero where it was said to be, untouched everywhere else."""
        assert read_all(self.uri, self.size) == self.data, "contents are not what was answered"


def judge(proxy, upstream, ranges=3, length=16 * MIB, settle=None):
    """Asks three times; the answers. Contents are checked. settle: what lets a disk come to rest."""
    asker = Asker(proxy, upstream, ranges, length)
    if settle:
        settle()
    answers = [asker.ask(n)[0] for n in range(ranges)]
    asker.check()
    return answers


class Costs(ModelUpstream):
    """A server in memory whose every operation takes the time it is told to: a + b for each 256 KiB."""

    size = 64 * MIB
    flags = ModelUpstream.flags | wire.CAN_MULTI_CONN
    has_structured = False
    write_ms = (0.0, 1.0)
    zero_ms = (0.0, 1.0)
    fail = None  # fail(request) -> an error, or 0

    @staticmethod
    def spend(cost, length):
        time.sleep((cost[0] + cost[1] * length / (256 << 10)) / 1000)

    def serve(self, c, r):
        error = self.fail(r) if self.fail and r.command != wire.DISC else 0
        if error:
            self.done(c, r, error)
            return
        if r.command == wire.WRITE:
            self.spend(self.write_ms, r.length)
        elif r.command == wire.WRITE_ZEROES:
            self.spend(self.zero_ms, r.length)
        super().serve(c, r)


__all__ = ["Asker", "Costs", "hidden", "judge", "pattern", "received", "stored"]
