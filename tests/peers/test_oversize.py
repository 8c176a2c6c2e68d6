# SPDX-License-Identifier: BSD-3-Clause
"""READs and WRITEs as long as a payload may be, and longer."""
import pytest

from nbdtest import wire
from nbdtest.data import pattern
from nbdtest.rawclient import Closed

LONGEST = 32 << 20


@pytest.fixture
def big(servers, start_proxy, raw, bystander):
    upstream = servers.nbdkit("memory", "128M", log=True)
    proxy = start_proxy({"main": upstream.uri}, threads=1)
    bystander(proxy.address, offset=100 << 20)
    client = raw(proxy.address, timeout=30)
    return proxy, upstream, client


def test_d84_longest_read_and_one_more(big):
    proxy, _, c = big
    with proxy.ends("client-disc"):
        c.start(structured=True)
        c.request(wire.READ, 0, LONGEST)
        error, chunks = c.either()
        assert error == 0 and sum(len(x.payload) - 8 for x in chunks
                                  if x.kind == wire.OFFSET_DATA) in range(LONGEST + 1)
        c.request(wire.READ, 0, LONGEST + 1)
        assert c.either()[0] in (wire.EINVAL, wire.EOVERFLOW)
        c.request(wire.READ, 0, 2**32 - 1)
        assert c.either()[0] == wire.EINVAL
        c.disconnect()


def test_d85_longest_write_and_one_more(big):
    proxy, upstream, c = big
    with proxy.ends("client-disc"):
        c.start()
        data = pattern(LONGEST)
        assert c.write(0, data) == 0
        assert c.read(0, LONGEST) == data
        assert c.write(0, b"w" * (LONGEST + 1)) == wire.EINVAL
        assert c.read(0, LONGEST) == data
        c.disconnect()
    assert not any(f"count={LONGEST + 1:#x}" in line for line in upstream.requests("Write"))


def test_d85_write_of_4_gib_is_dropped(big):
    proxy, _, c = big
    before = proxy.process.rss()
    with proxy.ends("client-breach"):
        c.start()
        c.request(wire.WRITE, 0, 2**32 - 1)
        c.expect_close()
    assert proxy.process.rss() - before < 4 << 20


def test_d85_write_of_4_gib_and_its_payload(big):
    proxy, _, c = big
    with proxy.ends("client-breach"):
        c.start()
        c.request(wire.WRITE, 0, 2**32 - 1)
        try:
            for _ in range(200):
                c.send(bytes(1 << 20))
            raise AssertionError("took 200 MiB of it")
        except (OSError, Closed):
            pass
