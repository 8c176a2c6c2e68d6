# SPDX-License-Identifier: BSD-3-Clause
"""EXTENDED_HEADERS among the options: what may come with it, before it and after it."""
import pytest

from nbdtest import wire
from nbdtest.rawserver import ModelUpstream

ALLOCATION = "base:allocation"


def reads(c):
    """The connection speaks the format that the client believes in."""
    c.go()
    assert c.read(0, 512) == bytes(512)
    c.disconnect()


def test_b45_asked_and_used_without_upstream(stage):
    """The answer does not need upstream, which is not dialled for it."""
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.extended()
        assert s.upstream.accepted == 0
        reads(c)


def test_b45_with_data(stage):
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        assert c.final(wire.EXTENDED_HEADERS, b"x") == wire.ERR_INVALID
        assert c.alive()
        reads(c)  # in the simple format


def test_b45_twice(stage):
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.extended()
        assert c.final(wire.EXTENDED_HEADERS) == wire.ERR_INVALID
        reads(c)


def test_b45_structured_first(stage):
    """It takes precedence over structured replies (ext: NBD_OPT_EXTENDED_HEADERS)."""
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.structured()
        c.extended()
        reads(c)


def test_b45_structured_after_it(stage):
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.extended()
        assert c.final(wire.STRUCTURED_REPLY) == wire.ERR_EXT_HEADER_REQD
        reads(c)


def test_b45_export_name_after_it(stage):
    s = stage()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.greet()
        c.extended()
        c.send(wire.option(wire.EXPORT_NAME))
        c.expect_close()
    assert not s.upstream.options(wire.EXPORT_NAME) and not s.upstream.options(wire.GO)


def test_b45_not_fixed(stage):
    s = stage()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.greet(0)
        c.send(wire.option(wire.EXTENDED_HEADERS))
        c.expect_close()


def test_b45_pipelined_with_go(stage):
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.send(wire.option(wire.EXTENDED_HEADERS) + wire.option(wire.GO, wire.info_data(""))
               + wire.extended_request(wire.READ, 512, 512, cookie=5))
        kinds = [c.option_reply().kind for _ in range(2)]
        while kinds[-1] == wire.REP_INFO:
            kinds.append(c.option_reply().kind)
        assert kinds[0] == kinds[-1] == wire.ACK
        c.format = "extended"
        assert c.chunks()[0].offset == 512
        c.disconnect()


def test_b39_contexts_need_no_structured_replies_then(stage):
    s = stage()
    c = s.client()
    c.start(fmt="extended", queries=[ALLOCATION])
    assert c.status(0, 4096) == {c.contexts[ALLOCATION]: [(4096, 0)]}


def test_g133_status_payload_is_never_offered(stage):
    """Bit 12 is a promise that the proxy does not make, whatever upstream says."""
    class Offers(ModelUpstream):
        has_extended = True
        flags = ModelUpstream.flags | wire.STATUS_PAYLOAD | wire.SEND_RESIZE | 0xE000

    s = stage(Offers)
    c = s.client()
    flags = c.start(fmt="extended", queries=[ALLOCATION]).flags
    assert not flags & (wire.STATUS_PAYLOAD | wire.SEND_RESIZE | 0xE000)
    assert flags & wire.SEND_DF


class Grudging(ModelUpstream):
    """Says ACK to EXTENDED_HEADERS wrongly, or refuses it wrongly."""
    answer = b""

    def option(self, c, number, data):
        if number != wire.EXTENDED_HEADERS:
            return super().option(c, number, data)
        c.send(self.answer)
        return False


def reply(kind, payload=b"", number=wire.EXTENDED_HEADERS):
    return wire.option_reply(number, kind, payload)


REFUSALS = {
    "unsup": reply(wire.ERR_UNSUP),
    "policy": reply(wire.ERR_POLICY, b"no"),
    "invalid": reply(wire.ERR_INVALID),
    "unknown_error": reply(wire.ERROR_BIT + 4711, b"what?"),
}


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS.keys())
def test_b45_upstream_refuses_it(stage, answer):
    """Any error means no (qemu and libnbd take it so): structured replies are the next best."""
    s = stage(Grudging, {"answer": answer})
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.extended()
        reads(c)
    assert s.upstream.formats == ["structured"]


NONSENSE = {
    "ack_with_data": reply(wire.ACK, b"data"),
    "wrong_option": reply(wire.ACK, number=wire.STRUCTURED_REPLY),
    "server_entry": reply(wire.SERVER, wire.string("x")) + reply(wire.ACK),
    "unknown_type": reply(99) + reply(wire.ACK),
    "length_of_4_gib": wire.option_reply(wire.EXTENDED_HEADERS, wire.ERR_UNSUP, length=0xFFFFFFFF),
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_g130_nonsense_to_extended_headers(stage, answer):
    s = stage(Grudging, {"answer": answer}, connect_timeout="1s")
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        c.extended()
        assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
        assert c.alive()
        c.abort()
    s.upstream.wait_no_connection()


class AlwaysRequires(ModelUpstream):
    """Insists on extended headers, and refuses them."""

    def option(self, c, number, data):
        if number == wire.ABORT:
            return super().option(c, number, data)
        self.refuse(c, number, wire.ERR_UNSUP if number == wire.EXTENDED_HEADERS
                    else wire.ERR_EXT_HEADER_REQD, b"new clients only")
        return False


@pytest.mark.parametrize("client", ["simple", "structured", "extended"])
@pytest.mark.parametrize("number", [wire.GO, wire.INFO], ids=["go", "info"])
def test_b49_extended_headers_required_and_refused(stage, client, number):
    """It is asked once more, not for ever. Who speaks extended cannot be told to do so."""
    s = stage(AlwaysRequires, connect_timeout="2s")
    c = s.client()
    c.greet()
    c.agree(client)
    last = c.option(number, wire.info_data(""))[-1]
    assert last.kind in (wire.ERR_POLICY, wire.ERR_PLATFORM) or (
        last.kind == wire.ERR_EXT_HEADER_REQD and client != "extended"), hex(last.kind)
    assert c.alive()
    assert len(s.upstream.events) < 20


class RequiresForContexts(ModelUpstream):
    """GO is for everybody, contexts are for those with extended headers."""
    has_extended = True

    def option(self, c, number, data):
        if number in (wire.SET_META, wire.LIST_META) and c.format != "extended":
            self.refuse(c, number, wire.ERR_EXT_HEADER_REQD)
            return False
        return super().option(c, number, data)


def test_b42_upstream_wants_extended_headers_for_contexts(stage):
    s = stage(RequiresForContexts)
    c = s.client()
    c.start(fmt="structured", queries=[ALLOCATION])
    assert c.status(0, 4096) == {c.contexts[ALLOCATION]: [(4096, 0)]}
    assert s.upstream.formats == ["extended"]


def test_b34_extended_headers_outlive_an_unknown_export(stage):
    s = stage(overrides={"exports": {"known": ""}, "has_extended": True})
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.extended()
        assert c.final(wire.GO, wire.info_data("unknown")) == wire.ERR_UNKNOWN
        c.go("known")
        assert c.read(0, 512) == bytes(512)
        c.disconnect()
    assert s.upstream.formats == ["extended"]
