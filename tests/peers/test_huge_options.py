# SPDX-License-Identifier: BSD-3-Clause
"""Options as long as the length field can say."""
import pytest

from nbdtest import wire
from nbdtest.rawclient import Closed

PARSED, DRAINED = 256 << 10, 32 << 20
NUMBERS = [wire.EXPORT_NAME, wire.LIST, wire.GO, wire.SET_META, 0x7FFF]


@pytest.mark.parametrize("number", NUMBERS)
def test_b23_option_of_4_gib(stage, number):
    s = stage()
    s.client().start()  # what every session needs is there from now on
    before = s.proxy.process.rss()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.greet()
        c.send(wire.option(number, b"", length=0xFFFFFFFF))
        c.expect_close()
    assert s.proxy.process.rss() - before < 4 << 20  # ASan's quarantine included
    assert s.upstream.accepted == 1


@pytest.mark.parametrize("number, length, kind", [
    (0x7FFF, PARSED - 1, wire.ERR_UNSUP),
    (0x7FFF, PARSED, wire.ERR_UNSUP),
    (wire.GO, PARSED, wire.ERR_INVALID),
    (wire.GO, PARSED + 1, wire.ERR_TOO_BIG),
    (wire.SET_META, 1 << 20, wire.ERR_TOO_BIG),
    (wire.LIST, DRAINED, wire.ERR_TOO_BIG),
])
def test_b24_option_at_a_cap(stage, number, length, kind):
    s = stage()
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        c.send(wire.option(number, b"\xff" * length))
        reply = c.option_reply()
        # What is unknown may be called so at any length.
        assert reply.kind == kind, hex(reply.kind)
        assert c.alive()
        c.abort()
    assert s.upstream.accepted == 0


def test_b24_option_above_the_last_cap(stage):
    s = stage()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.greet()
        c.send(wire.option(0x7FFF, b"", length=DRAINED + 1))
        c.expect_close()


def test_b24_drained_bytes_have_a_budget(stage):
    """Many long options in one handshake are cut off, not drained for ever."""
    s = stage()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.greet()
        try:
            for _ in range(40):
                c.send(wire.option(0x7FFF, bytes(DRAINED)))
                c.option_reply()
            raise AssertionError("drained more than 1 GiB of options")
        except (OSError, Closed):
            pass
