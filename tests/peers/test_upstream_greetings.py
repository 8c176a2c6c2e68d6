# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams that greet wrongly. Clients get an option error and stay, or a close after EXPORT_NAME."""
import struct

import pytest

from nbdtest import wire
from nbdtest.rawserver import ModelUpstream


class WrongMagic(ModelUpstream):
    def greet(self, c):
        c.send(b"NBDMAGIX", wire.IHAVEOPT, b"\0\3")
        c.wait_closed()


class ClosesAfter8(ModelUpstream):
    def greet(self, c):
        c.send(wire.NBDMAGIC)
        c.close()


class ClosesAtOnce(ModelUpstream):
    def greet(self, c):
        c.close()


class Junk(ModelUpstream):
    def greet(self, c):
        c.send(b"\x5a" * (1 << 20))
        c.wait_closed()


class Silent(ModelUpstream):
    def greet(self, c):
        c.wait_closed()


class OldstyleCut(ModelUpstream):
    """Closes inside an oldstyle greeting."""
    oldstyle = True

    def greet(self, c):
        c.send(self.old_greeting()[:100])
        c.close()


class OldstyleStalls(ModelUpstream):
    """Stalls inside an oldstyle greeting."""
    oldstyle = True

    def greet(self, c):
        c.send(self.old_greeting()[:151])
        c.wait_closed()


class OtherStyle(ModelUpstream):
    """Neither the magic of the old style nor that of the new one."""

    def greet(self, c):
        c.send(wire.NBDMAGIC, struct.pack(">QQI", wire.OLDSTYLE + 1, self.size, 1), bytes(124))
        c.wait_closed()


BAD = [WrongMagic, ClosesAfter8, ClosesAtOnce, Junk, Silent, OldstyleCut, OldstyleStalls,
       OtherStyle]


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("number", [wire.GO, wire.INFO], ids=["go", "info"])
def test_a19_bad_greeting_and_go(stage, kind, number):
    s = stage(kind, connect_timeout="1s")
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        reply = c.option(number, wire.info_data(""))[-1]
        assert reply.kind == wire.ERR_PLATFORM and reply.payload, reply
        assert c.alive()
        c.abort()
    s.upstream.wait_no_connection()
    assert s.proxy.lines("warn"), "nothing in the log"


@pytest.mark.parametrize("kind", BAD)
def test_a19_bad_greeting_and_export_name(stage, kind):
    s = stage(kind, connect_timeout="1s")
    with s.proxy.ends("upstream-unreachable"):
        c = s.client()
        c.greet()
        c.send(wire.option(wire.EXPORT_NAME))
        c.expect_close()


def test_a19_list_shows_what_is_configured(stage):
    s = stage(ClosesAtOnce)
    c = s.client()
    c.greet()
    replies = c.option(wire.LIST)
    assert replies[-1].kind == wire.ACK


def test_a18_unknown_handshake_flags(stage):
    s = stage(overrides={"handshake_flags": 0xFFFF})
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start()
        c.disconnect()
    answers = [e[1] for e in s.upstream.events if e[0] == "flags"]
    assert answers and all(a & ~3 == 0 for a in answers)
