# SPDX-License-Identifier: BSD-3-Clause
"""What ordinary traffic teaches, for nothing: slow servers are known without a probe, fast verdicts fall, and upstreams
whose own FAST_ZERO lies are found out by their successes."""
import pytest

from interop_helpers import hidden
from nbdtest.data import MIB, connected, fast_zero, pattern

SLOW = ["maxdata=256K", "maxlen=256K", "delay-write=1ms", "delay-zero=1ms"]
FAST = ["maxdata=256K", "maxlen=2G", "delay-write=1ms", "delay-zero=1ms"]


def work(h, rounds=10, start=0):
    """Writes and zeroes of several sizes, each with its FLUSH, one after the other."""
    for i in range(start, start + rounds):
        size = MIB << i % 3
        h.pwrite(pattern(size, i), i * 8 * MIB)
        h.flush()
        h.zero(size, i * 8 * MIB)
        h.flush()


def row(proxy, size=4 * MIB):
    rows = [r for r in proxy.export()["verdicts"] if not r["no_hole"] and r["bytes_from"] <= size
            and (r["bytes_to"] is None or r["bytes_to"] >= size)]
    return rows[-1] if rows else None


@pytest.mark.timing
def test_a_slow_server_is_known_from_its_traffic(servers, start_proxy):
    proxy = start_proxy(hidden(servers, *SLOW).uri, probe="off")
    with connected(proxy.uri()) as h:
        assert row(proxy) is None
        work(h)
        found = row(proxy)
        assert found and found["verdict"] == "slow" and found["source"] == "traffic", found
        assert found["ratio"] > 0.55
        h.pwrite(pattern(16 * MIB), 0)
        assert not fast_zero(h, 16 * MIB, 0)


@pytest.mark.timing
def test_traffic_makes_nothing_fast(servers, start_proxy):
    proxy = start_proxy(hidden(servers, *FAST).uri, probe="off")
    with connected(proxy.uri()) as h:
        work(h)
        assert row(proxy) is None
        h.pwrite(pattern(16 * MIB), 0)
        assert not fast_zero(h, 16 * MIB, 0)


LIARS = {"liar": (SLOW, True), "honest": (FAST, False)}


@pytest.mark.timing
@pytest.mark.parametrize("arguments, lies", LIARS.values(), ids=LIARS.keys())
def test_native_liars_are_found_out_by_their_successes(servers, start_proxy, arguments, lies):
    # `ignore`: says yes to every fast zero, and does it the way of a plain one.
    upstream = servers.nbdkit("memory", "1G", "zeromode=plugin", "fastzeromode=ignore", *arguments,
                              filters=["nozero", "blocksize", "delay"])
    proxy = start_proxy(upstream.uri)
    with connected(proxy.uri()) as h:
        assert proxy.export()["fast_zero"]["upstream_advertised"]
        work(h)
        answers = [fast_zero(h, 4 * MIB, i * 4 * MIB) for i in range(5)]
        assert answers == ([True] * 3 + [False] * 2 if lies else [True] * 5)
        # Nothing is lost by a refusal, and plain zeroes go on.
        h.pwrite(pattern(4 * MIB), 0)
        assert fast_zero(h, 4 * MIB, 0) is not lies
        assert bytes(h.pread(4 * MIB, 0)) == (pattern(4 * MIB) if lies else bytes(4 * MIB))
        h.zero(4 * MIB, 0)
        assert not any(h.pread(4 * MIB, 0))
    if lies:
        assert row(proxy)["source"] == "upstream" and row(proxy)["verdict"] == "slow"
        assert [line for line in proxy.lines("warn") if "its zeroes are fast, and they cost" in line]
