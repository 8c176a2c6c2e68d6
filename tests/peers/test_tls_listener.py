# SPDX-License-Identifier: BSD-3-Clause
"""STARTTLS as the specification has it, with tls = off, allow and require; and which TLS it may be."""
import struct

import pytest

from nbdtest import wire
from nbdtest.libssl import Context
from nbdtest.pki import client_context
from nbdtest.tls import ALERT, FATAL, HANDSHAKE, TLS12, TLS13
from tls_world import both_versions, the_line

GO = wire.info_data("")
META = wire.meta_data("", ["base:allocation"])
EARLY = {
    "info": (wire.INFO, GO), "go": (wire.GO, GO), "list": (wire.LIST, b""),
    "structured": (wire.STRUCTURED_REPLY, b""), "extended": (wire.EXTENDED_HEADERS, b""),
    "set_meta": (wire.SET_META, META), "list_meta": (wire.LIST_META, META),
    "unknown": (0x7FFF, b"to be drained"), "malformed": (wire.GO, b"\xff" * 40),
    "long": (wire.GO, bytes(300 << 10)), "list_with_data": (wire.LIST, b"?"),
}


def test_c51_plaintext_listener(stage):
    s = stage()
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        for data, error in ((b"", wire.ERR_POLICY), (b"data", wire.ERR_INVALID)):
            assert c.final(wire.STARTTLS, data) == error
            assert c.alive()
        for name, (number, data) in EARLY.items():
            if name != "go":
                assert c.final(number, data) != wire.ERR_TLS_REQD
        c = s.client()
        c.start()
        assert c.read(0, 512) == bytes(512)
        c.disconnect()
    assert "TLS is up" not in s.proxy.log()


@pytest.mark.parametrize("early", EARLY)
def test_c52_option_before_tls(stage, world, early):
    s = stage(listen=world.listen())
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        for _ in range(2):
            reply = c.option(*EARLY[early])[-1]
            assert reply.kind == wire.ERR_TLS_REQD and b"TLS" in reply.payload
        c.abort()
    assert not s.upstream.accepted
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        assert c.final(*EARLY[early]) == wire.ERR_TLS_REQD
        c.starttls(world.client)
        c.go()
        c.disconnect()


@pytest.mark.parametrize("flags", [0, 1, 3])
def test_c52_export_name_before_tls(stage, world, flags):
    s = stage(listen=world.listen())
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.greet(flags)
        c.send(wire.option(wire.EXPORT_NAME))
        c.expect_close()
    assert not s.upstream.accepted
    assert "TLS" in the_line(s.proxy, "client: EXPORT_NAME")


def test_c52_export_name_within_tls(stage, world):
    s = stage(listen=world.listen())
    c = s.client()
    c.greet()
    c.starttls(world.client)
    c.send(wire.option(wire.EXPORT_NAME))
    size, _ = struct.unpack(">QH", c.receive(10))
    assert size == s.upstream.size
    assert c.read(0, 512) == bytes(512)
    c.disconnect()


@pytest.mark.parametrize("tls", ["allow", "require"])
def test_c53_starttls_with_data(stage, world, tls):
    s = stage(listen=world.listen(tls))
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        for data in (b"x", bytes(4096), b"\x16\x03\x01" * 100):
            assert c.final(wire.STARTTLS, data) == wire.ERR_INVALID
        c.starttls(world.client)  # and was no TLS until now
        c.go()
        c.disconnect()


@pytest.mark.parametrize("tls", ["allow", "require"])
def test_c54_starttls_again(stage, world, tls):
    s = stage(listen=world.listen(tls))
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.starttls(world.client)
        for data in (b"", b"x"):
            assert c.final(wire.STARTTLS, data) == wire.ERR_INVALID
            assert c.alive()
        c.go()
        c.write(0, b"w" * 512)
        c.disconnect()
    assert s.upstream.disk[:512] == b"w" * 512


def test_c54_abort_within_tls(stage, world):
    s = stage(listen=world.listen())
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        c.starttls(world.client)
        c.abort()
    assert c.sock.ended == "farewell"


@pytest.mark.calls
def test_allow_serves_both(stage, world):
    s = stage(listen=world.listen("allow"))
    for tls in None, world.client:
        with s.proxy.ends("client-disc"):
            c = s.client(tls=tls)
            c.start()
            (row,) = [row for row in s.proxy.json()["connections"] if row["listener"] == "main"]
            assert bool(row["tls"]) == bool(tls)
            c.disconnect()


# Versions --------------------------------------------------------------------------------


@pytest.mark.parametrize("version", **both_versions)
@pytest.mark.parametrize("tcp", [None, "127.0.0.1", "::1"], ids=["unix", "tcp", "tcp6"])
def test_c64_accepted(stage, world, version, tcp):
    s = stage(listen=world.listen(), tcp=tcp)
    with s.proxy.ends("client-disc"):
        c = s.client(tls=client_context(world.ours, versions=(version, version)))
        c.start(structured=True)
        (row,) = [row for row in s.proxy.json()["connections"] if row["listener"] == "main"]
        assert row["tls"]["version"] == {TLS12: "TLSv1.2", TLS13: "TLSv1.3"}[version]
        assert row["tls"]["cipher"] == c.sock.engine.cipher()[0] and not row["tls"]["peer"]
        assert c.write(4096, b"v" * 4096) == 0 and c.read(4096, 4096) == b"v" * 4096
        c.disconnect()
    assert c.sock.ended == "farewell"


def hello_of(version):
    """A ClientHello of a version that Debian's OpenSSL does not speak itself (RFC 5246, 7.4.1.2)."""
    body = version + bytes(32) + b"\0" + b"\0\2\xc0\x09" + b"\1\0"
    return b"\x16\3\1" + struct.pack(">HB", len(body) + 4, 1) + struct.pack(">I", len(body))[1:] + body


@pytest.mark.parametrize("version", [b"\3\0", b"\3\1", b"\3\2"], ids=["ssl3", "tls10", "tls11"])
def test_c64_old_version(stage, world, version):
    s = stage(listen=world.listen())
    with s.proxy.ends("client-tls-failed"):
        c = s.client()
        c.greet()
        assert c.final(wire.STARTTLS) == wire.ACK
        c.send(hello_of(version))
        alert = c.drain()
    told = 40 if version == b"\3\0" else 70  # of handshake_failure and protocol_version SSL 3 knows one
    assert alert[:1] == bytes([ALERT]) and alert[5:] == bytes([FATAL, told]), alert
    assert "neither TLS 1.2 nor 1.3" in the_line(s.proxy, "client: TLS: ")


# What is not TLS -------------------------------------------------------------------------


@pytest.mark.parametrize("said", [wire.option(wire.GO, GO), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                  bytes(100), b"\xff" * 20000], ids=["nbd", "http", "zeroes", "junk"])
def test_c68_plaintext_instead_of_a_handshake(stage, world, said):
    s = stage(listen=world.listen())
    with s.proxy.ends("client-tls-failed"):
        c = s.client()
        c.greet()
        assert c.final(wire.STARTTLS) == wire.ACK
        c.send(said)
        left = c.drain()
    assert not left or (left[0] == ALERT and len(left) == 7), left
    assert "not TLS" in the_line(s.proxy, "client: TLS: ")
    assert not s.upstream.accepted


@pytest.mark.parametrize("transmission", [False, True])
@pytest.mark.parametrize("version", **both_versions)
def test_c68_plaintext_after_tls(stage, world, version, transmission):
    s = stage(listen=world.listen())
    with s.proxy.ends("client-tls-failed"):
        c = s.client()
        c.greet()
        c.starttls(client_context(versions=(version, version)))
        if transmission:
            c.go()
        c.sock.sock.sendall(wire.request(wire.WRITE, 0, 512, payload=b"p" * 512) if transmission else
                            wire.option(wire.GO, GO))
        assert "ALERT" in c.refused()
    assert the_line(s.proxy, "client: TLS: ")
    s.upstream.wait_no_connection()
    assert not s.upstream.requests(wire.WRITE)


@pytest.mark.parametrize("version", **both_versions)
def test_c68_altered_record(forger, version):
    s, c = forger(version)
    with s.proxy.ends("client-tls-failed"):
        record = bytearray(c.sock.record(wire.request(wire.WRITE, 0, 512, payload=b"a" * 512)))
        record[-20] ^= 1
        c.sock.sock.sendall(record)
        assert c.refused() == "SSLV3_ALERT_BAD_RECORD_MAC"
    assert "does not decrypt" in the_line(s.proxy, "client: TLS: ")
    s.upstream.wait_no_connection()
    assert not s.upstream.requests(wire.WRITE)


@pytest.mark.parametrize("kind", [HANDSHAKE, 99], ids=["hello", "unknown"])
def test_c68_record_of_a_wrong_type(forger, kind):
    s, c = forger(TLS13)
    with s.proxy.ends("client-tls-failed"):
        c.sock.sock.sendall(c.sock.record(b"\1\0\0\4abcd", kind))
        assert "ALERT" in c.refused()
    assert the_line(s.proxy, "client: TLS: ")


@pytest.mark.calls
@pytest.mark.parametrize("version", **both_versions)
def test_c69_psk(stage, world, version):
    """A PSK where there are no certificates; user and cipher are shown."""
    keys = world.psk_file({"bob": b"b" * 32, "carol": b"c" * 32})
    s = stage(listen={"tls": "require", "tls_psk_file": keys})
    with s.proxy.ends("client-disc"):
        c = s.client(tls=Context(version=version, psk=("carol", b"c" * 32)))
        c.start()
        (row,) = [row for row in s.proxy.json()["connections"] if row["listener"] == "main"]
        assert row["tls"]["peer"] == "carol"
        assert c.write(0, b"k" * 512) == 0
        c.disconnect()
    assert s.upstream.disk[:512] == b"k" * 512


@pytest.mark.parametrize("version", **both_versions)
def test_c69_unknown_user_and_wrong_key_get_the_same_alert(stage, world, version):
    keys = world.psk_file({"bob": b"b" * 32})
    s = stage(listen={"tls": "require", "tls_psk_file": keys})
    alerts = set()
    for user, logged in ("bob", "the PSK user is bob"), ("eve", f"eve, who is not in {keys}"):
        with s.proxy.ends("client-tls-failed"):
            c = s.client()
            c.greet()
            alerts.add(c.refused(Context(version=version, psk=(user, b"x" * 32))))
        assert the_line(s.proxy, "client: TLS: ", logged)
    assert len(alerts) == 1 and "ALERT" in alerts.pop()
