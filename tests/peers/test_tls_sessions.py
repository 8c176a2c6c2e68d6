# SPDX-License-Identifier: BSD-3-Clause
"""Sessions of TLS that are resumed: who came in once with a certificate is still who he was, where he was,
and nowhere else."""
import pytest

from nbdtest import wire
from nbdtest.pki import client_context, server_context
from nbdtest.rawserver import ModelUpstream
from nbdtest.tls import TLS12
from tls_world import both_versions, the_line


def visit(c, context, session=None):
    """STARTTLS, GO and DISC; what the visitor may resume later, and whether this one was."""
    c.greet()
    c.starttls(context, session=session)
    c.go()
    assert c.read(0, 512) == bytes(512)
    engine = c.sock.engine
    c.disconnect()
    return engine.session, engine.session_reused


@pytest.fixture
def listeners(model, servers, start_proxy, bystander, raw, world):
    """listeners(a, b): keys of two listeners; the proxy, and who connects to them."""
    def make(a, b):
        upstream = model(ModelUpstream)
        proxy = start_proxy({"main": (upstream.uri, {}, a), "good": servers.nbdkit("memory", "1M").uri},
                            listeners={"b": {"upstream": "main", **b}}, threads=1)
        bystander(proxy.listens["good"].address)
        return proxy, lambda name: raw(proxy.listens[name].address)
    return make


@pytest.mark.parametrize("version", **both_versions)
def test_c71_resumed_and_known(listeners, world, version):
    """At the same listener: the certificate is not shown again, and still counts."""
    proxy, connect = listeners(world.strict(tls_allow="alice"), world.listen())
    context = client_context(world.ours, world.alice, versions=(version, version))
    session, reused = visit(connect("main"), context)
    assert not reused
    for _ in range(2):
        c = connect("main")
        c.greet()
        c.starttls(session=session, context=context)
        assert c.sock.engine.session_reused
        c.go()
        (row,) = [row for row in proxy.json()["connections"] if row["listener"] == "main"]
        assert row["tls"]["peer"] == "alice"
        c.disconnect()
        session = c.sock.engine.session


def other_ca(world):
    return world.listen(tls_verify_peer="yes", tls_certificates=world.directory(
        "elsewhere", ca=world.foreign, server=world.stranger))


def other_ca_same_certificate(world):
    return world.listen(tls_verify_peer="yes", tls_certificates=world.directory(
        "elsewhere", ca=world.foreign, server=world.server))


def other_list(world):
    return world.strict(tls_allow="bob")


def revoked(world):
    return world.strict(tls_certificates=world.alice_is_out)


@pytest.mark.parametrize("version", **both_versions)
@pytest.mark.parametrize("first", ["strict", "listen"])
@pytest.mark.parametrize("second", [other_ca, other_ca_same_certificate, other_list, revoked])
def test_c71_session_of_another_listener_opens_nothing(listeners, world, version, first, second):
    """Known at a listener, or let in there without a name: at the other, which would not have her, it helps
    nobody."""
    proxy, connect = listeners(getattr(world, first)(), second(world))
    context = client_context(None, world.alice, versions=(version, version))
    session, _ = visit(connect("main"), context)
    with proxy.ends("client-tls-failed"):
        c = connect("b")
        c.greet()
        assert "ALERT" in c.refused(context, session=session)
        assert not c.sock.engine.session_reused
    assert the_line(proxy, "client: TLS: ")


@pytest.mark.parametrize("version", **both_versions)
def test_c71_nor_spoils_anything(listeners, world, version):
    """A listener that does not know the session begins anew."""
    proxy, connect = listeners(world.strict(), world.strict())
    context = client_context(world.ours, world.alice, versions=(version, version))
    session, _ = visit(connect("main"), context)
    _, reused = visit(connect("b"), context, session)
    assert not reused
    assert proxy.endings() == {"client-disc": 2}


@pytest.mark.parametrize("version", **both_versions)
def test_c71_upstream_session_is_resumed_and_verified(stage, world, version):
    """We resume, too. An upstream that has forgotten, and shows another certificate, is looked at."""
    contexts = [server_context(world.server, versions=(version, version)),
                server_context(world.stranger, versions=(version, version))]
    s = stage(overrides={"tls": contexts[0]}, **world.upstream())
    for n in range(3):
        c = s.client()
        c.start()
        assert c.read(0, 512) == bytes(512)
        c.disconnect()
        assert s.upstream.connections[n].sock.engine.session_reused == (n > 0)
    s.upstream.tls = contexts[1]
    c = s.client()
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
    assert "(stranger)" in the_line(s.proxy, "upstream: ", "not signed by a CA in")
    s.upstream.wait_no_connection()
    assert s.upstream.tls_failures == ["TLSV1_ALERT_UNKNOWN_CA"]


def test_c71_upstream_sessions_are_not_mixed(model, start_proxy, raw, world):
    """Two upstreams, and one has the keys of the other's tickets: a session of one is none of the other's."""
    context = server_context(world.server, versions=(TLS12, TLS12))
    one, two = model(ModelUpstream, tls=context), model(ModelUpstream, tls=context)
    proxy = start_proxy({"one": (one.uri, world.upstream()), "two": (two.uri, world.upstream())})
    for upstream, name in (one, "one"), (two, "two"):
        c = raw(proxy.listens[name].address)
        c.start()
        c.disconnect()
        assert not upstream.connections[0].sock.engine.session_reused
