# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams that refuse an export, or do not know the option."""
import pytest

from nbdtest import wire
from nbdtest.rawserver import ModelUpstream


class Refuses(ModelUpstream):
    """Answers GO and INFO with `error` and `text`."""
    error = wire.ERR_POLICY
    text = b""

    def option(self, c, number, data):
        if number in (wire.GO, wire.INFO):
            self.refuse(c, number, self.error, self.text)
            return False
        return super().option(c, number, data)


class OnlyExportName(ModelUpstream):
    """Knows none of the options since 2016."""

    def option(self, c, number, data):
        if number in (wire.EXPORT_NAME, wire.ABORT):
            return super().option(c, number, data)
        self.refuse(c, number, wire.ERR_UNSUP)
        return False


@pytest.mark.parametrize("error", [wire.ERR_POLICY, wire.ERR_PLATFORM, wire.ERR_SHUTDOWN,
                                   wire.ERR_BLOCK_SIZE_REQD, wire.ERR_UNKNOWN, wire.ERR_INVALID])
def test_b49_refusal_and_its_text(stage, error):
    s = stage(Refuses, {"error": error, "text": b"because \x1b[31mI say so"})
    c = s.client()
    c.greet()
    reply = c.option(wire.GO, wire.info_data(""))[-1]
    assert reply.kind == error, hex(reply.kind)
    assert b"I say so" in reply.payload and b"\x1b" not in reply.payload
    assert c.alive()


def test_b49_tls_required_is_not_passed_on(stage):
    s = stage(Refuses, {"error": wire.ERR_TLS_REQD})
    c = s.client()
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) in (wire.ERR_POLICY, wire.ERR_PLATFORM)


def test_b49_unknown_error_is_still_an_error(stage):
    s = stage(Refuses, {"error": wire.ERROR_BIT + 4711})
    c = s.client()
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) & wire.ERROR_BIT
    assert c.alive()


@pytest.mark.parametrize("structured", [False, True])
def test_b50_upstream_without_go(stage, structured):
    s = stage(OnlyExportName)
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        if structured:
            c.structured()
        assert c.go().size == s.upstream.size
        c.request(wire.WRITE, 512, 512, payload=b"g" * 512)
        assert c.either()[0] == 0
        c.disconnect()
    assert s.upstream.disk[512:1024] == b"g" * 512


@pytest.mark.parametrize("length", [4097, 32 << 20])
def test_g137_error_text_too_long(stage, length):
    s = stage(Refuses, {"text": b"\x1b]" + b"t" * (length - 2)})
    c = s.client()
    c.greet()
    reply = c.option(wire.GO, wire.info_data(""))[-1]
    assert reply.kind & wire.ERROR_BIT and len(reply.payload) <= 4096
    assert c.alive()
