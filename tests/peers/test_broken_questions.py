# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams that break off in the middle of a question: what the client asked is answered with an error, what
we asked of our own accord is not asked again, and none of it makes the upstream unreachable."""
import pytest

from nbdtest import wire
from nbdtest.formats import chunked_clients
from nbdtest.pki import server_context
from nbdtest.rawserver import Gone, ModelUpstream

ALLOCATION = "base:allocation"


class ClosesOn(ModelUpstream):
    """Closes when it hears one of these options."""
    closes_on = ()
    times = 1000

    def option(self, c, number, data):
        if number in self.closes_on and self.times:
            self.times -= 1
            raise Gone
        return super().option(c, number, data)


class Babbles(ModelUpstream):
    """Answers the first INFO with nonsense."""
    babbled = False

    def answer_go(self, c, number, data):
        if number == wire.INFO and not self.babbled:
            self.babbled = True
            c.send(wire.option_reply(number, 77))
            c.wait_closed()
        super().answer_go(c, number, data)


# What the client asked -------------------------------------------------------------------------

@pytest.mark.parametrize("kind, overrides", [
    (ClosesOn, {"closes_on": (wire.INFO,), "times": 1}), (Babbles, {})], ids=["closes", "babbles"])
def test_a_broken_question_leaves_upstream_reachable(stage, kind, overrides):
    s = stage(kind, overrides)
    c = s.client()
    c.greet()
    assert c.final(wire.INFO, wire.info_data("")) == wire.ERR_PLATFORM
    assert c.go().size == s.upstream.size  # at once: nobody waits for a second
    assert c.read(0, 512) == bytes(512)


def test_who_is_not_reached_is_not_dialled_for_every_option(stage):
    """Closing before the greeting is no better than no connection."""
    class Mute(ModelUpstream):
        def greet(self, c):
            raise Gone

    s = stage(Mute)
    c = s.client()
    c.greet()
    assert [c.final(wire.INFO, wire.info_data("")) for _ in range(5)] == [wire.ERR_PLATFORM] * 5
    assert s.upstream.accepted == 1


def test_b40_a_set_that_cannot_be_asked_takes_back_the_former(stage):
    """spec, NBD_OPT_SET_META_CONTEXT: it replaces what was set "including when this command fails"."""
    s = stage()
    c = s.client()
    c.greet()
    c.structured()
    assert set(c.set_meta("", [ALLOCATION])) == {ALLOCATION}
    greet, s.upstream.greet = s.upstream.greet, lambda c: c.close()
    for open_one in list(s.upstream.open_connections):
        open_one.close()
    s.upstream.wait_no_connection()
    data = wire.meta_data("", [ALLOCATION])
    assert c.final(wire.SET_META, data) == wire.ERR_PLATFORM
    assert c.final(wire.SET_META, data) == wire.ERR_PLATFORM  # not even dialled
    s.upstream.greet = greet
    c.silent(1.1)
    c.go()
    assert c.status(0, 4096) == wire.EINVAL


# What we asked -----------------------------------------------------------------------------------

@chunked_clients
def test_contexts_of_our_own_accord_are_not_asked_twice(stage, client):
    s = stage(ClosesOn, {"closes_on": (wire.SET_META,), "has_extended": True})
    c = s.client()
    c.start(fmt=client)
    assert c.read(0, 512) == bytes(512)
    assert s.upstream.accepted == 2 and len(s.upstream.options(wire.SET_META)) == 1
    assert c.call(wire.WRITE_ZEROES, 0, 4096) == 0


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_formats_that_upstream_closes_on_are_not_asked_twice(stage, world, tls):
    """Over TLS, too, where to close on the first word may mean that our certificate is not liked."""
    overrides = {"closes_on": (wire.EXTENDED_HEADERS, wire.STRUCTURED_REPLY)}
    if tls:
        overrides["tls"] = server_context(world.server)
    s = stage(ClosesOn, overrides, **(world.upstream() if tls else {}))
    c = s.client()
    c.greet()
    c.extended()
    assert set(c.set_meta("", [ALLOCATION])) == {ALLOCATION}  # ours: upstream has no chunks for them
    c.go()
    assert c.read(0, 512) == bytes(512)
    assert s.upstream.formats == ["simple"] and s.upstream.accepted == 3


@pytest.mark.parametrize("number", [wire.INFO, wire.LIST_META], ids=["info", "list-meta"])
def test_upstream_that_closes_on_everything_is_given_up(stage, number):
    everything = (wire.EXTENDED_HEADERS, wire.STRUCTURED_REPLY, wire.INFO, wire.LIST_META)
    s = stage(ClosesOn, {"closes_on": everything})
    c = s.client()
    c.greet()
    c.extended()
    if number == wire.LIST_META:
        assert set(c.set_meta("", [], number)) == {ALLOCATION}
    else:
        assert c.final(number, wire.info_data("")) == wire.ERR_PLATFORM
    assert s.upstream.accepted == 3
    assert c.alive()


# LIST --------------------------------------------------------------------------------------------

class ListsHalf(ModelUpstream):
    """Names some exports, and then something else."""
    then = None

    def answer_list(self, c, number):
        for name in self.exports:
            c.send(wire.option_reply(number, wire.SERVER, wire.string(name)))
        type(self).then(self, c, number)


HALVES = {
    "closed": lambda u, c, number: c.close(),
    "error": lambda u, c, number: u.refuse(c, number, wire.ERR_SHUTDOWN, b"closing time"),
    "breach": lambda u, c, number: c.send(wire.option_reply(number, wire.SERVER, b"")),
    "too_many": lambda u, c, number: c.send(*[
        wire.option_reply(number, wire.SERVER, wire.string(f"x{n}")) for n in range(10001)]),
}


@pytest.mark.parametrize("then", HALVES.values(), ids=HALVES.keys())
def test_g136_half_a_list_does_not_pass_for_all_of_it(stage, then):
    kind = type("Half", (ListsHalf,), {"then": then, "exports": {"one": "", "two": ""}})
    s = stage(kind)
    c = s.client()
    c.greet()
    replies = c.option(wire.LIST)
    assert [r.payload for r in replies[:2]] == [wire.string("one"), wire.string("two")]
    assert replies[-1].kind in (wire.ERR_PLATFORM, wire.ERR_SHUTDOWN) and replies[-1].payload
    assert c.go("one").size == s.upstream.size


@pytest.mark.parametrize("then", [HALVES["closed"], HALVES["error"]], ids=["closed", "error"])
def test_g136_no_list_at_all_is_what_is_configured(stage, then):
    s = stage(type("None", (ListsHalf,), {"then": then, "exports": {}}))
    c = s.client()
    c.greet()
    assert c.final(wire.LIST) == wire.ACK
