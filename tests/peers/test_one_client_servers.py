# SPDX-License-Identifier: BSD-3-Clause
"""Servers that serve one client at a time: INFO over those that have none, or say size 0 in it, needs a
connection of its own, which must not wait for the other one of the same client."""
import threading
import time

import pytest

from nbdtest import wire
from nbdtest.formats import all_clients
from nbdtest.rawserver import ModelUpstream

ALLOCATION = "base:allocation"


class OneAtATime(ModelUpstream):
    """The next connection is greeted when the last has ended."""

    def __init__(self, folder, **overrides):
        super().__init__(folder, **overrides)
        self.seat = threading.Lock()

    def session(self, c):
        with self.seat:
            super().session(c)


class SizeZero(OneAtATime):
    """As nbd-server: it opens the export at GO only."""

    def info_export(self, c, number):
        size, self.size = self.size, 0 if number == wire.INFO else self.size
        super().info_export(c, number)
        self.size = size


KINDS = {
    "size_0": (SizeZero, {}),
    "no_info": (OneAtATime, {"lacks": (wire.INFO,)}),
    "no_go": (OneAtATime, {"lacks": (wire.INFO, wire.GO)}),
    "not_fixed": (OneAtATime, {"handshake_flags": 0}),
    "oldstyle": (OneAtATime, {"oldstyle": True}),
}
kinds = pytest.mark.parametrize("kind, overrides", KINDS.values(), ids=KINDS.keys())


@kinds
@all_clients
def test_b33_info_of_a_server_for_one(stage, kind, overrides, client):
    s = stage(kind, overrides, connect_timeout="5s")
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.agree(client)
        began = time.monotonic()
        for _ in range(3):
            assert c.go(number=wire.INFO).size == s.upstream.size
        assert c.go().size == s.upstream.size
        assert time.monotonic() - began < 4
        assert c.read(0, 512) == bytes(512)
        c.disconnect()
    s.upstream.wait_no_connection()


def test_b40_info_between_contexts_and_go(stage):
    """Ids that the client has been told may be of this one connection: it is kept."""
    class ChangesIds(SizeZero):
        def session(self, c):
            ModelUpstream.session(self, c)

        def answer_meta(self, c, number, data):
            self.known_contexts = {ALLOCATION: 7 + c.number}
            super().answer_meta(c, number, data)

    s = stage(ChangesIds)
    c = s.client()
    c.greet()
    c.structured()
    context = c.set_meta("", [ALLOCATION])[ALLOCATION]
    assert c.go(number=wire.INFO).size == s.upstream.size
    c.go()
    assert c.status(0, 4096) == {context: [(4096, 0)]}
