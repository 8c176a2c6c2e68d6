# SPDX-License-Identifier: BSD-3-Clause
"""Contexts of 64 bits of status are for clients with extended headers only (ext: NBD_OPT_SET_META_CONTEXT,
NBD_OPT_LIST_META_CONTEXT): others are refused them, whatever upstream makes of us."""
import pytest

from nbdtest import wire
from nbdtest.rawserver import ModelUpstream

ALLOCATION, BITMAP, WIDE = "base:allocation", "qemu:dirty-bitmap:x", "x:wide"


class Wide(ModelUpstream):
    """Has a context of 64 bits, and says so only to whom it would give 32."""
    has_extended = True
    known_contexts = {ALLOCATION: 7, BITMAP: 8, WIDE: 9}

    def answer_meta(self, c, number, data):
        wants = WIDE.encode() in data
        if number == wire.SET_META and wants and c.format != "extended":
            self.refuse(c, number, wire.ERR_EXT_HEADER_REQD)
        else:
            super().answer_meta(c, number, data)

    def answer_status(self, c, r):
        ids = list(c.contexts.values())
        for n, number in enumerate(ids):
            extents = [(1024, 5), (3072, 1 << 40)] if number == 9 else [(4096, 1)]
            c.send(c.status(r, number, extents, wire.DONE if n == len(ids) - 1 else 0))


class Insists(Wide):
    """Speaks extended headers with everybody, so it gives everybody what it has."""
    requires_extended = True


class SaysSo(Wide):
    """Lists it, and concludes as it should."""

    def ack(self, c, number):
        if number == wire.LIST_META and c.format != "extended":
            self.refuse(c, number, wire.ERR_EXT_HEADER_REQD)
        else:
            super().ack(c, number)


kinds = pytest.mark.parametrize("kind", [Wide, Insists], ids=["narrow-upstream", "insists"])


def structured(s):
    c = s.client()
    c.greet()
    c.structured()
    return c


@kinds
@pytest.mark.parametrize("queries", [[WIDE], [ALLOCATION, WIDE], [BITMAP, WIDE]])
def test_b42_refused_to_who_has_no_room_for_it(stage, kind, queries):
    s = stage(kind)
    c = structured(s)
    c.set_meta("", [ALLOCATION])
    assert c.final(wire.SET_META, wire.meta_data("", queries)) == wire.ERR_EXT_HEADER_REQD
    c.go()
    assert c.status(0, 4096) == wire.EINVAL  # the former set is gone, too
    assert c.read(0, 512) == bytes(512)


@kinds
def test_b42_the_others_are_given(stage, kind):
    s = stage(kind)
    c = structured(s)
    assert c.final(wire.SET_META, wire.meta_data("", [WIDE])) == wire.ERR_EXT_HEADER_REQD
    got = c.set_meta("", [ALLOCATION, BITMAP, "x:unknown"])
    assert set(got) == {ALLOCATION, BITMAP}
    c.go()
    assert c.status(0, 4096) == {i: [(4096, 1)] for i in got.values()}
    c.disconnect()


@kinds
def test_b42_extended_clients_have_it(stage, kind):
    s = stage(kind)
    c = s.client()
    c.start(fmt="extended", queries=[WIDE])
    assert c.status(0, 4096) == {c.contexts[WIDE]: [(1024, 5), (3072, 1 << 40)]}


class InsistsAtGo(ModelUpstream):
    """A context was agreed on in compact headers, so it is of 32 bits; then only extended will do."""
    has_extended = True
    known_contexts = {"x:y": 9}

    def option(self, c, number, data):
        if number == wire.GO and c.format != "extended":
            self.refuse(c, number, wire.ERR_EXT_HEADER_REQD)
            return False
        return super().option(c, number, data)


def test_b42_agreed_in_compact_headers_is_narrow(stage):
    s = stage(InsistsAtGo)
    c = s.client()
    c.start(fmt="structured", queries=["x:y"])
    assert c.status(0, 4096) == {9: [(4096, 0)]}
    assert s.upstream.formats == ["extended"]


@pytest.mark.parametrize("kind", [SaysSo, Insists], ids=["says-so", "insists"])
@pytest.mark.parametrize("queries, end", [
    ([], wire.ERR_EXT_HEADER_REQD), ([WIDE], wire.ERR_EXT_HEADER_REQD), ([ALLOCATION], wire.ACK),
    ([ALLOCATION, BITMAP], wire.ACK)], ids=["all", "wide", "base", "known"])
def test_b38_a_list_says_that_not_all_of_it_can_be_had(stage, kind, queries, end):
    c = structured(stage(kind))
    replies = c.option(wire.LIST_META, wire.meta_data("", queries))
    assert {r.payload[4:].decode() for r in replies[:-1]} == set(queries or Wide.known_contexts)
    assert replies[-1].kind == end


def test_b38_extended_clients_see_all_of_it(stage):
    c = stage(SaysSo).client()
    c.greet()
    c.extended()
    assert set(c.set_meta("", [], wire.LIST_META)) == set(Wide.known_contexts)
