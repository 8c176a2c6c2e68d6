# SPDX-License-Identifier: BSD-3-Clause
"""GO and INFO whose inner lengths lie."""
import struct

import pytest

from nbdtest import wire

BAD = {
    "b25_name_of_4_gib": struct.pack(">I", 0xFFFFFFFF) + b"abc",
    "b26_name_overlaps_the_count": struct.pack(">I", 5) + b"abcdef",
    "b27_more_infos_than_data": wire.string("") + struct.pack(">HH", 65535, 1),
    "b28_trailing_bytes": wire.info_data("", [3]) + b"\0",
    "b28_odd_infos": wire.string("") + struct.pack(">HB", 1, 0),
    "b27_empty": b"",
    "b27_name_only": wire.string(""),
    "b27_three_bytes": b"\0\0\0",
}


@pytest.mark.parametrize("number", [wire.GO, wire.INFO], ids=["go", "info"])
@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_malformed(stage, number, data):
    s = stage()
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        assert c.final(number, data) == wire.ERR_INVALID
        assert c.alive()
        c.abort()
    assert s.upstream.accepted == 0


def test_b27_65535_infos(stage):
    s = stage()
    c = s.client()
    c.greet()
    export = c.go("", [i % 4 for i in range(65535)])
    assert export.size == s.upstream.size


def test_b32_duplicate_infos(stage):
    s = stage()
    c = s.client()
    c.greet()
    assert c.go("", [0, 0, 3, 3, 0, 1, 1]).size == s.upstream.size  # go() fails on duplicates


def test_b37_unknown_info(stage):
    s = stage()
    c = s.client()
    c.greet()
    assert 0x7777 not in c.go("", [0x7777, 0xFFFF]).infos
