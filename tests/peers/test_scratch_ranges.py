# SPDX-License-Identifier: BSD-3-Clause
"""scratch: what happens around the range that is measured, with an upstream that holds its zeroes."""
import subprocess
import time

import pytest

from nbdtest import paths, wire
from nbdtest.data import MIB, pattern
from nbdtest.process import wait_until
from probed_upstreams import SEED, HoldsZeroes


def test_requests_that_touch_the_chunk_in_work_wait(stage):
    s = stage(HoldsZeroes, scratch="4M:4M", probe="off")
    c = s.client()
    c.start()
    s.upstream.wait_requests(1, wire.WRITE_ZEROES, timeout=15)
    held = s.upstream.requests(wire.WRITE_ZEROES)[0]
    c.request(wire.READ, held.offset, 512)
    assert c.silent(0.3)
    s.upstream.go.set()
    assert len(c.reply(512).payload) == 512
    assert c.read(0, 512) == pattern(512, SEED)
    wait_until(lambda: any(e["probes"]["run"] for e in s.proxy.json()["exports"]), 30, "a probe")
    assert all(4 * MIB <= r.offset and r.offset + r.length <= 8 * MIB
               for kind in (wire.WRITE, wire.WRITE_ZEROES) for r in s.upstream.requests(kind))


def test_a_status_that_may_reach_into_the_chunk_waits(stage):
    """Asked for what is before it, and without REQ_ONE: the answer may go on to where a zero is that will not stay."""
    s = stage(HoldsZeroes, {"has_structured": True}, scratch="4M:4M", probe="off")
    c = s.client()
    c.start(fmt="structured", queries=["base:allocation"])
    s.upstream.wait_requests(1, wire.WRITE_ZEROES, timeout=15)
    assert c.status(0, 65536, wire.REQ_ONE) and c.status(0, 65536, wire.REQ_ONE)
    asked = len(s.upstream.requests(wire.BLOCK_STATUS))
    c.request(wire.BLOCK_STATUS, 0, 65536)
    assert c.silent(0.3) and len(s.upstream.requests(wire.BLOCK_STATUS)) == asked
    s.upstream.go.set()
    assert c.either()[0] == 0 and len(s.upstream.requests(wire.BLOCK_STATUS)) == asked + 1


BAD = {
    "outside": ("12M:8M", 0, "the range ends at 20971520, but the export at 16777216"),
    "read-only": ("0:8M", wire.READ_ONLY, "the export is read-only"),
}


@pytest.mark.parametrize("scratch, flags, words", BAD.values(), ids=BAD.keys())
def test_what_cannot_be_measured_is_said_once_and_served(stage, scratch, flags, words):
    s = stage(HoldsZeroes, {"flags": HoldsZeroes.flags | flags}, scratch=scratch, probe="off")
    s.upstream.go.set()
    wait_until(lambda: [x for x in s.proxy.lines("warn") if words in x], 15, "a warning")
    c = s.client()
    c.start()
    assert c.read(12 * MIB, 512) == s.upstream.disk[12 * MIB:12 * MIB + 512]
    answer = c.call(wire.WRITE_ZEROES, 0, MIB, wire.FAST_ZERO)
    assert answer == (wire.EPERM if flags else wire.ENOTSUP)
    assert not s.upstream.requests(wire.WRITE_ZEROES) and not s.upstream.requests(wire.WRITE)
    assert len([x for x in s.proxy.lines("warn") if words in x]) == 1


def test_upstream_dies_in_the_midst(stage):
    s = stage(HoldsZeroes, scratch="4M:4M", probe="off")
    s.upstream.wait_requests(1, wire.WRITE_ZEROES, timeout=15)
    for c in s.upstream.open_connections[:]:
        c.close()
    s.upstream.go.set()
    wait_until(lambda: [x for x in s.proxy.lines("warn") if "not measured: upstream" in x], 15, "a warning")
    c = s.client()
    c.start()
    assert c.read(0, 512) == pattern(512, SEED)
    assert c.write(4 * MIB, b"x" * 512) == 0  # and nobody holds the range


@pytest.mark.calls
def test_drain_in_the_midst(start_proxy, model):
    upstream = model(HoldsZeroes)
    proxy = start_proxy(upstream.uri, scratch="4M:4M", probe="off")
    upstream.wait_requests(1, wire.WRITE_ZEROES, timeout=15)
    began = time.monotonic()
    proxy.stop()
    assert time.monotonic() - began < 4
    upstream.go.set()


def test_check_names_the_range(start_proxy, model):
    upstream = model(HoldsZeroes)
    proxy = start_proxy(upstream.uri, scratch="4M:4M", probe="off")
    upstream.go.set()
    out = subprocess.run([paths.PROXY, "-c", proxy.config, "--check"], capture_output=True, text=True,
                         check=True, timeout=20).stdout
    assert 'scratch 4194304:4194304 of export "" of [upstream main]: may be overwritten at any time\n' in out


def test_a_reload_moves_it(start_proxy, model):
    upstream = model(HoldsZeroes)
    upstream.go.set()
    proxy = start_proxy(upstream.uri, scratch="4M:4M", probe="off")
    wait_until(lambda: "scratch 4194304:4194304" in proxy.log() and proxy.json()["exports"], 15, "a probe")
    wait_until(lambda: proxy.export()["verdicts"], 20, "a verdict")
    with open(proxy.config, encoding="utf-8") as f:
        text = f.read()
    with open(proxy.config, "w", encoding="utf-8") as f:
        f.write(text.replace("4M:4M", "8M:8M"))
    assert "4M:4M -> 8M:8M" in proxy.stat("reload").stdout
    before = len(upstream.requests())
    time.sleep(0.5)
    assert all(r.offset >= 8 * MIB for r in upstream.requests()[before:]
               if r.command in (wire.WRITE, wire.WRITE_ZEROES))


def test_the_first_one_needs_a_restart(start_proxy, model):
    upstream = model(HoldsZeroes)
    upstream.go.set()
    proxy = start_proxy(upstream.uri, probe="off")
    with open(proxy.config, "a", encoding="utf-8") as f:
        f.write("\n[export e]\nscratch = 4M:4M\n")
    assert "scratch needs a restart" in proxy.stat("reload").stdout
    time.sleep(0.3)
    assert not upstream.requests()
