# SPDX-License-Identifier: BSD-3-Clause
"""A client that connects and says nothing, or far too slowly."""
import time

import pytest

from nbdtest import wire


def test_a01_silent_client_gets_the_greeting_only(stage):
    s = stage()
    with s.proxy.ends("client-left-early"):
        c = s.client()
        assert c.receive(18) == wire.NBDMAGIC + wire.IHAVEOPT + b"\0\3"
        assert c.silent(0.3)
        c.close()
    assert s.upstream.accepted == 0


@pytest.mark.smoke
def test_a12_dribbling_client_is_dropped_at_the_deadline(stage):
    s = stage(handshake_timeout="1s")
    with s.proxy.ends("handshake-timeout"):
        c = s.client()
        begin = time.monotonic()
        c.receive(18)
        for byte in (b"\0\0\0\3" + wire.option(wire.LIST)) * 10:
            c.send(bytes([byte]))
            if not c.silent(0.1):
                break
        c.expect_close()
        assert 0.8 < time.monotonic() - begin < 2


def test_a12_silent_client_is_dropped_at_the_deadline(stage):
    s = stage(handshake_timeout="500ms")
    with s.proxy.ends("handshake-timeout"):
        c = s.client()
        c.greet()
        c.expect_close(3)
    assert s.upstream.accepted == 0


def test_a12_deadline_ends_with_the_handshake(stage):
    s = stage(handshake_timeout="500ms")
    c = s.client()
    c.start()
    time.sleep(1)
    assert c.write(0, b"x" * 512) == 0
