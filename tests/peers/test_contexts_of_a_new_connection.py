# SPDX-License-Identifier: BSD-3-Clause
"""A server without GO closes on a name that it does not know; what the client has agreed on with it holds for
the next connection to it, too, or the client is told."""
import pytest

from nbdtest import wire
from nbdtest.formats import chunked_clients
from nbdtest.rawserver import ModelUpstream

ALLOCATION = "base:allocation"


class WithoutGo(ModelUpstream):
    """Knows contexts and the export `known`, by EXPORT_NAME."""
    lacks = (wire.GO, wire.INFO)
    exports = {"known": ""}
    known_contexts = {ALLOCATION: 7, "x:y": 9}


class ChangesIds(WithoutGo):
    """Gives every connection other ids."""

    def answer_meta(self, c, number, data):
        self.known_contexts = {ALLOCATION: 7 + c.number, "x:y": 70}
        super().answer_meta(c, number, data)


class ForgetsContexts(WithoutGo):
    """Has contexts on its first connection only."""

    def answer_meta(self, c, number, data):
        if c.number > 1:
            self.refuse(c, number, wire.ERR_UNSUP)
        else:
            super().answer_meta(c, number, data)


def gone_and_back(s, client, queries):
    """Agreed on contexts, asked for an export that is not there; returns client and ids."""
    c = s.client()
    c.greet()
    c.agree(client)
    contexts = c.set_meta("known", queries)
    assert c.final(wire.GO, wire.info_data("unknown")) == wire.ERR_UNKNOWN
    return c, contexts


@chunked_clients
@pytest.mark.parametrize("queries", [[ALLOCATION], ["x:y"], [ALLOCATION, "x:y"], []])
def test_b40_contexts_outlive_an_unknown_export(stage, client, queries):
    s = stage(WithoutGo)
    with s.proxy.ends("client-disc"):
        c, contexts = gone_and_back(s, client, queries)
        assert set(contexts) == set(queries)
        c.go("known")
        status = c.status(0, 4096)
        assert status == ({i: [(4096, 0)] for i in contexts.values()} if queries else wire.EINVAL)
        c.disconnect()
    assert s.upstream.accepted == 2


@pytest.mark.parametrize("kind", [ChangesIds, ForgetsContexts])
@chunked_clients
def test_b40_contexts_that_do_not_come_back(stage, kind, client):
    """The client has been told ids: others would be lies. It may ask again."""
    s = stage(kind)
    with s.proxy.ends("client-disc"):
        c, _ = gone_and_back(s, client, [ALLOCATION])
        for _ in range(2):
            reply = c.option(wire.GO, wire.info_data("known"))[-1]
            assert reply.kind & wire.ERROR_BIT and reply.kind != wire.ERR_UNKNOWN and reply.payload
        context = c.set_meta("known", [ALLOCATION])[ALLOCATION]
        c.go("known")
        assert c.status(0, 4096) == {context: [(4096, 0)]}
        c.disconnect()


@chunked_clients
def test_b40_contexts_of_ours_outlive_it_too(stage, client):
    s = stage(WithoutGo, {"has_structured": False})
    with s.proxy.ends("client-disc"):
        c, contexts = gone_and_back(s, client, [ALLOCATION])
        c.go("known")
        assert c.status(0, 4096) == {contexts[ALLOCATION]: [(4096, 0)]}
        c.disconnect()
