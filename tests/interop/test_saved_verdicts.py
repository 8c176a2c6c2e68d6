# SPDX-License-Identifier: BSD-3-Clause
"""Verdicts across restarts: slow comes back, fast does not; another storage gets nothing; damaged files fail nothing."""
import glob
import json
import os

import pytest

from interop_helpers import hidden, judge
from nbdtest.data import MIB
from nbdtest.process import wait_until

SLOW = ["maxdata=256K", "maxlen=256K", "delay-write=1ms", "delay-zero=1ms"]
FAST = ["maxdata=256K", "maxlen=2G", "delay-write=1ms", "delay-zero=1ms"]


def saved(proxy):
    return sorted(glob.glob(os.path.join(proxy.state_dir, "verdict-*.json")))


def again(start_proxy, proxy, uri, **keys):
    proxy.stop()
    return start_proxy(uri, state_dir=proxy.state_dir, **keys)


@pytest.mark.timing
def test_slow_is_known_after_a_restart(servers, start_proxy):
    upstream = hidden(servers, *SLOW)
    proxy = start_proxy(upstream.uri)
    assert judge(proxy, upstream) == [False] * 3
    run = proxy.export()["probes"]["run"]
    assert run >= 1
    proxy = again(start_proxy, proxy, upstream.uri)
    assert judge(proxy, upstream) == [False] * 3
    assert proxy.export()["probes"]["run"] == 0, "it was known, and yet measured"
    row = proxy.export()["verdicts"][-1]
    assert row["verdict"] == "slow" and row["source"] == "saved" and row["samples"] > 0
    assert 0 <= row["age_s"] < 60


@pytest.mark.timing
def test_fast_is_found_out_anew(servers, start_proxy):
    upstream = hidden(servers, *FAST)
    proxy = start_proxy(upstream.uri)
    assert judge(proxy, upstream) == [True] * 3
    proxy = again(start_proxy, proxy, upstream.uri)
    assert proxy.verdict(16 * MIB) == "unknown" if proxy.json()["exports"] else True
    assert judge(proxy, upstream) == [True] * 3
    assert proxy.export()["probes"]["run"] >= 2


@pytest.mark.timing
def test_another_size_is_another_storage(servers, start_proxy):
    upstream = hidden(servers, *SLOW)
    proxy = start_proxy(upstream.uri)
    assert judge(proxy, upstream) == [False] * 3
    proxy.stop()
    [name] = saved(proxy)
    with open(name, encoding="utf-8") as f:
        state = json.load(f)
    state["size"] += 512
    with open(name, "w", encoding="utf-8") as f:
        json.dump(state, f)
    proxy = start_proxy(upstream.uri, state_dir=proxy.state_dir)
    assert judge(proxy, upstream) == [False] * 3
    assert proxy.export()["probes"]["run"] >= 1


@pytest.mark.timing
def test_a_damaged_file_is_set_aside_with_a_warning(servers, start_proxy):
    upstream = hidden(servers, *SLOW)
    proxy = start_proxy(upstream.uri)
    assert judge(proxy, upstream) == [False] * 3
    proxy.stop()
    [name] = saved(proxy)
    with open(name, "r+b") as f:
        f.truncate(os.path.getsize(name) // 2)
    proxy = start_proxy(upstream.uri, state_dir=proxy.state_dir)
    assert os.path.exists(name + ".damaged")
    assert [line for line in proxy.lines("warn") if "damaged" in line and os.path.basename(name) in line]
    assert judge(proxy, upstream) == [False] * 3


@pytest.mark.timing
def test_killed_it_knows_what_it_saved_before(servers, start_proxy):
    upstream = hidden(servers, *SLOW)
    proxy = start_proxy(upstream.uri)
    assert judge(proxy, upstream) == [False] * 3

    wait_until(lambda: saved(proxy), 15, "the file")
    proxy.process.kill()
    proxy = start_proxy(upstream.uri, state_dir=proxy.state_dir)
    assert judge(proxy, upstream) == [False] * 3
    assert proxy.export()["probes"]["run"] == 0
