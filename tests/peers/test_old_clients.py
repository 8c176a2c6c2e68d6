# SPDX-License-Identifier: BSD-3-Clause
"""Clients without fixed newstyle, with EXPORT_NAME, and the padding that each of them must get."""
import struct

import pytest

from nbdtest import wire


def export_name(client, name="", padding=0):
    client.send(wire.option(wire.EXPORT_NAME, name.encode()))
    size, flags = struct.unpack(">QH", client.receive(10))
    assert client.receive(padding) == bytes(padding)
    return size, flags


# What the client said, and how many zero bytes must follow size and flags.
@pytest.mark.parametrize("item, flags, padding", [
    ("a04_not_fixed", 0, 124),
    ("a06_fixed", 1, 124),
    ("a07_fixed_no_zeroes", 3, 0),
    ("a08_no_zeroes_not_fixed", 2, 0),
], ids=lambda v: v if isinstance(v, str) else "")
def test_export_name(stage, item, flags, padding):
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet(flags)
        size, transmission = export_name(c, padding=padding)
        assert size == s.upstream.size and transmission & wire.HAS_FLAGS, item
        assert c.write(1024, b"w" * 512) == 0
        assert c.read(1024, 512) == b"w" * 512
        c.disconnect()


def test_a05_not_fixed_may_only_name_an_export(stage):
    s = stage()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.greet(0)
        c.send(wire.option(wire.LIST))
        c.expect_close()
    assert s.upstream.accepted == 0


def test_a09_no_padding_after_go(stage):
    s = stage()
    c = s.client()
    c.greet(1)
    c.go()
    assert c.read(0, 512) == bytes(512)


def test_a10_each_client_has_its_own_padding(stage):
    s = stage()
    padded, plain = s.client(), s.client()
    padded.greet(1)
    plain.greet(3)
    export_name(plain, padding=0)
    export_name(padded, padding=124)
    for c in (padded, plain):
        assert c.read(0, 512) == bytes(512)
