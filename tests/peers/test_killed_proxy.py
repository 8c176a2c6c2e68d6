# SPDX-License-Identifier: BSD-3-Clause
"""The proxy keeps nothing to itself: what was acknowledged is upstream when it is killed."""
import signal

import pytest

from nbdtest import wire
from nbdtest.data import file_bytes, pattern


@pytest.mark.parametrize("flush", [False, True], ids=["not_flushed", "flushed"])
@pytest.mark.parametrize("client", ["simple", "structured", "extended"])
def test_i158_killed_after_an_acknowledgement(servers, start_proxy, raw, client, flush):
    upstream = servers.qemu_nbd(servers.file(4 << 20))
    proxy = start_proxy(upstream.uri)
    data = pattern(1 << 20, 4)
    c = raw(proxy.address)
    c.start(fmt=client)
    for at in range(0, 1 << 20, 1 << 16):
        assert c.write(at, data[at:at + (1 << 16)]) == 0
    assert c.call(wire.WRITE_ZEROES, 4096, 4096, wire.NO_HOLE) == 0
    if flush:
        assert c.call(wire.FLUSH) == 0
    proxy.process.terminate(signal.SIGKILL)
    other = raw(upstream.address)
    other.start()
    assert other.read(0, 1 << 20) == data[:4096] + bytes(4096) + data[8192:]
    other.disconnect()
    if flush:
        assert file_bytes(upstream.backing, 0, 4096) == data[:4096]
