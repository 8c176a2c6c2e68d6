# SPDX-License-Identifier: BSD-3-Clause
"""Records: cut at every byte, on both sides, of all lengths, and without an end."""
import time

import pytest

from nbdtest import wire
from nbdtest.pki import client_context, server_context
from nbdtest.rawclient import RawClient
from nbdtest.rawserver import Gone, ModelUpstream
from nbdtest.tls import TLS13, CutAt, Pieces
from tls_world import both_versions, lines_with, the_line

PAYLOAD = bytes(range(256)) * 2


def talk(c):
    """A session with a WRITE and a READ of 512 bytes, over and over the same bytes on the wire."""
    c.structured()
    c.go()
    assert c.write(0, PAYLOAD) == 0
    assert c.read(0, 512) == PAYLOAD
    c.disconnect()


# Cut at every byte -----------------------------------------------------------------------


def cut_session(s, context, cut):
    """One session that is cut once; how many bytes it sent within TLS."""
    with RawClient(s.address) as c:
        c.greet()
        out = CutAt(c.sock, cut)
        c.starttls(context, out=out)
        talk(c)
        return out.sent


@pytest.mark.parametrize("version", **both_versions)
def test_c66_client_cut_at_every_byte(stage, world, version):
    """Its hello, the end of its handshake, its requests: in two parts, wherever the cut is."""
    s = stage(listen=world.listen(), log_level="info")
    context = client_context(versions=(version, version))
    longest = cut_session(s, context, 0)
    assert longest > 1000
    every = [*range(1, 600), *range(600, longest, 7)]
    with s.proxy.ends(*["client-disc"] * len(every)):
        for cut in every:
            cut_session(s, context, cut)
    assert not lines_with(s.proxy, "TLS")


class CutUpstream(ModelUpstream):
    """Each connection's bytes are cut once."""
    cut = 0
    sender = None

    def starttls(self, c):
        self.ack(c, wire.STARTTLS)
        self.sender = CutAt(c.sock, self.cut)
        c.starttls(self.tls, out=self.sender)


@pytest.mark.parametrize("version", **both_versions)
def test_c66_upstream_cut_at_every_byte(stage, world, version):
    def session(cut):
        s.upstream.cut = cut
        with RawClient(s.address) as c:
            c.greet()
            talk(c)

    s = stage(CutUpstream, {"tls": server_context(world.server, versions=(version, version))},
              log_level="info", **world.upstream())
    session(0)
    longest = s.upstream.sender.sent
    assert longest > 1000
    every = [*range(1, 600), *range(600, longest, 7)]
    with s.proxy.ends(*["client-disc"] * len(every)):
        for cut in every:
            session(cut)
    assert not lines_with(s.proxy, "TLS")


@pytest.mark.parametrize("size", [1, 2, 5, 7])
@pytest.mark.parametrize("version", **both_versions)
def test_c66_everything_in_small_pieces(stage, world, version, size):
    """Both sides at once: no more than so many bytes ever come together."""
    class Upstream(ModelUpstream):
        def starttls(self, c):
            self.ack(c, wire.STARTTLS)
            c.starttls(self.tls, out=Pieces(c.sock, size))

    s = stage(Upstream, {"tls": server_context(world.server, versions=(version, version))},
              listen=world.listen(), **world.upstream())
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.greet()
        c.starttls(client_context(versions=(version, version)), out=Pieces(c.sock, size))
        talk(c)
    assert s.upstream.disk[:512] == PAYLOAD


# Lengths of records -----------------------------------------------------------------------


def request(offset, cookie, byte=None):
    if byte is None:
        return wire.request(wire.READ, offset, 512, cookie=cookie)
    return wire.request(wire.WRITE, offset, 512, cookie=cookie, payload=bytes([byte]) * 512)


@pytest.mark.parametrize("version", **both_versions)
def test_c66_a_byte_a_record(forger, version):
    s, c = forger(version)
    whole = request(0, 1, 0x61) + request(0, 2)
    c.sock.sock.sendall(b"".join(c.sock.record(whole[n:n + 1]) for n in range(len(whole))))
    assert c.reply().cookie == 1
    assert c.reply(512).payload == b"a" * 512
    c.disconnect()
    assert s.proxy.endings() == {"client-disc": 1}


@pytest.mark.parametrize("version", **both_versions)
def test_c66_many_requests_a_record(forger, version):
    """Records as long as may be, each the end of one request and the beginning of another."""
    _, c = forger(version)
    whole = b"".join(request(512 * n, n, n) for n in range(1, 100))
    whole += b"".join(request(512 * n, 1000 + n) for n in range(1, 100))
    c.sock.sock.sendall(b"".join(c.sock.record(whole[at:at + 16384])
                                 for at in range(0, len(whole), 16384)))
    for n in range(1, 100):
        assert c.reply().cookie == n
    for n in range(1, 100):
        assert c.reply(512) == (1000 + n, 0, bytes([n]) * 512)
    c.disconnect()


@pytest.mark.parametrize("version", **both_versions)
def test_c66_empty_records(forger, version):
    """Anywhere between others, a few at a time; in TLS 1.3 with padding, too."""
    _, c = forger(version)
    whole = request(0, 1, 0x7a) + request(0, 2)
    said = b""
    for at in range(0, len(whole), 50):
        said += c.sock.record(b"") + c.sock.record(whole[at:at + 50])
        if version == TLS13:
            said += c.sock.record(b"", padding=100)
    c.sock.sock.sendall(said)
    assert c.reply().cookie == 1
    assert c.reply(512).payload == b"z" * 512
    c.disconnect()


@pytest.mark.parametrize("version", **both_versions)
def test_c66_empty_records_without_end(forger, version):
    s, c = forger(version)
    with s.proxy.ends("client-tls-failed"):
        before = s.proxy.process.cpu()
        try:
            for _ in range(200):
                c.sock.sock.sendall(b"".join(c.sock.record(b"") for _ in range(50)))
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert s.proxy.process.cpu() - before < 1
    assert "empty records" in the_line(s.proxy, "client: TLS: ")


@pytest.mark.parametrize("version", **both_versions)
def test_c66_record_that_is_too_long(forger, version):
    s, c = forger(version)
    with s.proxy.ends("client-tls-failed"):
        c.sock.sock.sendall(c.sock.record(bytes((1 << 14) + 1)))
        assert "ALERT" in c.refused()
    assert the_line(s.proxy, "client: TLS: ")


# The end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [0, 1, 511])
@pytest.mark.parametrize("tcp", [None, "127.0.0.1"], ids=["unix", "tcp"])
def test_c67_cut_off_inside_a_write(stage, world, sent, tcp):
    """Without a farewell somebody else may have cut it: never forwarded, and said."""
    s = stage(listen=world.listen(), tcp=tcp)
    with s.proxy.ends("client-cut"):
        c = s.client(tls=world.client)
        c.start()
        c.request(wire.WRITE, 0, 512, payload=b"c" * sent)
        c.close()
    assert the_line(s.proxy, "client: TLS was cut off inside a WRITE")
    s.upstream.wait_no_connection()
    assert not s.upstream.requests(wire.WRITE) and s.upstream.disk == bytes(s.upstream.size)


def test_c67_farewell_inside_a_write(stage, world):
    """Not cut off by anybody; not forwarded either."""
    s = stage(listen=world.listen())
    with s.proxy.ends("client-cut"):
        c = s.client(tls=world.client)
        c.start()
        c.request(wire.WRITE, 0, 512, payload=b"c" * 100)
        c.sock.say_farewell()
        c.expect_close()
        assert c.sock.ended == "cut"  # as it would be in plaintext: a client that breaks off is left
    assert the_line(s.proxy, "client: closed inside a WRITE")
    assert not s.upstream.requests(wire.WRITE)


@pytest.mark.parametrize("version", **both_versions)
def test_c67_cut_off_inside_a_record(stage, world, version):
    """The record holds all of the WRITE; its last byte never comes."""
    s = stage(listen=world.listen())
    c = s.client(tls=client_context(versions=(version, version)))
    c.start()
    with s.proxy.ends("client-cut"):
        kept = []
        c.sock.out = kept.append
        c.request(wire.WRITE, 0, 512, payload=b"c" * 512)
        c.sock.sock.sendall(b"".join(kept)[:-1])
        c.close()
    s.upstream.wait_no_connection()
    assert not s.upstream.requests(wire.WRITE)


@pytest.mark.parametrize("how", ["farewell", "close", "half-close"])
def test_c67_after_disc_all_is_well(stage, world, how):
    s = stage(listen=world.listen())
    with s.proxy.ends("client-disc"):
        c = s.client(tls=world.client)
        c.start()
        assert c.write(0, b"d" * 512) == 0
        c.request(wire.DISC)
        if how == "farewell":
            c.sock.say_farewell()
        if how == "half-close":
            c.sock.shutdown(1)
        if how != "close":
            c.expect_close()
            assert c.sock.ended == "farewell"
        c.close()
    assert not lines_with(s.proxy, "TLS") and not lines_with(s.proxy, "client: ")
    s.upstream.wait_no_connection()
    assert s.upstream.requests(wire.DISC)


@pytest.mark.parametrize("transmission", [False, True])
def test_c67_client_that_closes_between_messages(stage, world, transmission):
    """As many do. Nothing is lost by it: no warning."""
    s = stage(listen=world.listen())
    with s.proxy.ends("client-eof" if transmission else "client-left-early"):
        c = s.client()
        c.greet()
        c.starttls(world.client)
        assert c.alive()  # what a server says at the end of its handshake has been read
        if transmission:
            c.go()
        c.close()
    assert not [line for line in s.proxy.lines("warn") if "main" in line and "max-conn" not in line]


class CutReply(ModelUpstream):
    """Sends half of a READ's reply, and closes without a farewell, or with one."""
    polite = False

    def on_read(self, c, r):
        c.send(wire.simple_reply(r.cookie) + bytes(100))
        if self.polite:
            c.sock.say_farewell()
        raise Gone


@pytest.mark.parametrize("polite", [False, True])
def test_c67_upstream_cut_off_inside_a_reply(stage, world, polite):
    s = stage(CutReply, {"tls": world.serving, "polite": polite, "has_structured": False},
              **world.upstream())
    with s.proxy.ends("upstream-lost"):
        c = s.client()
        c.start(structured=True)
        assert c.read(0, 512) in (wire.EIO, wire.ESHUTDOWN)
        c.expect_close()
    lines = lines_with(s.proxy, "upstream: ")
    assert len(lines) == 1 and ("TLS was cut off" in lines[0]) == (not polite), lines


# What is not forwarded is drained within TLS -----------------------------------------------


@pytest.mark.parametrize("version", **both_versions)
@pytest.mark.parametrize("fmt", ["simple", "structured"])
def test_c72_rejected_writes_are_drained(stage, world, version, fmt):
    s = stage(listen=world.listen(), overrides={"block_size": (1, 4096, 64 << 10)}, read_only="no")
    with s.proxy.ends("client-disc"):
        c = s.client(tls=client_context(versions=(version, version)))
        c.start(fmt=fmt, infos=[wire.INFO_BLOCK_SIZE])
        size = s.upstream.size
        for offset, length, flags, error in (
                (size - 512, 1024, 0, wire.ENOSPC), (0, 1 << 20, 0, wire.EINVAL),
                (0, 4096, 1 << 9, wire.EINVAL), (1 << 63, 100, 0, wire.ENOSPC), (0, 70000, 0, wire.EINVAL)):
            c.request(wire.WRITE, offset, length, flags, b"\x25\x60\x95\x13" * (length // 4))
            assert c.either()[0] == error, (offset, length)
        assert c.write(4096, b"y" * 4096) == 0 and c.read(4096, 4096) == b"y" * 4096
        c.disconnect()
    assert len(s.upstream.requests(wire.WRITE)) == 1


def test_c72_rejected_write_in_records_of_a_byte(forger):
    s, c = forger(TLS13, read_only="yes")
    whole = wire.request(wire.WRITE, 0, 3000, cookie=1, payload=b"x" * 3000) + request(0, 2)
    for at in range(0, len(whole), 300):
        c.sock.sock.sendall(b"".join(c.sock.record(whole[n:n + 1])
                                     for n in range(at, min(at + 300, len(whole)))))
        time.sleep(0.001)
    assert c.reply().error == wire.EPERM
    assert c.reply(512).payload == bytes(512)
    c.disconnect()
    assert not s.upstream.requests(wire.WRITE)


def test_c72_oversize_write_while_upstream_is_tls_too(stage, world):
    s = stage(overrides={"tls": world.serving}, listen=world.listen(), **world.upstream())
    with s.proxy.ends("client-disc"):
        c = s.client(tls=world.client)
        c.start()
        c.request(wire.WRITE, 0, (32 << 20) + 512, payload=bytes((32 << 20) + 512))
        assert c.reply().error == wire.EINVAL
        assert c.write(0, b"o" * 512) == 0
        c.disconnect()
    assert s.upstream.disk[:512] == b"o" * 512
