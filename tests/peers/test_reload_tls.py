# SPDX-License-Identifier: BSD-3-Clause
"""Reload of what TLS is made of: who connects next meets it, who is connected keeps what he has."""
import os
import re

import pytest

from nbdtest import wire
from nbdtest.libssl import Context
from nbdtest.pki import client_context
from nbdtest.rawclient import RawClient
from test_reload import by_signal, by_stat, edit, replace, secure, shown, works


@pytest.mark.parametrize("how", [by_signal, by_stat])
def test_certificate(stage, world, keys, how):
    s = stage(listen=world.listen(tls_certificates=keys))
    running = secure(s.address, world.client)
    before = shown(running)
    renewed = world.ours.issue("renewed", san=["DNS:localhost"], usage="server")
    world.directory(path=keys, server=renewed)
    assert shown(secure(s.address, client_context(world.ours))) == before  # nobody has asked for it yet
    how(s.proxy)
    second = secure(s.address, world.client)
    assert shown(second) != before and works(second)
    assert shown(running) == before and works(running)


def test_no_ticket_outlives_a_revocation(stage, world, keys):
    """Session resumption must not bring back who has been revoked meanwhile."""
    authority = world.ca("revoking")
    bob = authority.issue("bob", usage="client")
    world.directory(path=keys, ca=authority, server=authority.issue("server", usage="server"),
                    crl=authority.crl())
    s = stage(listen=world.strict(tls_certificates=keys))
    context = client_context(authority, bob)
    running = secure(s.address, context)
    assert works(running)
    ticket = running.sock.engine.session
    c = RawClient(s.address)
    c.greet()
    c.starttls(context, session=ticket)
    assert c.sock.engine.session_reused
    authority.revoke(bob)
    world.directory(path=keys, crl=authority.crl())
    by_stat(s.proxy)
    for session in None, ticket, c.sock.engine.session:
        late = RawClient(s.address)
        late.greet()
        assert "REVOKED" in late.refused(context, session=session)
    assert works(running)


def test_allowed_names(stage, world):
    s = stage(listen=world.strict(tls_allow="alice"))
    running = secure(s.address, world.as_alice)
    edit(s.proxy, ("tls-allow = alice", "tls-allow = bob *.example.com"))
    assert "[listen main] tls-allow: alice -> bob *.example.com" in s.proxy.stat("reload").stdout
    c = RawClient(s.address)
    c.greet()
    c.refused(world.as_alice)
    assert works(running)


@pytest.mark.calls
def test_psk_added_and_taken_away(stage, world, folder):
    file = world.psk_file({"bob": b"b" * 32}, path=os.path.join(folder, "keys.psk"))
    s = stage(listen={"tls": "require", "tls_psk_file": file})
    bob, carol = (Context(psk=(name, name[:1].encode() * 32)) for name in ("bob", "carol"))
    running = secure(s.address, bob)

    def is_refused(who):
        c = RawClient(s.address)
        c.greet()
        return c.refused(who)

    assert is_refused(carol)
    world.psk_file({"carol": b"c" * 32}, path=file)
    by_stat(s.proxy)
    assert works(secure(s.address, carol))
    assert is_refused(bob)
    assert works(running)


def test_tls_becomes_required(stage, world):
    s = stage()
    running = s.client()
    running.start()
    edit(s.proxy, ("[listen main]\n", "[listen main]\ntls = require\n"
                   f"tls-certificates = {world.keys}\n"))
    out = s.proxy.stat("reload").stdout
    assert "[listen main] tls: off -> require" in out
    c = s.client()
    c.greet()
    assert c.final(wire.LIST) == wire.ERR_TLS_REQD
    assert works(secure(s.address, world.client))
    assert works(running)


def test_certificates_of_an_upstream(stage, world, folder):
    """Its server has got a certificate of another CA."""
    trust = world.directory(path=os.path.join(folder, "trust"), ca=world.foreign)
    s = stage(overrides={"tls": world.serving}, tls_certificates=trust, tls_hostname="localhost")
    c = s.client()
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
    assert s.proxy.stat("check", check=False).returncode == 2
    world.directory(path=trust, ca=[world.foreign, world.ours])
    by_stat(s.proxy)
    c.close()
    c = s.client()
    c.start()
    assert works(c)
    assert s.proxy.stat("check").stdout.startswith("OK - ")


def test_clients_must_show_who_they_are(stage, world):
    s = stage(listen=world.listen(tls_verify_peer="no"))
    running = secure(s.address, world.client)
    edit(s.proxy, ("tls-verify-peer = no", "tls-verify-peer = yes"))
    assert "[listen main] tls-verify-peer: no -> yes" in s.proxy.stat("reload").stdout
    c = RawClient(s.address)
    c.greet()
    c.refused(world.client)
    assert works(secure(s.address, world.as_alice)) and works(running)


def ciphers_of(proxy, side):
    return [row[side]["cipher"] for row in sorted(proxy.json()["connections"], key=lambda row: row["id"])
            if row["listener"] == "main"]


def test_ciphers_of_both_sides(stage, world):
    short, long = "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"
    s = stage(overrides={"tls": world.serving}, listen=world.listen(tls_ciphers=short),
              **world.upstream(tls_ciphers=long))
    running = secure(s.address, world.client)
    with open(s.proxy.config, encoding="utf-8") as f:
        text = f.read()
    swapped = {short: long, long: short}
    for old in swapped:
        assert text.count(f"tls-ciphers = {old}") == 1
    replace(s.proxy, re.sub(f"tls-ciphers = ({short}|{long})", lambda m: f"tls-ciphers = {swapped[m[1]]}", text))
    out = s.proxy.stat("reload").stdout
    assert f"[listen main] tls-ciphers: {short} -> {long}" in out
    assert f"[upstream main] tls-ciphers: {long} -> {short}" in out
    second = secure(s.address, world.client)
    assert ciphers_of(s.proxy, "tls") == [short, long]
    assert ciphers_of(s.proxy, "upstream_tls") == [long, short]
    assert works(running) and works(second)


def unreachable(s):
    c = s.client()
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
    c.close()


def test_the_name_of_an_upstream(stage, world):
    s = stage(overrides={"tls": world.serving}, **world.upstream(tls_hostname="elsewhere.example.org"))
    unreachable(s)
    edit(s.proxy, ("tls-hostname = elsewhere.example.org", "tls-hostname = localhost"))
    by_stat(s.proxy)
    c = s.client()
    c.start()
    edit(s.proxy, ("tls-hostname = localhost", "tls-hostname = elsewhere.example.org"))
    by_stat(s.proxy)
    unreachable(s)
    assert works(c)


def test_an_upstream_that_is_verified_again(stage, world, folder):
    trust = world.directory(path=os.path.join(folder, "trust"), ca=world.foreign)
    s = stage(overrides={"tls": world.serving}, tls_certificates=trust, tls_hostname="localhost",
              tls_verify_peer="no")
    c = s.client()
    c.start()
    edit(s.proxy, ("tls-verify-peer = no", "tls-verify-peer = yes"))
    by_stat(s.proxy)
    unreachable(s)
    assert works(c)


def test_psk_of_an_upstream(world, servers, start_proxy, folder):
    """Its server has got another key."""
    keys = {who: world.psk_file({"alice": who[:1].encode() * 32}, path=os.path.join(folder, f"{who}.psk"))
            for who in ("old", "new")}
    server = servers.nbdkit("memory", "1M", options=["--tls=require", f"--tls-psk={keys['new']}"])
    proxy = start_proxy({"main": (f"nbds+unix://alice@/?socket={server.address}", {"tls_psk_file": keys["old"]})})
    c = RawClient(proxy.address)
    c.greet()
    assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
    c.close()
    edit(proxy, (keys["old"], keys["new"]))
    by_stat(proxy)
    c = RawClient(proxy.address)
    c.start()
    assert works(c)
