# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams whose BLOCK_STATUS replies break the protocol."""
import struct

import pytest

from nbdtest import wire
from nbdtest.rawclient import Closed
from nbdtest.rawserver import ModelUpstream

ID = 7


def status(r, *extents, number=ID, flags=wire.DONE):
    return wire.chunk(r.cookie, wire.STATUS, struct.pack(">I", number) + b"".join(
        struct.pack(">II", *e) for e in extents), flags=flags)


BAD = {
    "length_4": lambda r: wire.chunk(r.cookie, wire.STATUS, struct.pack(">I", ID)),
    "length_11": lambda r: wire.chunk(r.cookie, wire.STATUS, struct.pack(">I", ID) + bytes(7)),
    "unknown_context": lambda r: status(r, (4096, 0), number=ID + 1),
    "extent_of_nothing": lambda r: status(r, (0, 0)),
    "extent_of_nothing_later": lambda r: status(r, (512, 0), (0, 0)),
    "too_many_extents": lambda r: wire.chunk(
        r.cookie, wire.STATUS, struct.pack(">I", ID) + struct.pack(">II", 1, 0) * (2**20 + 1)),
    "simple_success": lambda r: wire.simple_reply(r.cookie),
    "context_twice": lambda r: status(r, (4096, 0), flags=0) + status(r, (4096, 0)),
    "done_without_status": lambda r: wire.chunk(r.cookie, wire.NONE),
}


class Says(ModelUpstream):
    """Answers BLOCK_STATUS with prepared chunks."""
    answer = None

    def on_block_status(self, c, r):
        c.send(type(self).answer(r))


def saying(answer):
    return type("Saying", (Says,), {"answer": staticmethod(answer)})


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD.keys())
def test_g143_bad_status(stage, answer):
    s = stage(saying(answer))
    with s.proxy.ends("upstream-breach"):
        c = s.client()
        c.start(structured=True, queries=["base:allocation"])
        c.request(wire.BLOCK_STATUS, 0, 4096)
        try:
            while True:
                error, _ = c.either()
                assert error == wire.EIO
        except Closed:
            pass
    s.upstream.wait_no_connection()


def test_f127_last_extent_may_reach_further(stage):
    s = stage(saying(lambda r: status(r, (512, 0), (1 << 20, 3))))
    c = s.client()
    c.start(structured=True, queries=["base:allocation"])
    c.request(wire.BLOCK_STATUS, 0, 4096)
    chunk = c.chunk()
    number, *extents = struct.unpack(f">I{(len(chunk.payload) - 4) // 4}I", chunk.payload)
    assert number == c.contexts["base:allocation"]
    assert extents[:2] == [512, 0] and extents[3] == 3 and extents[2] >= 3584


def test_f127_two_contexts(stage):
    class Two(ModelUpstream):
        known_contexts = {"base:allocation": 300, "x:y": 5}

    s = stage(Two)
    c = s.client()
    c.start(structured=True, queries=["x:y", "base:allocation"])
    assert set(c.contexts) == {"x:y", "base:allocation"}
    c.request(wire.BLOCK_STATUS, 0, 4096)
    error, chunks = c.either()
    assert error == 0
    assert sorted(struct.unpack(">I", x.payload[:4])[0] for x in chunks if x.kind == wire.STATUS) \
        == sorted(c.contexts.values())


def test_f127_hidden_context_is_not_shown(stage):
    """The proxy asks for base:allocation itself; a client that did not must not see it."""
    class Two(ModelUpstream):
        known_contexts = {"base:allocation": 1, "x:y": 2}

    s = stage(Two)
    c = s.client()
    c.start(structured=True, queries=["x:y"])
    assert set(c.contexts) == {"x:y"}
    c.request(wire.BLOCK_STATUS, 0, 4096)
    error, chunks = c.either()
    seen = [struct.unpack(">I", x.payload[:4])[0] for x in chunks if x.kind == wire.STATUS]
    assert error == 0 and seen == [c.contexts["x:y"]]
    assert chunks[-1].flags & wire.DONE
