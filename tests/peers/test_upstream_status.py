# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams whose BLOCK_STATUS replies break the protocol, structured and extended ones."""
import struct

import pytest

from nbdtest import wire
from nbdtest.formats import kind_of
from nbdtest.rawclient import Closed
from nbdtest.rawserver import ModelUpstream

ID = 7
ALLOCATION = "base:allocation"
# Every format that upstream may answer in, and whom for.
status_pairs = pytest.mark.parametrize("client, upstream", [
    ("structured", "structured"), ("structured", "only_extended"), ("extended", "structured"),
    ("extended", "extended")])


def status(c, r, *extents, number=ID, flags=wire.DONE):
    return c.status(r, number, extents, flags)


def extended(r, payload, **kwargs):
    return wire.extended_chunk(r.cookie, r.offset, wire.STATUS_EXT, payload, **kwargs)


BAD = {
    "length_4": lambda c, r: c.status(r, ID, []),
    "length_11": lambda c, r: c.chunk(r, wire.STATUS, struct.pack(">I", ID) + bytes(7)),
    "unknown_context": lambda c, r: status(c, r, (4096, 0), number=ID + 1),
    "extent_of_nothing": lambda c, r: status(c, r, (0, 0)),
    "extent_of_nothing_later": lambda c, r: status(c, r, (512, 0), (0, 0)),
    "extents_go_on_behind_the_end": lambda c, r: status(c, r, (4096, 0), (512, 0)),
    "too_many_extents": lambda c, r: status(c, r, *[(1, 0)] * (2**20 + 1)),
    "simple_success": lambda c, r: wire.simple_reply(r.cookie),
    "context_twice": lambda c, r: status(c, r, (4096, 0), flags=0) + status(c, r, (4096, 0)),
    "done_without_status": lambda c, r: c.chunk(r, wire.NONE),
    "data_to_a_status": lambda c, r: c.chunk(r, wire.OFFSET_DATA, struct.pack(">Q", 0) + bytes(8)),
}
COMPACT = {
    "extended_chunk_type": lambda c, r: c.chunk(r, wire.STATUS_EXT, wire.status_payload(
        True, ID, [(4096, 0)])),
    "length_of_4_gib": lambda c, r: c.chunk(r, wire.STATUS, length=2**32 - 4),
}
EXTENDED = {
    "compact_chunk_type": lambda c, r: c.chunk(r, wire.STATUS, wire.status_payload(
        False, ID, [(4096, 0)])),
    "compact_layout": lambda c, r: extended(r, wire.status_payload(False, ID, [(4096, 0)])),
    "compact_layout_of_the_right_length": lambda c, r: extended(r, wire.status_payload(
        False, ID, [(1024, 0), (1024, 0), (2048, 0)])[:24]),
    "count_0": lambda c, r: extended(r, wire.status_payload(True, ID, [(4096, 0)], count=0)),
    "count_0_and_no_extent": lambda c, r: extended(r, wire.status_payload(True, ID, [])),
    "count_too_small": lambda c, r: extended(r, wire.status_payload(
        True, ID, [(512, 0), (3584, 0)], count=1)),
    "count_too_large": lambda c, r: extended(r, wire.status_payload(True, ID, [(4096, 0)], count=2)),
    "count_that_wraps": lambda c, r: extended(r, wire.status_payload(
        True, ID, [(4096, 0)], count=(1 << 28) + 1)),
    "count_of_4_gib": lambda c, r: extended(r, wire.status_payload(
        True, ID, [(4096, 0)], count=2**32 - 1)),
    "half_an_extent": lambda c, r: extended(r, wire.status_payload(True, ID, [(4096, 0)])[:-8]),
    "length_2_63": lambda c, r: extended(r, b"", length=2**63),
    "length_2_32_and_24": lambda c, r: extended(r, wire.status_payload(True, ID, [(4096, 0)]),
                                                length=2**32 + 24),
    "wrong_offset": lambda c, r: wire.extended_chunk(
        r.cookie, r.offset + 4096, wire.STATUS_EXT, wire.status_payload(True, ID, [(4096, 0)])),
    "extent_of_2_63": lambda c, r: status(c, r, (2**63, 0)),
    "extent_of_2_64": lambda c, r: status(c, r, (2**64 - 1, 0)),
    "sum_wraps": lambda c, r: status(c, r, (2**64 - 512, 0), (1024, 0)),
    "first_of_2_64_and_more": lambda c, r: status(c, r, (2**64 - 1, 0), (2**64 - 1, 0)),
}


class Says(ModelUpstream):
    """Answers BLOCK_STATUS with prepared chunks."""
    answer = None

    def on_block_status(self, c, r):
        c.send(type(self).answer(c, r))


def saying(answer, upstream="structured"):
    return kind_of(upstream, Says, answer=staticmethod(answer))


def check_bad_status(s, client):
    with s.proxy.ends("upstream-breach"):
        c = s.client()
        c.start(fmt=client, queries=[ALLOCATION])
        c.request(wire.BLOCK_STATUS, 0, 4096)
        try:
            while True:
                error, _ = c.either()
                assert error == wire.EIO
        except Closed:
            pass
    s.upstream.wait_no_connection()


@status_pairs
@pytest.mark.parametrize("answer", BAD.values(), ids=BAD.keys())
def test_g143_bad_status(stage, answer, client, upstream):
    check_bad_status(stage(saying(answer, upstream)), client)


@pytest.mark.parametrize("client", ["structured", "extended"])
@pytest.mark.parametrize("answer", COMPACT.values(), ids=COMPACT.keys())
def test_g143_bad_compact_status(stage, answer, client):
    check_bad_status(stage(saying(answer)), client)


@pytest.mark.parametrize("client, upstream", [("structured", "only_extended"),
                                              ("extended", "extended")])
@pytest.mark.parametrize("answer", EXTENDED.values(), ids=EXTENDED.keys())
def test_g143_bad_extended_status(stage, answer, client, upstream):
    check_bad_status(stage(saying(answer, upstream)), client)


@pytest.mark.parametrize("length", [2**32 - 512, 2**32, 2**32 + 512, 2**62])
@pytest.mark.parametrize("client, upstream", [("structured", "only_extended"),
                                              ("extended", "extended")])
def test_f127_last_extent_reaches_far(stage, length, client, upstream):
    """It may end behind what was asked for, and is cut where the client's 32 bits end."""
    s = stage(saying(lambda c, r: status(c, r, (length, 0)), upstream))
    c = s.client()
    c.start(fmt=client, queries=[ALLOCATION])
    ((told, flags),) = c.status(0, 4096)[c.contexts[ALLOCATION]]
    assert 4096 <= told <= min(length, 2**32 - 1 if client == "structured" else length)
    assert flags == 0
    c.disconnect()


def test_g143_64_bit_status_to_a_compact_client(stage):
    """It cannot be told in 32 bits, and these contexts have no more (ext: BLOCK_STATUS_EXT)."""
    class Wide(ModelUpstream):
        known_contexts = {ALLOCATION: ID, "qemu:dirty-bitmap:x": 9}

        def answer_status(self, c, r):
            c.send(c.status(r, ID, [(4096, 3)], 0),
                   c.status(r, 9, [(1024, 5), (3072, 1 << 32 | 6)]))

    s = stage(kind_of("only_extended", Wide))
    with s.proxy.ends("upstream-breach"):
        c = s.client()
        c.start(fmt="structured", queries=[ALLOCATION, "qemu:dirty-bitmap:x"])
        try:
            assert c.status(0, 4096) == wire.EIO
        except Closed:
            pass
        c.drain()


def test_f127_64_bit_status_to_an_extended_client(stage):
    class Wide(ModelUpstream):
        known_contexts = {"x:wide": 9}

        def answer_status(self, c, r):
            c.send(*[c.status(r, number, [(1024, 5), (3072, 1 << 63 | 6)] if number == 9 else
                              [(4096, 0)], wire.DONE if number == list(c.contexts.values())[-1]
                              else 0) for number in c.contexts.values()])

    s = stage(kind_of("extended", Wide))
    c = s.client()
    c.start(fmt="extended", queries=["x:wide"])
    assert c.status(0, 4096) == {c.contexts["x:wide"]: [(1024, 5), (3072, 1 << 63 | 6)]}


@status_pairs
def test_f127_last_extent_may_reach_further(stage, client, upstream):
    s = stage(saying(lambda c, r: status(c, r, (512, 0), (1 << 20, 3)), upstream))
    c = s.client()
    c.start(fmt=client, queries=[ALLOCATION])
    (extents,) = c.status(0, 4096).values()
    assert extents[0] == (512, 0) and extents[1][1] == 3 and extents[1][0] >= 3584


@status_pairs
def test_d88_req_one(stage, client, upstream):
    s = stage(saying(lambda c, r: status(c, r, (512, 2)), upstream))
    c = s.client()
    c.start(fmt=client, queries=[ALLOCATION])
    assert c.status(0, 4096, wire.REQ_ONE) == {c.contexts[ALLOCATION]: [(512, 2)]}
    assert s.upstream.requests(wire.BLOCK_STATUS)[0].flags == wire.REQ_ONE


@status_pairs
@pytest.mark.parametrize("extents", [[(512, 0), (512, 3)], [(4097, 0)]], ids=["two", "too_long"])
def test_g143_req_one_broken(stage, client, upstream, extents):
    check = saying(lambda c, r: status(c, r, *extents), upstream)
    s = stage(check)
    with s.proxy.ends("upstream-breach"):
        c = s.client()
        c.start(fmt=client, queries=[ALLOCATION])
        c.request(wire.BLOCK_STATUS, 0, 4096, wire.REQ_ONE)
        try:
            assert c.either()[0] == wire.EIO
        except Closed:
            pass


@status_pairs
def test_d88_end_of_an_unaligned_device(stage, client, upstream):
    s = stage(kind_of(upstream), {"size": 10001})
    c = s.client()
    c.start(fmt=client, queries=[ALLOCATION])
    assert c.status(8192, 1809) == {c.contexts[ALLOCATION]: [(1809, 0)]}
    assert c.status(10000, 1) == {c.contexts[ALLOCATION]: [(1, 0)]}
    for offset, length in [(8192, 1810), (10001, 1), (0, 0)]:
        assert c.status(offset, length) == wire.EINVAL


@status_pairs
def test_f127_two_contexts(stage, client, upstream):
    class Two(ModelUpstream):
        known_contexts = {ALLOCATION: 300, "qemu:y": 5}

        def answer_status(self, c, r):
            """In another order than they were asked for, and told apart by their status."""
            ids = sorted(c.contexts.values())
            c.send(*[c.status(r, n, [(r.length, n)], wire.DONE if n == ids[-1] else 0) for n in ids])

    s = stage(kind_of(upstream, Two))
    c = s.client()
    c.start(fmt=client, queries=["qemu:y", ALLOCATION])
    assert set(c.contexts) == {"qemu:y", ALLOCATION}
    assert c.status(0, 4096) == {c.contexts["qemu:y"]: [(4096, 5)], c.contexts[ALLOCATION]: [(4096, 300)]}


@status_pairs
def test_f127_hidden_context_is_not_shown(stage, client, upstream):
    """The proxy asks for base:allocation itself; a client that did not must not see it."""
    class Two(ModelUpstream):
        known_contexts = {ALLOCATION: 1, "qemu:y": 2}

    s = stage(kind_of(upstream, Two))
    c = s.client()
    c.start(fmt=client, queries=["qemu:y"])
    assert set(c.contexts) == {"qemu:y"}
    c.request(wire.BLOCK_STATUS, 0, 4096)
    error, chunks = c.either()
    seen = [struct.unpack(">I", x.payload[:4])[0] for x in chunks if x.kind != wire.NONE]
    assert error == 0 and seen == [c.contexts["qemu:y"]]
    assert chunks[-1].flags & wire.DONE
