# SPDX-License-Identifier: BSD-3-Clause
"""Options that are unknown, withdrawn, repeated, or carry data they should not have."""
import pytest

from nbdtest import wire


def test_b20_list_with_data(stage):
    s = stage()
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        assert c.final(wire.LIST, b"data") == wire.ERR_INVALID
        assert c.alive()
        c.abort()


def test_b20_list_twice(stage):
    s = stage()
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        first, second = c.option(wire.LIST), c.option(wire.LIST)
        assert first == second
        assert first[-1].kind == wire.ACK and len(first) >= 2
        c.abort()


@pytest.mark.parametrize("data", [b"", b"some data"])
def test_b21_abort(stage, data):
    s = stage()
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        assert c.final(wire.ABORT, data) == wire.ACK
        c.expect_close()
    assert not s.proxy.lines("error")


def test_b21_abort_and_gone(stage):
    s = stage()
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        c.send(wire.option(wire.ABORT))
        c.close()
    assert not s.proxy.lines("error")


@pytest.mark.parametrize("number", [0, 4, 12, 0x7FFF, 0xFFFFFFFF])
def test_b22_unknown_option(stage, number):
    s = stage()
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        assert c.final(number) == wire.ERR_UNSUP
        assert c.final(number, b"d" * 100) == wire.ERR_UNSUP
        assert c.alive()
        c.abort()
    assert s.upstream.accepted == 0


def test_b38_structured_reply_with_data_and_twice(stage):
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        assert c.final(wire.STRUCTURED_REPLY, b"x") == wire.ERR_INVALID
        c.structured()
        assert c.final(wire.STRUCTURED_REPLY) == wire.ERR_INVALID
        c.go()
        c.request(wire.READ, 0, 512)
        assert c.chunk().kind == wire.OFFSET_DATA
        c.disconnect()


def test_b47_pipelined_options(stage):
    s = stage()
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        c.send(wire.option(0x7FFF, b"abc") + wire.option(wire.LIST) + wire.option(wire.LIST, b"x")
               + wire.option(0x7FFD))
        replies = [c.option_reply() for _ in range(5)]
        assert [(r.option, r.kind) for r in replies] == [
            (0x7FFF, wire.ERR_UNSUP), (wire.LIST, wire.SERVER), (wire.LIST, wire.ACK),
            (wire.LIST, wire.ERR_INVALID), (0x7FFD, wire.ERR_UNSUP)]
        c.abort()


def test_b47_request_in_the_segment_of_go(stage):
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.send(wire.option(wire.GO, wire.info_data("")) + wire.request(wire.READ, 0, 512, cookie=5))
        kinds = [c.option_reply().kind]
        while kinds[-1] == wire.REP_INFO:
            kinds.append(c.option_reply().kind)
        assert kinds[-1] == wire.ACK
        assert c.reply(512).cookie == 5
        c.disconnect()


@pytest.mark.parametrize("data", [b"", b"x"])
def test_c51_starttls_without_tls(stage, data):
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        assert c.final(wire.STARTTLS, data) in (wire.ERR_POLICY, wire.ERR_UNSUP, wire.ERR_INVALID)
        c.go()
        c.disconnect()
