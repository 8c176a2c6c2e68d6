# SPDX-License-Identifier: BSD-3-Clause
"""write-zeroes = cheapest: plain zeroes are written where that was measured to be cheaper, and only there."""
import time

import nbd
import pytest

from interop_helpers import hidden
from nbdtest.data import MIB, connected, pattern

DEAR_ZEROES = ["maxdata=256K", "maxlen=256K", "delay-write=1ms", "delay-zero=9ms"]
CHEAP_ZEROES = ["maxdata=256K", "maxlen=2G", "delay-write=1ms", "delay-zero=1ms"]


def teach(h, size=48 * MIB):
    """Plain zeroes of an unknown class carry a probe with nothing to save; fast is believed the second time."""
    for _ in range(2):
        h.pwrite(pattern(16 * MIB), 0)
        h.zero(size, 0, nbd.CMD_FLAG_NO_HOLE)


def kinds(upstream, known):
    return {line.split()[0] for line in upstream.requests()[known:]}


@pytest.mark.timing
@pytest.mark.parametrize("costs, by_writing", [(DEAR_ZEROES, True), (CHEAP_ZEROES, False)], ids=["dear", "cheap"])
def test_the_cheaper_way_is_taken(servers, start_proxy, costs, by_writing):
    upstream = hidden(servers, *costs)
    proxy = start_proxy(upstream.uri, write_zeroes="cheapest", probe_time="5s")
    with connected(proxy.uri()) as h:
        teach(h)
        h.pwrite(pattern(32 * MIB, 3), 64 * MIB)
        known = len(upstream.requests())
        h.zero(32 * MIB, 64 * MIB, nbd.CMD_FLAG_NO_HOLE)
        assert kinds(upstream, known) == ({"Write"} if by_writing else {"Zero"})
        assert not any(h.pread(32 * MIB, 64 * MIB))
        # The neighbours are whole.
        h.pwrite(pattern(MIB, 4), 96 * MIB)
        h.zero(MIB - 512, 95 * MIB + 512, nbd.CMD_FLAG_NO_HOLE)
        assert bytes(h.pread(MIB, 96 * MIB)) == pattern(MIB, 4)


@pytest.mark.timing
def test_pass_passes_though_writing_is_cheaper(servers, start_proxy):
    upstream = hidden(servers, *DEAR_ZEROES)
    proxy = start_proxy(upstream.uri, probe_time="5s")
    with connected(proxy.uri()) as h:
        teach(h)
        known = len(upstream.requests())
        h.zero(4 * MIB, 64 * MIB, nbd.CMD_FLAG_NO_HOLE)
        assert kinds(upstream, known) == {"Zero"}


@pytest.mark.timing
def test_who_would_take_a_hole_gets_one(servers, start_proxy):
    upstream = hidden(servers, *DEAR_ZEROES)
    proxy = start_proxy(upstream.uri, write_zeroes="cheapest", probe_time="5s")
    with connected(proxy.uri()) as h:
        h.pwrite(pattern(16 * MIB), 0)
        h.zero(48 * MIB, 0)  # teaches the class without NO_HOLE
        known = len(upstream.requests())
        h.zero(4 * MIB, 64 * MIB)
        assert kinds(upstream, known) == {"Zero"}


@pytest.mark.timing
def test_it_pays(servers, start_proxy):
    """Three times faster than passing them on, where zeroes cost nine times as much."""
    took = {}
    for way in ("pass", "cheapest"):
        upstream = hidden(servers, *DEAR_ZEROES)
        proxy = start_proxy(upstream.uri, write_zeroes=way, probe_time="5s")
        with connected(proxy.uri()) as h:
            teach(h)
            begin = time.monotonic()
            h.zero(32 * MIB, 64 * MIB, nbd.CMD_FLAG_NO_HOLE)
            h.flush()
            took[way] = time.monotonic() - begin
    assert took["cheapest"] * 3 < took["pass"], took
