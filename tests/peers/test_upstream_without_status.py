# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams without block status: clients are offered base:allocation all the same, and all is data."""
import pytest

from nbdtest import wire
from nbdtest.formats import chunked_clients
from nbdtest.rawserver import ModelUpstream

ALLOCATION = "base:allocation"


class OldContexts(ModelUpstream):
    """Agrees to SET_META_CONTEXT and has nothing."""
    known_contexts = {}


WITHOUT = {
    "no_structured_replies": {"has_structured": False},
    "no_contexts": {"lacks": (wire.SET_META, wire.LIST_META)},
    "no_contexts_extended": {"lacks": (wire.SET_META, wire.LIST_META), "has_extended": True},
    "oldstyle": {"oldstyle": True},
    "not_fixed": {"handshake_flags": 0},
    "no_go": {"lacks": (wire.GO, wire.INFO, wire.LIST, wire.STRUCTURED_REPLY)},
}
without = pytest.mark.parametrize("lacking", WITHOUT.values(), ids=WITHOUT.keys())


@without
@chunked_clients
def test_b44_contexts_are_ours(stage, lacking, client):
    s = stage(overrides=lacking)
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.agree(client)
        assert set(c.set_meta("", [], wire.LIST_META)) == {ALLOCATION}
        assert set(c.set_meta("", ["base:"], wire.LIST_META)) == {ALLOCATION}
        assert not c.set_meta("", ["x:y"], wire.LIST_META)
        assert not c.set_meta("", ["x:y", "base:allocations", "base"])
        context = c.set_meta("", ["x:y", ALLOCATION])[ALLOCATION]
        c.go()
        for offset, length in [(0, 4096), (1, 1), (0, s.upstream.size), (s.upstream.size - 1, 1)]:
            assert c.status(offset, length) == {context: [(length, 0)]}
            assert c.status(offset, length, wire.REQ_ONE) == {context: [(length, 0)]}
        for offset, length in [(0, 0), (0, s.upstream.size + 1), (s.upstream.size, 1)]:
            assert c.status(offset, length) == wire.EINVAL
        assert c.read(0, 512) == bytes(512)
        c.disconnect()
    assert not s.upstream.requests(wire.BLOCK_STATUS)


@without
def test_b44_64_bits_of_it(stage, lacking):
    size = 6 << 30
    s = stage(overrides={**lacking, "size": size})
    c = s.client()
    c.start(fmt="extended", queries=[ALLOCATION])
    assert c.status(0, size) == {c.contexts[ALLOCATION]: [(size, 0)]}


@without
def test_b44_not_selected(stage, lacking):
    s = stage(overrides=lacking)
    c = s.client()
    c.start(fmt="structured")
    assert c.status(0, 4096) == wire.EINVAL
    simple = s.client()
    simple.start()
    assert simple.call(wire.BLOCK_STATUS, 0, 4096) == wire.EINVAL


@without
def test_b41_a_second_set_takes_it_back(stage, lacking):
    s = stage(overrides=lacking)
    c = s.client()
    c.greet()
    c.structured()
    assert c.set_meta("", [ALLOCATION])
    assert not c.set_meta("", ["x:y"])
    c.go()
    assert c.status(0, 4096) == wire.EINVAL


@without
def test_b40_set_for_one_name_go_with_another(stage, lacking):
    s = stage(overrides=lacking)
    c = s.client()
    c.greet()
    c.structured()
    c.option(wire.SET_META, wire.meta_data("other", [ALLOCATION]))
    if c.final(wire.GO, wire.info_data("")) == wire.ACK:
        assert c.status(0, 4096) == wire.EINVAL


def test_b44_upstream_that_agrees_and_has_none(stage):
    """It does know the option: what it says is the truth, and is not embellished."""
    s = stage(OldContexts)
    c = s.client()
    c.greet()
    c.structured()
    found = c.set_meta("", [ALLOCATION])
    c.go()
    assert c.status(0, 4096) == ({found[ALLOCATION]: [(4096, 0)]} if found else wire.EINVAL)
    assert not s.upstream.requests(wire.BLOCK_STATUS)


class NotOfThisOne(ModelUpstream):
    """Refuses to speak of contexts of one export, and has them for the other."""
    exports = {"closed": "", "open": ""}
    error = wire.ERR_POLICY

    def answer_meta(self, c, number, data):
        if wire.string("closed") == data[:10]:
            self.refuse(c, number, self.error)
        else:
            super().answer_meta(c, number, data)

    def answer_status(self, c, r):
        c.send(c.status(r, 7, [(512, 3), (r.length - 512, 0)]))


@pytest.mark.parametrize("error", [wire.ERR_POLICY, wire.ERR_PLATFORM], ids=["policy", "platform"])
def test_b44_refused_for_one_export_only(stage, error):
    s = stage(NotOfThisOne, {"error": error})
    c = s.client()
    c.greet()
    c.structured()
    assert set(c.set_meta("closed", [ALLOCATION])) == {ALLOCATION}
    context = c.set_meta("open", [ALLOCATION])[ALLOCATION]
    c.go("open")
    assert c.status(0, 4096) == {context: [(512, 3), (3584, 0)]}
    one = s.client()
    one.greet()
    one.structured()
    ours = one.set_meta("closed", [ALLOCATION])[ALLOCATION]
    one.go("closed")
    assert one.status(0, 4096) == {ours: [(4096, 0)]}


@without
@chunked_clients
def test_d80_df_is_one_chunk(stage, lacking, client):
    s = stage(overrides=lacking)
    c = s.client()
    assert c.start(fmt=client).flags & wire.SEND_DF
    c.request(wire.READ, 0, 65536, wire.DF)
    assert [x.kind for x in c.chunks() if x.kind != wire.NONE] == [wire.OFFSET_DATA]
    assert not s.upstream.requests(wire.READ)[0].flags & wire.DF
