# SPDX-License-Identifier: BSD-3-Clause
"""Cookies are the client's own business, even if they are all the same."""
import pytest

from nbdtest import wire
from nbdtest.data import pattern


@pytest.mark.parametrize("cookie", [0, 2**64 - 1, 0x0123456776543210, 1 << 63])
def test_d75_cookie_comes_back(stage, cookie):
    s = stage()
    c = s.client()
    c.start()
    c.request(wire.READ, 0, 512, cookie=cookie)
    assert c.reply(512).cookie == cookie
    c.request(9, 0, 512, cookie=cookie)
    assert c.reply().cookie == cookie


def test_d75_same_cookies_on_two_connections(servers, start_proxy, raw, bystander):
    proxy = start_proxy(servers.nbdkit("memory", "4M").uri, threads=1)
    bystander(proxy.address, offset=3 << 20)
    clients = [raw(proxy.address) for _ in range(2)]
    data = pattern(1 << 20)
    clients[0].start()
    clients[1].start()
    assert clients[0].write(0, data) == 0
    for i, c in enumerate(clients):
        for n in range(16):
            c.request(wire.READ, (n * 2 + i) * 4096, 4096, cookie=n)
    for i, c in enumerate(clients):
        for _ in range(16):
            reply = c.reply(4096)
            at = (reply.cookie * 2 + i) * 4096
            assert reply.payload == data[at:at + 4096]


def test_h148_duplicate_cookies_in_flight(stage):
    s = stage()
    s.upstream.disk[:8192] = b"a" * 4096 + b"b" * 4096
    c = s.client()
    c.start()
    c.send(b"".join(wire.request(wire.READ, n % 2 * 4096, 4096, cookie=77) for n in range(16)))
    replies = [c.reply(4096) for _ in range(16)]
    assert all(r.cookie == 77 for r in replies)
    # Whatever the order: eight of each, and none that is a mixture.
    assert sorted(r.payload for r in replies) == [b"a" * 4096] * 8 + [b"b" * 4096] * 8
