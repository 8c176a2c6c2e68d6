# SPDX-License-Identifier: BSD-3-Clause
"""SET_META_CONTEXT and LIST_META_CONTEXT: too early, malformed, repeated, for another name."""
import struct

import pytest

from nbdtest import wire

ALLOCATION = "base:allocation"
BOTH = pytest.mark.parametrize("number", [wire.SET_META, wire.LIST_META], ids=["set", "list"])


def test_b39_before_structured_replies(stage):
    s = stage()
    c = s.client()
    c.greet()
    assert c.final(wire.SET_META, wire.meta_data("", [ALLOCATION])) == wire.ERR_INVALID
    # LIST may be refused, too, or answered (spec: NBD_OPT_LIST_META_CONTEXT).
    assert c.final(wire.LIST_META, wire.meta_data("", [])) in (wire.ACK, wire.ERR_INVALID)
    assert c.alive()


def test_b40_set_for_one_name_go_with_another(stage):
    s = stage()
    c = s.client()
    c.greet()
    c.structured()
    assert ALLOCATION in c.set_meta("a", [ALLOCATION])
    c.go("b")
    c.request(wire.BLOCK_STATUS, 0, 4096)
    assert c.either()[0] == wire.EINVAL
    assert not s.upstream.requests(wire.BLOCK_STATUS)


@pytest.mark.parametrize("second", [wire.meta_data("", []), wire.meta_data("", ["x:y"]),
                                    b"\0\0\0\0\0\0\0\1"], ids=["none", "unknown", "malformed"])
def test_b41_a_second_set_replaces_the_first(stage, second):
    s = stage()
    c = s.client()
    c.greet()
    c.structured()
    assert ALLOCATION in c.set_meta("", [ALLOCATION])
    c.option(wire.SET_META, second)
    c.go()
    c.request(wire.BLOCK_STATUS, 0, 4096)
    assert c.either()[0] == wire.EINVAL


@BOTH
@pytest.mark.parametrize("queries, finds", [
    ([], None), (["x:y"], False), ([ALLOCATION], True), ([ALLOCATION] * 3, True),
    ([ALLOCATION, "x:y"], True)], ids=["none", "unknown", "one", "thrice", "mixed"])
def test_b42_queries(stage, number, queries, finds):
    s = stage()
    c = s.client()
    c.greet()
    c.structured()
    replies = c.option(number, wire.meta_data("", queries))
    assert replies[-1].kind == wire.ACK
    names = [r.payload[4:] for r in replies[:-1]]
    if finds is None:  # LIST without queries lists all, SET selects none
        finds = number == wire.LIST_META
    if number == wire.SET_META:
        assert len(names) == int(finds)
    assert len(names) == len(set(names)) and (ALLOCATION.encode() in names) == finds
    assert c.alive()


MALFORMED = {
    "many_queries_no_data": wire.string("") + struct.pack(">I", 0xFFFFFFFF) + b"\0\0\0\1a",
    "query_of_4_gib": wire.string("") + struct.pack(">II", 1, 0xFFFFFFFF) + b"abc",
    "trailing_bytes": wire.meta_data("", [ALLOCATION]) + b"\0" * 7,
    "name_of_4_gib": struct.pack(">I", 0xFFFFFFFF) + b"abc",
    "empty": b"",
    "name_only": wire.string("a"),
}


@BOTH
@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_b43_malformed(stage, number, data):
    s = stage()
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        c.structured()
        assert c.final(number, data) == wire.ERR_INVALID
        assert c.alive()
        c.abort()
    assert not s.upstream.options(number)


def test_b42_contexts_are_listed_without_structured_upstream_ids(stage):
    """The id that the client is told is the one in BLOCK_STATUS, whatever the upstream's is."""
    s = stage(overrides={"known_contexts": {ALLOCATION: 0xFFFFFFFF}})
    c = s.client()
    c.start(structured=True, queries=[ALLOCATION])
    c.request(wire.BLOCK_STATUS, 0, 4096, wire.REQ_ONE)
    chunk = c.chunk()
    assert struct.unpack(">III", chunk.payload) == (c.contexts[ALLOCATION], 4096, 0)
