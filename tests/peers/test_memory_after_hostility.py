# SPDX-License-Identifier: BSD-3-Clause
"""One second after hostile clients have gone, memory is within 32 MiB of what it was before."""
import random
import time

import pytest

from nbdtest import wire
from nbdtest.proxy import wait_idle

MIB = 1 << 20
ALLOWED = 32 * MIB


def greets_and_floods(c):
    c.greet()
    for _ in range(60):
        c.send(wire.option(wire.GO, bytes(200 << 10)))


def never_reads(c):
    c.start()
    for _ in range(60):
        c.request(wire.READ, 0, 32 * MIB)


def half_writes(c):
    c.start()
    c.request(wire.WRITE, 0, 32 * MIB, payload=bytes(16 * MIB))


def junk(c):
    c.send(random.Random(1).randbytes(MIB))


def bad_requests(c):
    c.start(structured=True)
    for n in range(2000):
        c.request(n % 20, n << 40, 0xFFFF, n & 0xFFFF, cookie=n)


def extended_never_reads(c):
    c.start(fmt="extended")
    for n in range(60):
        c.request(wire.READ, 0, 32 * MIB, wire.DF * (n % 2))


def extended_half_payload(c):
    c.start(fmt="extended")
    c.request(wire.TRIM, 0, 32 * MIB, wire.PAYLOAD_LEN, bytes(16 * MIB))


def extended_bad_requests(c):
    c.start(fmt="extended")
    for n in range(2000):
        c.request(n % 17 + 3, n << 40, n << 32, n & 0xFFDF, cookie=n)


HOSTILE = [greets_and_floods, never_reads, half_writes, junk, bad_requests, extended_never_reads,
           extended_half_payload, extended_bad_requests]


@pytest.mark.timing
def test_memory_after_hostility(servers, start_proxy, raw, bystander):
    proxy = start_proxy(servers.nbdkit("memory", "64M").uri, threads=2, io_timeout="5s",
                        log_level="warn")
    watcher = bystander(proxy.address, offset=60 * MIB)
    watcher.served(20)
    before = proxy.process.rss()
    for _ in range(3):
        crowd = []
        for hostile in HOSTILE * 3:
            c = raw(proxy.address, timeout=0.5)
            crowd.append(c)
            try:
                hostile(c)
            except (OSError, AssertionError):
                pass
        for c in crowd:
            c.close()
        watcher.served()
    wait_idle(proxy, 1)
    time.sleep(1)
    grown = proxy.process.rss() - before
    assert grown < ALLOWED, f"{grown >> 20} MiB more than before"


@pytest.mark.timing
def test_memory_of_a_thousand_sessions(servers, start_proxy, raw):
    proxy = start_proxy(servers.nbdkit("memory", "64M").uri, threads=2, log_level="warn")
    c = raw(proxy.address)
    c.start()
    before = proxy.process.rss()
    for _ in range(1000):
        one = raw(proxy.address)
        one.start()
        one.request(wire.DISC)
        one.close()
    wait_idle(proxy, 1)
    time.sleep(1)
    assert proxy.process.rss() - before < 8 * MIB
