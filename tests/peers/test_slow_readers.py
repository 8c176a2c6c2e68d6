# SPDX-License-Identifier: BSD-3-Clause
"""Clients that ask and do not read the answers."""
import time

import pytest

from nbdtest import wire
from nbdtest.data import pattern
from nbdtest.proxy import wait_idle

MIB = 1 << 20


@pytest.fixture
def busy(servers, start_proxy, bystander):
    upstream = servers.nbdkit("memory", "64M")
    proxy = start_proxy({"main": upstream.uri}, threads=1, max_in_flight_bytes="64M",
                        io_timeout="20s")
    watcher = bystander(proxy.address, offset=60 * MIB)
    return proxy, watcher


@pytest.mark.parametrize("client, flags", [
    ("simple", 0), ("structured", 0), ("structured", wire.DF), ("extended", 0),
    ("extended", wire.DF)], ids=["simple", "structured", "structured_df", "extended", "extended_df"])
def test_h147_reads_whose_replies_nobody_takes(busy, raw, client, flags):
    """DF: what is gathered counts, too."""
    proxy, watcher = busy
    before = proxy.process.rss()
    c = raw(proxy.address, timeout=2)
    c.start(fmt=client)
    sent = 0
    try:
        for _ in range(20000):
            c.request(wire.READ, 0, 32 * MIB, flags)
            sent += 1
    except OSError:
        pass  # it stopped reading us: that is the back-pressure
    watcher.served()
    time.sleep(0.5)
    # 64 MiB may be in flight; what the proxy holds of that is less than all of it and some slack.
    assert proxy.process.rss() - before < 96 * MIB, f"{sent} requests taken"
    c.close()
    wait_idle(proxy, 1)
    watcher.served()


@pytest.mark.parametrize("flags", [0, wire.DF], ids=["plain", "df"])
def test_h147_many_small_reads(busy, raw, flags):
    proxy, watcher = busy
    before = proxy.process.rss()
    c = raw(proxy.address, timeout=2)
    c.start(structured=bool(flags))
    try:
        for _ in range(200):
            c.send(b"".join(wire.request(wire.READ, 0, 512, flags, n) for n in range(1000)))
    except OSError:
        pass
    watcher.served()
    assert proxy.process.rss() - before < 64 * MIB
    c.close()
    wait_idle(proxy, 1)


def test_h154_slow_reader_gets_whole_messages(busy, raw):
    proxy, _ = busy
    data = pattern(MIB)
    writer = raw(proxy.address)
    writer.start()
    assert writer.write(0, data) == 0
    c = raw(proxy.address, receive_buffer=4096)
    c.start()
    # What the proxy holds for a client that does not read is 1 MiB; a client that sends on beyond that
    # without reading waits, here and with any server.
    wanted = {n: (n * 4096 % MIB, 4096) for n in range(200)}
    taken = bytearray()
    for n, (offset, length) in wanted.items():
        c.request(wire.READ, offset, length, cookie=n)
        if n % 50 == 0:
            taken += c.sock.recv(100)
            time.sleep(0.01)
    total = len(wanted) * (16 + 4096)
    while len(taken) < total:
        taken += c.sock.recv(1000)
    for at in range(0, total, 16 + 4096):
        assert int.from_bytes(taken[at:at + 4], "big") == wire.SIMPLE
        offset, length = wanted.pop(int.from_bytes(taken[at + 8:at + 16], "big"))
        assert taken[at + 16:at + 16 + length] == data[offset:offset + length]
    assert not wanted


def test_h147_client_that_never_reads_stalls_alone(servers, start_proxy, raw, bystander):
    """No progress inside a reply that has begun: io-timeout ends it."""
    proxy = start_proxy({"main": servers.nbdkit("memory", "64M").uri}, threads=1, io_timeout="1s")
    bystander(proxy.address, offset=60 * MIB)
    with proxy.ends("client-stalled"):
        c = raw(proxy.address)
        c.start()
        c.request(wire.READ, 0, 32 * MIB)
        time.sleep(2.5)
    c.close()
