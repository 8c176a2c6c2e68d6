# SPDX-License-Identifier: BSD-3-Clause
"""Certificates that must not do, and those that must: of upstreams and of clients, with TLS 1.2 and 1.3. Each
refusal has its own words in the log, and the alert that belongs to it."""
import pytest

from nbdtest import wire
from nbdtest.pki import client_context, server_context
from nbdtest.proxy import run_proxy
from nbdtest.rawserver import ModelUpstream
from nbdtest.tls import TLS12
from tls_world import GREETED, HOSTS, STARTTLS, both_versions, the_line

# What an upstream shows: made how, what we expect to see, what the log says, and the alert.
BAD_UPSTREAMS = {
    "expired": (lambda w: w.ours.issue("late", san=HOSTS, not_before=-9, not_after=-1), {},
                ["(late)", "expired"], "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
    "not-yet": (lambda w: w.ours.issue("early", san=HOSTS, not_before=1, not_after=9), {},
                ["(early)", "not yet valid"], "SSLV3_ALERT_BAD_CERTIFICATE"),
    "self-signed": (lambda w: w.self_signed("selfmade", san=HOSTS), {},
                    ["(selfmade)", "not signed by a CA in", "ca-cert.pem", "self-signed"],
                    "TLSV1_ALERT_UNKNOWN_CA"),
    "wrong-host": (lambda w: w.ours.issue("other", san=["DNS:other.example"]), {},
                   ["not for localhost but for: other.example", "tls-hostname"],
                   "SSLV3_ALERT_BAD_CERTIFICATE"),
    "wrong-ca": (lambda w: w.stranger, {}, ["(stranger)", "not signed by a CA in", "ca-cert.pem"],
                 "TLSV1_ALERT_UNKNOWN_CA"),
    "cn-only": (lambda w: w.ours.issue("localhost"), {},
                ["not for localhost", "a CN alone does not count"], "SSLV3_ALERT_BAD_CERTIFICATE"),
    "other-address": (lambda w: w.ours.issue("ip", san=["IP:127.0.0.2"]), {"tls_hostname": "127.0.0.1"},
                      ["not for 127.0.0.1 but for: 127.0.0.2"], "SSLV3_ALERT_BAD_CERTIFICATE"),
    "address-as-dns-name": (lambda w: w.ours.issue("ip", san=["DNS:127.0.0.1"]),
                            {"tls_hostname": "127.0.0.1"}, ["not for 127.0.0.1"],
                            "SSLV3_ALERT_BAD_CERTIFICATE"),
    "partial-wildcard": (lambda w: w.ours.issue("wild", san=["DNS:local*.example"]),
                         {"tls_hostname": "localhost.example"}, ["not for localhost.example"],
                         "SSLV3_ALERT_BAD_CERTIFICATE"),
    "clients-certificate": (lambda w: w.ours.issue("client", san=HOSTS, usage="client"), {},
                            ["(client)", "not issued for servers"], "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"),
    "chain-without-the-middle": (lambda w: w.between.issue("deep", san=HOSTS)._replace(chain=()), {},
                                 ["(deep)", "not signed by a CA in"], "TLSV1_ALERT_UNKNOWN_CA"),
    "signed-by-no-ca": (lambda w: w.signed_by_a_leaf, {}, [], "TLSV1_ALERT_UNKNOWN_CA"),
    "revoked": (lambda w: w.mallory, {"tls_certificates": "wary"}, ["(mallory)", "revoked"],
                "SSLV3_ALERT_CERTIFICATE_REVOKED"),
    "list-overdue": (lambda w: w.server, {"tls_certificates": "overdue"},
                     ["(server)", "ca-crl.pem", "expired"], "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
}


def keys_of_upstream(world, keys):
    keys = world.upstream(**keys)
    keys["tls_certificates"] = getattr(world, keys["tls_certificates"], keys["tls_certificates"])
    return keys


@pytest.mark.parametrize("version", **both_versions)
@pytest.mark.parametrize("case", BAD_UPSTREAMS)
def test_c62_upstream_refused(stage, world, case, version):
    make, keys, words, alert = BAD_UPSTREAMS[case]
    show = world.once(case, make)
    s = stage(overrides={"tls": server_context(show, versions=(version, version))},
              **keys_of_upstream(world, keys))
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        reply = c.option(wire.GO, wire.info_data("export"))[-1]
        assert reply.kind == wire.ERR_PLATFORM and b"TLS" in reply.payload, reply
        assert c.alive()
        c.abort()
    line = the_line(s.proxy, "upstream: ")
    assert s.upstream.path in line and all(word in line for word in words), line
    s.upstream.wait_no_connection()
    assert s.upstream.tls_failures == [alert]
    assert [bytes(c.plain) for c in s.upstream.connections] == [GREETED + STARTTLS]


GOOD_UPSTREAMS = {
    "address": (lambda w: w.server, {"tls_hostname": "127.0.0.1"}),
    "address6": (lambda w: w.server, {"tls_hostname": "::1"}),
    "root-dot": (lambda w: w.server, {"tls_hostname": "localhost."}),
    "wildcard": (lambda w: w.ours.issue("wild", san=["DNS:*.example.org"]),
                 {"tls_hostname": "a.example.org"}),
    "chain": (lambda w: w.between.issue("deep", san=HOSTS), {}),
    "rsa": (lambda w: w.ours.issue("rsa", san=HOSTS, key="rsa"), {}),
    "unverified": (lambda w: w.stranger, {"tls_verify_peer": "no"}),
}


@pytest.mark.parametrize("case", GOOD_UPSTREAMS)
def test_c62_upstream_accepted(stage, world, case):
    make, keys = GOOD_UPSTREAMS[case]
    show = world.once(f"good-{case}", make)
    s = stage(overrides={"tls": server_context(show)}, **world.upstream(**keys))
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start()
        (row,) = [row for row in s.proxy.json()["connections"] if row["listener"] == "main"]
        assert row["upstream_tls"]["peer"] and row["upstream_tls"]["version"] == "TLSv1.3"
        assert c.write(0, b"u" * 512) == 0
        c.disconnect()
    assert s.upstream.disk[:512] == b"u" * 512


@pytest.mark.parametrize("host,accepted", [("127.0.0.1", True), ("::1", True), ("127.0.0.2", False)])
def test_c62_host_of_the_uri_is_the_name(stage, world, host, accepted):
    s = stage(overrides={"tls": world.serving, "tcp": host}, tls_certificates=world.trust)
    c = s.client()
    c.greet()
    assert (c.final(wire.GO, wire.info_data("")) == wire.ACK) == accepted
    if not accepted:
        assert "not for 127.0.0.2" in the_line(s.proxy, "upstream: ")


def test_c62_unix_socket_without_a_name_is_a_fault(folder, world):
    path = f"{folder}/conf"
    with open(path, "w", encoding="ascii") as f:
        f.write(f"[listen l]\naddress = unix:{folder}/l\nupstream = u\n[upstream u]\n"
                f"uri = nbds+unix:///?socket={folder}/u\ntls-certificates = {world.trust}\n")
    done = run_proxy("-c", path, "--check")
    assert done.returncode == 78 and "tls-hostname" in done.stderr, done.stderr


def test_c62_client_certificate_that_upstream_demands(stage, world):
    """With one it works; without, the line names the file that is missing."""
    serving = server_context(world.server, world.ours)
    s = stage(overrides={"tls": serving}, **world.upstream(tls_certificates=world.keys))
    c = s.client()
    c.start()
    assert s.upstream.connections[0].sock.engine.getpeercert()["subject"] == ((("commonName", "alice"),),)
    c.disconnect()


@pytest.mark.parametrize("version", **both_versions)
def test_c62_client_certificate_that_we_lack(stage, world, version):
    serving = server_context(world.server, world.ours, versions=(version, version))
    s = stage(overrides={"tls": serving}, **world.upstream())
    c = s.client()
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
    assert c.alive()
    line = the_line(s.proxy, "upstream: ")
    assert "TLS" in line and (version == TLS12 or "client-cert.pem" in line), line
    s.upstream.wait_no_connection()
    assert s.upstream.tls_failures == ["PEER_DID_NOT_RETURN_A_CERTIFICATE"]


# Clients ------------------------------------------------------------------------------------

# What a client shows, keys of the listener, what the log says, and the alert.
BAD_CLIENTS = {
    "none": (None, {}, ["showed no certificate", "tls-verify-peer"], "TLSV13_ALERT_CERTIFICATE_REQUIRED"),
    "expired": (lambda w: w.ours.issue("late", not_before=-9, not_after=-1), {}, ["(late)", "expired"],
                "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
    "not-yet": (lambda w: w.ours.issue("early", not_before=1, not_after=9), {},
                ["(early)", "not yet valid"], "SSLV3_ALERT_BAD_CERTIFICATE"),
    "foreign-ca": (lambda w: w.stranger, {}, ["(stranger)", "not signed by a CA in", "ca-cert.pem"],
                   "TLSV1_ALERT_UNKNOWN_CA"),
    "self-signed": (lambda w: w.self_signed("selfmade"), {}, ["(selfmade)", "not signed by a CA in"],
                    "TLSV1_ALERT_UNKNOWN_CA"),
    "servers-certificate": (lambda w: w.server, {}, ["(server)", "not issued for clients"],
                            "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"),
    "revoked": (lambda w: w.mallory, {"tls_certificates": "wary"}, ["(mallory)", "revoked"],
                "SSLV3_ALERT_CERTIFICATE_REVOKED"),
    "not-allowed": (lambda w: w.alice, {"tls_allow": "bob"}, ["(alice)", "tls-allow"],
                    "SSLV3_ALERT_HANDSHAKE_FAILURE"),
    "allowed-in-part": (lambda w: w.alice, {"tls_allow": "lice"}, ["(alice)", "tls-allow"],
                        "SSLV3_ALERT_HANDSHAKE_FAILURE"),
}


def keys_of_listener(world, keys):
    keys = world.strict(**keys)
    keys["tls_certificates"] = getattr(world, keys["tls_certificates"], keys["tls_certificates"])
    return keys


@pytest.mark.parametrize("version", **both_versions)
@pytest.mark.parametrize("case", BAD_CLIENTS)
def test_c63_client_refused(stage, world, case, version):
    make, keys, words, alert = BAD_CLIENTS[case]
    show = make and world.once(f"client-{case}", make)
    s = stage(listen=keys_of_listener(world, keys))
    with s.proxy.ends("client-tls-failed"):
        c = s.client()
        c.greet()
        said = c.refused(client_context(world.ours, show, versions=(version, version)))
    if not (case == "none" and version == TLS12):  # which has no alert of its own for it
        assert said == alert
    assert "ALERT" in said
    line = the_line(s.proxy, "client: TLS: ")
    assert all(word in line for word in words), line
    assert not s.upstream.accepted


@pytest.mark.parametrize("version", **both_versions)
def test_c63_what_was_sent_with_the_last_flight_is_not_served(stage, world, version):
    """TLS 1.3 lets clients speak before they are judged."""
    s = stage(listen=world.strict())
    with s.proxy.ends("client-tls-failed"):
        c = s.client()
        c.greet()
        context = client_context(versions=(version, version))
        if version == TLS12:
            assert "ALERT" in c.refused(context)
        else:
            c.starttls(context)
            c.send(wire.option(wire.GO, wire.info_data("")))
            assert "ALERT" in c.refused()
    assert not s.upstream.accepted


GOOD_CLIENTS = {
    "any": (lambda w: w.alice, {}),
    "common-name": (lambda w: w.alice, {"tls_allow": "bob alice"}),
    "pattern": (lambda w: w.alice, {"tls_allow": "*.example.org"}),
    "chain": (lambda w: w.between.issue("deep"), {}),
    "not-revoked": (lambda w: w.alice, {"tls_certificates": "wary"}),
}


@pytest.mark.parametrize("case", GOOD_CLIENTS)
def test_c63_client_accepted(stage, world, case):
    make, keys = GOOD_CLIENTS[case]
    show = world.once(f"client-good-{case}", make)
    s = stage(listen=keys_of_listener(world, keys))
    with s.proxy.ends("client-disc"):
        c = s.client(tls=client_context(world.ours, show))
        c.start()
        (row,) = [row for row in s.proxy.json()["connections"] if row["listener"] == "main"]
        assert row["tls"]["peer"] in (show.cn, "alice.example.org")
        c.disconnect()


def test_c63_certificate_of_nobody_is_not_asked_for(stage, world):
    """Without tls-verify-peer a client's certificate says nothing, and spoils nothing."""
    s = stage(listen=world.listen())
    c = s.client(tls=client_context(world.ours, world.stranger))
    c.start()
    c.disconnect()


@pytest.mark.parametrize("version", **both_versions)
def test_c63_client_that_refuses_us(stage, world, version):
    """Its alert is in the log."""
    s = stage(listen=world.listen())
    with s.proxy.ends("client-tls-failed"):
        c = s.client()
        c.greet()
        assert c.refused(client_context(world.foreign, versions=(version, version))) == \
            "CERTIFICATE_VERIFY_FAILED"
        c.close()
    assert "does not trust the CA of our certificate" in the_line(s.proxy, "client: TLS: ")


# The second connection of one session --------------------------------------------------------


class Changes(ModelUpstream):
    """Shows its right certificate to the first connection, and `second` to all others. Without INFO a scout
    is sent, on a connection of its own."""
    second = None
    lacks = (wire.INFO,)

    def starttls(self, c):
        self.ack(c, wire.STARTTLS)
        c.starttls(self.tls if c.number == 1 else self.second)


@pytest.mark.parametrize("second,words", [
    ("stranger", ["(stranger)", "not signed by a CA in"]), ("mallory", ["(mallory)", "revoked"])])
def test_c73_another_connection_of_the_session_is_verified_alike(stage, world, second, words):
    s = stage(Changes, {"tls": world.serving, "second": server_context(getattr(world, second))},
              **world.upstream(tls_certificates=world.wary))
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        assert c.final(wire.INFO, wire.info_data("")) & wire.ERROR_BIT
        c.abort()
    assert s.upstream.accepted >= 2
    assert any(all(word in line for word in words) for line in s.proxy.lines("warn") + s.proxy.lines("info"))
    assert all(bytes(c.plain) == GREETED + STARTTLS for c in s.upstream.connections)
    assert not s.upstream.requests(wire.READ)


def test_c73_another_connection_of_the_session_is_good(stage, world):
    s = stage(Changes, {"tls": world.serving, "second": world.serving}, **world.upstream())
    c = s.client()
    c.greet()
    assert c.final(wire.INFO, wire.info_data("")) == wire.ACK
    assert s.upstream.accepted >= 2
    assert all(bytes(c.plain) == GREETED + STARTTLS for c in s.upstream.connections)


def test_c73_the_next_session_is_verified_alike(stage, world):
    """An upstream that was right a moment ago, and whose session could be resumed."""
    s = stage(Changes, {"tls": world.serving, "second": server_context(world.stranger), "lacks": ()},
              **world.upstream())
    c = s.client()
    c.start()
    assert c.read(0, 512) == bytes(512)
    c.disconnect()
    c = s.client()
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
    assert "(stranger)" in the_line(s.proxy, "upstream: ", "not signed")
