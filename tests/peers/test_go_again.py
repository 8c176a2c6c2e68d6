# SPDX-License-Identifier: BSD-3-Clause
"""INFO, GO, and GO once more."""
import struct

import pytest

from nbdtest import wire
from nbdtest.rawserver import ModelUpstream


class KnowsOnlyOne(ModelUpstream):
    """Knows the export `known`."""

    def option(self, c, number, data):
        if number in (wire.GO, wire.INFO) and not data.startswith(wire.string("known")):
            self.refuse(c, number, wire.ERR_UNKNOWN, b"no such export")
            return False
        return super().option(c, number, data)


def test_b33_info_and_go_agree(stage):
    s = stage(overrides={"block_size": (512, 4096, 1 << 20)})
    c = s.client()
    c.greet()
    infos = [wire.INFO_NAME, wire.INFO_BLOCK_SIZE]
    told = c.go("", infos, number=wire.INFO)
    assert told == c.go("", infos)
    assert wire.INFO_BLOCK_SIZE in told.infos


@pytest.mark.parametrize("number", [wire.GO, wire.INFO])
def test_b34_unknown_then_known(stage, number):
    s = stage(KnowsOnlyOne)
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.structured()
        contexts = c.set_meta("known", ["base:allocation"])
        assert c.final(number, wire.info_data("unknown")) == wire.ERR_UNKNOWN
        c.go("known")
        c.request(wire.BLOCK_STATUS, 0, 4096)
        chunk = c.chunk()
        assert chunk.kind == wire.STATUS
        assert struct.unpack(">I", chunk.payload[:4])[0] == contexts["base:allocation"]
        c.disconnect()


def test_b34_unknown_by_export_name(stage):
    s = stage(KnowsOnlyOne)
    with s.proxy.ends("refused-export"):
        c = s.client()
        c.greet()
        c.send(wire.option(wire.EXPORT_NAME, b"unknown"))
        c.expect_close()


def test_b35_block_sizes_only_for_those_who_ask(stage):
    s = stage(overrides={"block_size": (4096, 4096, 1 << 20)})
    asks, does_not = s.client(), s.client()
    asks.greet()
    minimum, preferred, maximum = struct.unpack(
        ">III", asks.go("", [wire.INFO_BLOCK_SIZE]).infos[wire.INFO_BLOCK_SIZE])
    assert (minimum, preferred) == (4096, 4096) and 4096 <= maximum <= 1 << 20
    asked = struct.pack(">H", wire.INFO_BLOCK_SIZE)
    assert s.upstream.options(wire.GO)[-1][6:].count(asked) == 1
    does_not.greet()
    does_not.go()
    assert asked not in s.upstream.options(wire.GO)[-1][6:]
    assert does_not.write(1, b"b") == 0 and does_not.read(1, 1) == b"b"


def test_d82_misaligned_for_those_who_asked(stage):
    s = stage(overrides={"block_size": (4096, 4096, 1 << 20)})
    c = s.client()
    c.start(infos=[wire.INFO_BLOCK_SIZE])
    assert c.read(512, 4096) == wire.EINVAL
    assert c.read(0, 512) == wire.EINVAL
    assert c.write(1, b"a" * 4096) == wire.EINVAL
    assert c.call(wire.WRITE_ZEROES, 4096, 100) == wire.EINVAL
    assert c.call(wire.TRIM, 100, 4096) == wire.EINVAL
    assert not s.upstream.requests()
    assert c.read(4096, 4096) == bytes(4096)
