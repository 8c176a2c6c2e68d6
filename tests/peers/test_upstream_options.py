# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams whose option replies are nonsense."""
import struct

import pytest

from nbdtest import wire
from nbdtest.rawclient import Closed
from nbdtest.rawserver import ModelUpstream


class Nonsense(ModelUpstream):
    """Answers GO with prepared bytes."""
    answer = b""

    def answer_go(self, c, number, data):
        c.send(self.answer)
        c.wait_closed()


def info(kind, payload, number=wire.GO):
    return wire.option_reply(number, wire.REP_INFO, struct.pack(">H", kind) + payload)


EXPORT = info(wire.INFO_EXPORT, struct.pack(">QH", 1 << 20, 1))
ACK = wire.option_reply(wire.GO, wire.ACK)
BAD = {
    "g130_wrong_magic": wire.option_reply(wire.GO, wire.ACK, magic=wire.OPTION_REPLY + 1),
    "g130_wrong_option": EXPORT + wire.option_reply(wire.LIST, wire.ACK),
    "g130_unknown_type": EXPORT + wire.option_reply(wire.GO, 99) + ACK,
    "g130_length_of_4_gib": wire.option_reply(wire.GO, wire.REP_INFO, length=0xFFFFFFFF),
    "g130_error_of_4_gib": wire.option_reply(wire.GO, wire.ERR_POLICY, length=0xFFFFFFFF),
    "g130_ack_with_data": EXPORT + wire.option_reply(wire.GO, wire.ACK, b"data"),
    "g131_no_export": ACK,
    "g131_export_too_short": info(0, struct.pack(">QB", 1 << 20, 1)) + ACK,
    "g131_export_too_long": info(0, struct.pack(">QHH", 1 << 20, 1, 1)) + ACK,
    "g131_two_exports": EXPORT + info(0, struct.pack(">QH", 1 << 21, 1)) + ACK,
    "g131_info_of_one_byte": wire.option_reply(wire.GO, wire.REP_INFO, b"\0") + EXPORT + ACK,
    "g132_size_2_63": info(0, struct.pack(">QH", 1 << 63, 1)) + ACK,
    "g132_size_2_64": info(0, struct.pack(">QH", 2**64 - 1, 1)) + ACK,
    "g134_block_size_short": EXPORT + info(3, bytes(11)) + ACK,
    "g134_block_size_zero": EXPORT + info(3, struct.pack(">III", 0, 4096, 1 << 25)) + ACK,
    "g134_block_size_three": EXPORT + info(3, struct.pack(">III", 3, 4096, 1 << 25)) + ACK,
    "g134_block_size_huge": EXPORT + info(3, struct.pack(">III", 1 << 31, 1 << 31, 1 << 31)) + ACK,
    "g134_maximum_too_small": EXPORT + info(3, struct.pack(">III", 512, 4096, 512)) + ACK,
}
# A block size that makes no sense may as well be ignored (libnbd does).
LENIENT = {k for k in BAD if k.startswith("g134")}


@pytest.mark.parametrize("name", BAD)
def test_nonsense_to_go(stage, name):
    s = stage(Nonsense, {"answer": BAD[name]}, connect_timeout="1s")
    c = s.client()
    c.greet()
    replies = c.option(wire.GO, wire.info_data("", [wire.INFO_BLOCK_SIZE]))
    if replies[-1].kind == wire.ACK:  # ignored, which is as good, where it is not passed on
        assert name in LENIENT and not [r for r in replies if r.payload[:2] == b"\0\3"]
        return
    assert replies[-1].kind == wire.ERR_PLATFORM and replies[-1].payload
    with s.proxy.ends("client-abort"):
        assert c.alive()
        c.abort()
    s.upstream.wait_no_connection()


@pytest.mark.parametrize("size", [0, 1, 511, (1 << 20) + 1, 2**63 - 1])
def test_g132_odd_sizes(stage, size):
    s = stage(overrides={"size": size})
    c = s.client()
    assert c.start().size == size
    assert c.read(size, 1) == wire.EINVAL
    assert c.write(size, b"e") == wire.ENOSPC
    if 0 < size < 1 << 30:
        assert c.read(size - 1, 1) == b"\0"


@pytest.mark.parametrize("flags, absent", [
    (0, 0xFFFE & ~(wire.SEND_WRITE_ZEROES | wire.SEND_FAST_ZERO)),
    (0xFFFF & ~wire.READ_ONLY, wire.SEND_RESIZE | wire.STATUS_PAYLOAD | 0xE000 | wire.SEND_DF),
    (0xFFFF, wire.SEND_RESIZE | wire.STATUS_PAYLOAD | 0xE000 | wire.SEND_FAST_ZERO)])
def test_g133_flags(stage, flags, absent):
    s = stage(overrides={"flags": flags})
    c = s.client()
    advertised = c.start().flags
    assert advertised & wire.HAS_FLAGS
    assert not advertised & absent, hex(advertised)


class Endless(ModelUpstream):
    """Never stops answering one option."""
    at = wire.LIST
    piece = b""

    def option(self, c, number, data):
        if number != self.at:
            return super().option(c, number, data)
        while True:
            c.send(self.piece * 100)


ENDLESS = {
    "list": (wire.LIST, wire.option_reply(wire.LIST, wire.SERVER, wire.string("n" * 100))),
    "list_long": (wire.LIST, wire.option_reply(
        wire.LIST, wire.SERVER, wire.string("n" * 4000) + b"d" * 4000)),
    "info": (wire.GO, info(wire.INFO_DESCRIPTION, b"d" * 100)),
    "meta": (wire.SET_META, wire.option_reply(wire.SET_META, wire.META_CONTEXT, b"\0\0\0\1x:y")),
}


@pytest.mark.parametrize("at, piece", ENDLESS.values(), ids=ENDLESS.keys())
def test_g135_endless_replies(stage, at, piece):
    s = stage(Endless, {"at": at, "piece": piece}, handshake_timeout="8s", connect_timeout="5s")
    before = s.proxy.process.rss()
    c = s.client(timeout=15)
    c.greet()
    c.structured()
    data = {wire.LIST: b"", wire.GO: wire.info_data(""),
            wire.SET_META: wire.meta_data("", ["base:allocation"])}[at]
    c.send(wire.option(at, data))
    try:
        while True:  # an error, or a list that has an end
            if c.option_reply().kind not in (wire.SERVER, wire.META_CONTEXT, wire.REP_INFO):
                assert c.alive()
                break
    except Closed:
        # Contexts that this client has been told of cannot be taken back: then it is the end.
        assert at == wire.SET_META
    assert s.proxy.process.rss() - before < 64 << 20
    s.upstream.wait_no_connection(10)


BAD_LISTS = {
    "name_too_long": wire.option_reply(wire.LIST, wire.SERVER, struct.pack(">I", 10) + b"abc"),
    "name_of_4_gib": wire.option_reply(wire.LIST, wire.SERVER, struct.pack(">I", 2**32 - 1) + b"a"),
    "no_name": wire.option_reply(wire.LIST, wire.SERVER, b"\0\0"),
    "description_of_32_mib": wire.option_reply(wire.LIST, wire.SERVER, length=32 << 20)
                             + wire.string("name"),
}


class BadList(ModelUpstream):
    """Answers LIST with prepared bytes."""
    answer = b""

    def option(self, c, number, data):
        if number != wire.LIST:
            return super().option(c, number, data)
        c.send(self.answer)
        c.wait_closed()


@pytest.mark.parametrize("answer", BAD_LISTS.values(), ids=BAD_LISTS.keys())
def test_g136_bad_list(stage, answer):
    s = stage(BadList, {"answer": answer}, connect_timeout="1s")
    c = s.client()
    c.greet()
    replies = c.option(wire.LIST)
    assert all(len(r.payload) <= 8196 for r in replies)
    assert c.alive()
