# SPDX-License-Identifier: BSD-3-Clause
"""Export names that are long, binary, or made for terminals and file systems."""
import pytest

from nbdtest import wire

ODD = {
    "invalid_utf8": b"\xff\xfe\x80",
    "path": b"../../etc/passwd",
    "newline": b"name\nerror: forged line",
    "escape": b"\x1b[2J\x1b]0;title\x07",
    "spaces": b"  a name  ",
}


def test_b29_name_of_4096_bytes(stage):
    s = stage()
    c = s.client()
    c.greet()
    c.go("n" * 4096)  # the scripted upstream knows every name
    assert s.upstream.options(wire.GO)[0].count(b"n") == 4096


@pytest.mark.parametrize("number", [wire.GO, wire.INFO, wire.SET_META, wire.LIST_META])
def test_b29_name_of_4097_bytes(stage, number):
    s = stage()
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        c.structured()
        data = (wire.info_data if number in (wire.GO, wire.INFO) else wire.meta_data)("n" * 4097, [])
        reply = c.option(number, data)[-1]
        assert reply.kind in (wire.ERR_INVALID, wire.ERR_TOO_BIG), hex(reply.kind)
        assert len(reply.payload) <= 4096
        c.abort()
    assert not s.upstream.options(number)


@pytest.mark.parametrize("name", ODD.values(), ids=ODD.keys())
def test_b30_odd_name_is_escaped_in_the_log(stage, name):
    s = stage()
    c = s.client()
    c.greet()
    c.go(name)
    assert s.upstream.options(wire.GO)[0][4:4 + len(name)] == name
    s.proxy.json()
    for line in s.proxy.log().split("\n"):
        assert all(ch.isprintable() or ch == "\t" for ch in line), line
        assert not line.startswith("error: forged")


def test_b30_name_with_nul(stage):
    s = stage()
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        kind = c.final(wire.GO, wire.info_data("a\0b"))
        assert kind in (wire.ERR_INVALID, wire.ERR_UNKNOWN)
        assert c.alive()
        c.abort()
    assert not s.upstream.options(wire.GO)


@pytest.mark.parametrize("name", [b"n" * 5000, b"a\0b"])
def test_b31_export_name_that_cannot_be(stage, name):
    s = stage()
    before = s.proxy.endings()
    c = s.client()
    c.greet()
    c.send(wire.option(wire.EXPORT_NAME, name))
    c.expect_close()
    assert not s.upstream.options(wire.EXPORT_NAME) and not s.upstream.options(wire.GO)
    ended = {k for k, n in s.proxy.endings().items() if n != before.get(k, 0)}
    assert ended and ended <= {"client-breach", "refused-export"}, ended


def test_b36_name_reported_is_the_clients(stage):
    s = stage()
    c = s.client()
    c.greet()
    infos = c.go("mine", [wire.INFO_NAME]).infos
    assert infos.get(wire.INFO_NAME, b"mine") == b"mine"
