# SPDX-License-Identifier: BSD-3-Clause
"""[export] sections: who is served by whom under which name, and what nobody is told of."""
import struct
import time

import pytest

from nbdtest import wire
from nbdtest.formats import all_clients
from nbdtest.rawclient import Closed
from nbdtest.rawserver import ModelUpstream

ALLOCATION = "base:allocation"
BOTH = pytest.mark.parametrize("number", [wire.GO, wire.INFO], ids=["go", "info"])


def listed(c):
    """{name: description} of LIST, each name once."""
    replies = c.option(wire.LIST)
    assert replies[-1].kind == wire.ACK, replies[-1]
    found = {}
    for reply in replies[:-1]:
        n = struct.unpack(">I", reply.payload[:4])[0]
        name = reply.payload[4:4 + n]
        assert name not in found, f"{name!r} twice"
        found[name] = reply.payload[4 + n:]
    return found


def names_asked(upstream, number=wire.GO):
    return [data[4:4 + struct.unpack(">I", data[:4])[0]] for data in upstream.options(number)]


class Routes:
    """Two scripted upstreams `a` and `b`, the listeners of their own, and one, `open`, for sections only."""

    def __init__(self, a, b, proxy, raw):
        self.a, self.b, self.proxy = a, b, proxy
        self._raw = raw

    def client(self, listener="open", greet=True, **kwargs):
        c = self._raw(self.proxy.listens[listener].address, **kwargs)
        if greet:
            c.greet()
        return c


@pytest.fixture
def routes(model, servers, start_proxy, raw, bystander):
    def set_up(exports, a=None, b=None, kind=ModelUpstream, **keys):
        a = model(kind, **{"exports": {"one": "of a", "two": "of a"}, **(a or {})})
        b = model(kind, **{"exports": {"one": "of b", "three": ""}, "size": 2 << 20, **(b or {})})
        good = servers.nbdkit("memory", "1M")
        proxy = start_proxy({"a": a.uri, "b": b.uri, "good": good.uri}, threads=1,
                            listeners={"open": {}} if "open" in str(exports) else {},
                            exports=exports, **keys)
        bystander(proxy.listens["good"].address)
        return Routes(a, b, proxy, raw)
    return set_up


SECTIONS = {
    "first": {"listen": "open", "upstream": "a", "upstream-export": "one", "description": "the first"},
    "second": {"listen": "open", "upstream": "b", "upstream-export": "one"},
    "three": {"listen": "open", "upstream": "b"},
}


@BOTH
@all_clients
def test_b36_routed_and_renamed(routes, number, client):
    r = routes(SECTIONS)
    for name, upstream, theirs in [("first", r.a, b"one"), ("second", r.b, b"one"),
                                   ("three", r.b, b"three")]:
        c = r.client()
        c.agree(client)
        told = c.go(name, [wire.INFO_NAME, wire.INFO_DESCRIPTION], number=number)
        assert told.size == upstream.size
        assert names_asked(upstream, number)[-1] == theirs
        assert told.infos[wire.INFO_NAME] == name.encode()
        if name == "first":
            assert told.infos[wire.INFO_DESCRIPTION] == b"the first"
        if number == wire.INFO:
            c.go(name)
        assert c.write(0, name.encode().ljust(512)) == 0
        c.disconnect()
        assert upstream.disk[:512] == name.encode().ljust(512)


def test_b36_export_name_is_routed(routes):
    r = routes(SECTIONS)
    c = r.client()
    c.send(wire.option(wire.EXPORT_NAME, b"second"))
    assert struct.unpack(">Q", c.receive(10)[:8])[0] == r.b.size
    assert c.read(0, 512) == bytes(512)
    c.disconnect()


@BOTH
@pytest.mark.parametrize("name", ["", "one", "two", "First", "first ", "first/", "three\n", "a",
                                  "x" * 4096])
def test_b34_unknown_name_goes_nowhere(routes, number, name):
    """A listener without an upstream serves its sections only; nobody else is asked."""
    r = routes(SECTIONS)
    c = r.client()
    assert c.final(number, wire.info_data(name)) == wire.ERR_UNKNOWN
    assert c.alive()
    c.structured()
    last = c.option(wire.SET_META, wire.meta_data(name, [ALLOCATION]))[-1]
    assert last.kind in (wire.ACK, wire.ERR_UNKNOWN)
    assert r.a.accepted == 0 and r.b.accepted == 0
    c.go("first")
    c.disconnect()


def test_b34_unknown_export_name_goes_nowhere(routes):
    r = routes(SECTIONS)
    with r.proxy.ends("refused-export"):
        c = r.client()
        c.send(wire.option(wire.EXPORT_NAME, b"one"))
        c.expect_close()
    assert r.a.accepted == 0 and r.b.accepted == 0


def test_b20_list_shows_the_sections(routes):
    r = routes(SECTIONS)
    found = listed(r.client())
    assert set(found) == {b"first", b"second", b"three"}
    assert found[b"first"] == b"the first"


@BOTH
def test_b36_a_rename_hides_the_old_name(routes, number):
    r = routes({"public": {"listen": "a", "upstream": "a", "upstream-export": "one"}})
    c = r.client("a")
    assert set(listed(c)) == {b"public", b"two"}
    assert c.final(number, wire.info_data("one")) == wire.ERR_UNKNOWN
    assert b"one" not in names_asked(r.a, number)
    assert c.go("public").size == r.a.size
    assert names_asked(r.a)[-1] == b"one"
    c.disconnect()


@BOTH
def test_b34_name_of_another_listener(routes, number):
    """`two` is upstream's, and its section says that only listener b shows it: here it does not exist."""
    r = routes({"two": {"listen": "b", "upstream": "a"}})
    c = r.client("a")
    assert set(listed(c)) == {b"one"}
    asked = len(names_asked(r.a, number))
    assert c.final(number, wire.info_data("two")) == wire.ERR_UNKNOWN
    assert len(names_asked(r.a, number)) == asked, "upstream was asked for a hidden export"
    assert c.go("one").size == r.a.size
    c.disconnect()
    c = r.client("b")
    assert set(listed(c)) == {b"one", b"two", b"three"}
    assert c.go("two").size == r.a.size
    c.disconnect()


def test_b20_list_merges_both(routes):
    """Names that pass through and those of sections, each once, sections first in rank."""
    r = routes({"one": {"description": "ours", "listen": "a", "upstream": "a"},
                "extra": {"listen": "a", "upstream": "b", "upstream-export": "three"}})
    found = listed(r.client("a"))
    assert set(found) == {b"one", b"two", b"extra"}
    assert found[b"one"] == b"ours" and found[b"two"] == b"of a"


class EndlessList(ModelUpstream):
    """Never stops listing."""

    def answer_list(self, c, number):
        n = 0
        while True:
            n += 1
            c.send(b"".join(wire.option_reply(number, wire.SERVER, wire.string(f"n{n}-{i}"))
                            for i in range(100)))


class HugeList(ModelUpstream):
    """Lists a thousand names, hidden and configured ones among them, twice."""

    def answer_list(self, c, number):
        for name in ["two", "one", "secret"] * 2 + [f"n{i}" for i in range(1000)] + ["secret"]:
            c.send(wire.option_reply(number, wire.SERVER, wire.string(name)))
        self.ack(c, number)


def test_g135_endless_list_behind_sections(routes):
    r = routes({"extra": {"listen": "a", "upstream": "b", "upstream-export": "three"}},
               kind=EndlessList, connect_timeout="3s", handshake_timeout="8s")
    before = r.proxy.process.rss()
    c = r.client("a", timeout=15)
    begin = time.monotonic()
    c.send(wire.option(wire.LIST))
    kind = wire.SERVER
    try:
        while kind == wire.SERVER:
            kind = c.option_reply().kind
        assert c.alive()
        assert c.go("extra").size == r.b.size
    except Closed:
        assert kind != wire.SERVER, "cut off in the middle of a list"
    assert time.monotonic() - begin < 10
    assert r.proxy.process.rss() - before < 64 << 20


def test_g136_list_with_hidden_and_repeated_names(routes):
    r = routes({"secret": {"listen": "b", "upstream": "a"},
                "one": {"listen": "a", "upstream": "a"}}, kind=HugeList)
    c = r.client("a")
    found = listed(c)
    assert b"secret" not in found and {b"one", b"two", b"n0", b"n999"} <= set(found)
    assert c.final(wire.GO, wire.info_data("secret")) == wire.ERR_UNKNOWN


def test_g136_list_fails_upstream(routes):
    """What is configured is shown all the same."""
    r = routes({"extra": {"listen": "a", "upstream": "b", "upstream-export": "three"}},
               a={"lacks": (wire.LIST,)})
    assert b"extra" in listed(r.client("a"))


ODD = {
    "escape": (b"\x1b[2J", "%1b[2J"),
    "newline": (b"x\n[error] forged", "x%0a[error] forged"),
    "invalid_utf8": (b"\xff\xfe", "%ff%fe"),
    "path": (b"../../etc/passwd", "../../etc/passwd"),
    "percent": (b"100%", "100%25"),
    "spaces": (b" a ", "%20a%20"),
    "empty": (b"", '""'),
}


@pytest.mark.parametrize("name, text", ODD.values(), ids=ODD.keys())
def test_b30_odd_name_of_a_section(routes, name, text):
    """A name is bytes: what the client says is compared as it is, and escaped in the log."""
    r = routes({"odd": {"name": text, "listen": "open", "upstream": "a", "upstream-export": "one"}})
    c = r.client()
    assert set(listed(c)) == {name}
    assert c.final(wire.GO, wire.info_data("odd")) == wire.ERR_UNKNOWN
    assert c.final(wire.GO, wire.info_data(name + b"x")) == wire.ERR_UNKNOWN
    assert c.go(name, [wire.INFO_NAME]).infos[wire.INFO_NAME] == name
    assert names_asked(r.a)[-1] == b"one"
    r.proxy.json()
    c.disconnect()
    for line in r.proxy.log().split("\n"):
        assert all(ch.isprintable() or ch == "\t" for ch in line), line
        assert not line.startswith("[error]")


def test_b30_name_with_nul_in_front_of_a_section(routes):
    """first\\0 is not first."""
    r = routes(SECTIONS)
    c = r.client()
    assert c.final(wire.GO, wire.info_data(b"first\0")) in (wire.ERR_INVALID, wire.ERR_UNKNOWN)
    assert c.alive()
    assert r.a.accepted == 0


def test_b40_contexts_of_one_upstream_and_go_to_another(routes):
    """Ids are those of the upstream that gave them."""
    r = routes(SECTIONS, b={"known_contexts": {ALLOCATION: 99}})
    c = r.client()
    c.structured()
    assert c.set_meta("first", [ALLOCATION])
    c.go("second")
    assert c.status(0, 4096) == wire.EINVAL
    c.disconnect()
    c = r.client()
    c.structured()
    assert c.set_meta("first", [ALLOCATION])
    context = c.set_meta("second", [ALLOCATION])[ALLOCATION]
    c.go("second")
    assert c.status(0, 4096) == {context: [(4096, 0)]}
    assert not r.a.requests(wire.BLOCK_STATUS)


def test_b34_change_of_mind_between_upstreams(routes):
    """Who asked one and goes to the other leaves nothing behind at the first."""
    r = routes(SECTIONS)
    c = r.client()
    c.structured()
    for _ in range(5):
        assert c.go("first", number=wire.INFO).size == r.a.size
        assert c.go("second", number=wire.INFO).size == r.b.size
    c.go("second")
    assert c.read(0, 512) == bytes(512)
    r.a.wait_no_connection()
    c.disconnect()
    r.b.wait_no_connection()


@pytest.fixture
def half_down(model, servers, start_proxy, raw, bystander, folder):
    """Upstream `b` is not there."""
    a = model(ModelUpstream)
    good = servers.nbdkit("memory", "1M")
    proxy = start_proxy({"a": a.uri, "b": f"nbd+unix:///?socket={folder}/nobody", "good": good.uri},
                        threads=1, listeners={"open": {}}, exports=SECTIONS, connect_timeout="1s")
    bystander(proxy.listens["good"].address)
    return Routes(a, None, proxy, raw)


@BOTH
def test_a19_one_upstream_down(half_down, number):
    """Only its exports fail, on the same connection, too."""
    r = half_down
    c = r.client()
    assert set(listed(c)) == {b"first", b"second", b"three"}
    reply = c.option(number, wire.info_data("second"))[-1]
    assert reply.kind == wire.ERR_PLATFORM and reply.payload
    assert c.go("first", number=number).size == r.a.size
    if number == wire.INFO:
        assert c.final(number, wire.info_data("three")) == wire.ERR_PLATFORM
        c.go("first")
    assert c.read(0, 512) == bytes(512)
    c.disconnect()


def test_a19_one_upstream_down_by_export_name(half_down):
    r = half_down
    with r.proxy.ends("upstream-unreachable"):
        c = r.client()
        c.send(wire.option(wire.EXPORT_NAME, b"three"))
        c.expect_close()


def test_g140_one_upstream_dies_the_other_goes_on(routes):
    r = routes(SECTIONS)
    first, second = r.client(), r.client()
    first.go("first")
    second.go("second")
    with r.proxy.ends("upstream-lost"):
        for c in list(r.b.open_connections):
            c.close()
        second.expect_close()
    assert first.write(0, b"f" * 512) == 0 and first.read(0, 512) == b"f" * 512
    first.disconnect()


def test_d86_section_makes_read_only(routes):
    r = routes({**SECTIONS, "mirror": {"listen": "open", "upstream": "a", "upstream-export": "one",
                                       "read-only": "yes"}})
    writer, reader = r.client(), r.client()
    assert not writer.go("first").flags & wire.READ_ONLY
    flags = reader.go("mirror").flags
    assert flags & wire.READ_ONLY and not flags & wire.SEND_FAST_ZERO
    assert reader.write(0, b"r" * 512) == wire.EPERM
    assert writer.write(0, b"w" * 512) == 0
    assert reader.read(0, 512) == b"w" * 512
