# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios of docs/zeroing.md whose truth is made by filters: every one is classified right, every run.
(The numbers are the table's; disks are in test_scenarios_disks.py, faults in test_scenarios_faults.py.)"""
import pytest

from interop_helpers import Asker, hidden, judge
from nbdtest.data import MIB, connected, error_of, fast_zero, pattern, read_all

SLOW, FAST = [False] * 3, [True] * 3

TRUTH = {
    "s01": (["maxdata=256K", "maxlen=256K", "delay-write=1ms", "delay-zero=1ms"], SLOW),
    "s02": (["maxdata=256K", "maxlen=256K", "delay-write=4ms", "delay-zero=3ms"], SLOW),
    "s03": (["maxdata=256K", "maxlen=2G", "delay-write=1ms", "delay-zero=1ms"], FAST),
    "s05": (["maxdata=1M", "maxlen=2G", "delay-read=5ms", "delay-write=5ms", "delay-zero=5ms"], FAST),
}


@pytest.mark.timing
@pytest.mark.parametrize("parameters, truth", TRUTH.values(), ids=TRUTH.keys())
def test_scenario(servers, start_proxy, parameters, truth):
    upstream = hidden(servers, *parameters)
    proxy = start_proxy(upstream.uri)
    assert judge(proxy, upstream) == truth
    counts = proxy.fast_zero()
    assert counts["requests"] == 3 and counts["refused"] == 3 - sum(truth)
    assert proxy.export()["probes"]["run"] >= 1
    assert proxy.verdict(16 * MIB) == ("fast" if truth is FAST else "slow")


@pytest.mark.timing
def test_scenario_01_known_slow_is_refused_locally_and_quickly(servers, start_proxy):
    upstream = hidden(servers, *TRUTH["s01"][0])
    proxy = start_proxy(upstream.uri)
    asker = Asker(proxy, upstream)
    assert not asker.ask(0)[0]
    before = upstream.requests()
    # Everything that the probe wrote back has been flushed before the answer.
    assert before[-1].startswith("Flush"), before[-3:]
    answer, took = asker.ask(1)
    assert not answer and took < 0.05
    # Nothing but the one quick query whether all is zero already.
    asked = [line for line in upstream.requests()[len(before):] if not line.startswith("Extents")]
    assert not asked, "a verdict known, and yet upstream was asked"
    asker.check()


@pytest.mark.timing
def test_scenario_01_probe_stays_inside_the_range(servers, start_proxy):
    upstream = hidden(servers, *TRUTH["s01"][0])
    proxy = start_proxy(upstream.uri)
    asker = Asker(proxy, upstream)
    known = len(upstream.requests())
    asker.ask(1)
    for line in upstream.requests()[known:]:
        fields = dict(f.split("=") for f in line.split() if "=" in f)
        if line.startswith(("Write", "Zero")):
            first = int(fields["offset"], 16)
            assert 16 * MIB <= first and first + int(fields["count"], 16) <= 32 * MIB, line


@pytest.mark.timing
def test_scenario_04_fast_from_16_mib_not_at_64_kib(servers, start_proxy):
    upstream = hidden(servers, "maxdata=256K", "maxlen=2G", "delay-write=1ms", "delay-zero=20ms")
    proxy = start_proxy(upstream.uri)
    # 16 MiB have room for chunks of 4 MiB, at which the fixed cost still hides what 16 MiB cost: a longer
    # request finds it out for all.
    assert judge(proxy, upstream, length=48 * MIB) == FAST
    data = pattern(MIB, 9)
    with connected(proxy.uri()) as h:
        h.pwrite(pattern(16 * MIB), 32 * MIB)
        assert fast_zero(h, 16 * MIB, 32 * MIB)
        h.pwrite(data, 0)
        answers = [fast_zero(h, 65536, 0) for _ in range(24)]
        # At most 16 answers without knowing, then the truth.
        assert answers[-5:] == [False] * 5, answers
        h.pwrite(data, 0)
        assert not fast_zero(h, 65536, 65536)
        assert bytes(h.pread(MIB, 0)) == data


@pytest.mark.timing
def test_scenario_06_slow_start_of_each_zero(servers, start_proxy):
    upstream = hidden(servers, "delay-zero=60ms", filters=["delay"])
    proxy = start_proxy(upstream.uri)
    assert judge(proxy, upstream) == SLOW


def test_scenario_07_own_flag_is_passed_through(servers, start_proxy):
    upstream = servers.nbdkit("memory", "3G", log=True)
    proxy = start_proxy(upstream.uri)
    asker = Asker(proxy, upstream)
    known = len(upstream.requests())
    assert [asker.ask(n)[0] for n in range(3)] == FAST
    seen = upstream.requests()[known:]
    assert not [line for line in seen if line.startswith(("Read", "Write"))], seen
    zeroes = [line for line in seen if line.startswith("Zero")]
    assert zeroes and all("fast=1" in line for line in zeroes)
    asker.check()
    assert proxy.export()["probes"]["run"] == 0


@pytest.mark.smoke
def test_scenario_08_own_refusal_is_passed_through(servers, start_proxy):
    upstream = servers.nbdkit("memory", "1G", "zeromode=emulate", filters=["nozero"])
    proxy = start_proxy(upstream.uri)
    assert judge(proxy, upstream) == SLOW
    assert proxy.fast_zero()["upstream_advertised"]


def test_scenario_13_server_without_write_zeroes(servers, start_proxy):
    upstream = servers.nbdkit("memory", "64M", filters=["log", "nozero"])
    proxy = start_proxy(upstream.uri)
    with connected(upstream.uri) as h:
        assert not h.can_zero()
    data = bytearray(pattern(48 * MIB))
    with connected(proxy.uri()) as h:
        assert h.can_zero() and h.can_fast_zero()
        for at in range(0, len(data), 8 * MIB):
            h.pwrite(bytes(data[at:at + 8 * MIB]), at)
        for length in (65536, 16 * MIB):
            assert not fast_zero(h, length, 0)
        assert bytes(h.pread(16 * MIB, 0)) == data[:16 * MIB]
        h.zero(33 * MIB + 777, MIB + 5)
        h.zero(4096, 0, 1)  # FUA
    data[MIB + 5:34 * MIB + 782] = bytes(33 * MIB + 777)
    data[:4096] = bytes(4096)
    assert read_all(proxy.uri(), len(data)) == data
    assert not upstream.requests("Zero")


@pytest.mark.timing
def test_policies_need_no_measuring(servers, start_proxy):
    """always, never and off, against a server where measuring would say the opposite."""
    slow = hidden(servers, *TRUTH["s01"][0])
    proxy = start_proxy({"always": (slow.uri, {"fast_zero": "always"}),
                         "never": (slow.uri, {"fast_zero": "never"}),
                         "off": (slow.uri, {"fast_zero": "off"})})
    with connected(proxy.listens["always"].uri()) as h:
        assert fast_zero(h, MIB, 0)
    with connected(proxy.listens["never"].uri()) as h:
        assert not fast_zero(h, MIB, 0)
    with connected(proxy.listens["off"].uri(), strict=False) as h:
        assert not h.can_fast_zero()
        assert error_of(h.zero, MIB, 0, 16) == "EINVAL"
    assert not [line for line in slow.requests() if line.startswith(("Read", "Write"))]


def test_no_probe_when_it_is_off(servers, start_proxy):
    upstream = servers.nbdkit("memory", "256M", "zeromode=plugin", "fastzeromode=none",
                              filters=["log", "nozero"])
    proxy = start_proxy(upstream.uri, probe="off")
    asker = Asker(proxy, upstream)
    known = len(upstream.requests())
    assert [asker.ask(n)[0] for n in range(3)] == SLOW
    seen = upstream.requests()[known:]
    assert not [line for line in seen if line.startswith(("Write", "Zero"))], seen
    with connected(proxy.uri()) as h:
        assert not fast_zero(h, 65536, 0), "sampled although probe = off"


def test_e116_an_idle_proxy_writes_nothing(servers, start_proxy):
    upstream = servers.nbdkit("memory", "64M", log=True)
    proxy = start_proxy(upstream.uri)
    with connected(proxy.uri()) as h:
        import time
        time.sleep(2)
        bytes(h.pread(512, 0))
    assert not [line for line in upstream.requests() if line.startswith(("Write", "Zero", "Trim"))]
