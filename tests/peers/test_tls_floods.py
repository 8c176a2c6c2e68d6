# SPDX-License-Identifier: BSD-3-Clause
"""Those who ask for work without end, those who let us wait, and a thousand at once."""
import contextlib
import resource
import socket
import ssl
import struct
import time

import pytest

from nbdtest import wire
from nbdtest.disks import settle
from nbdtest.libssl import Context
from nbdtest.pki import client_context, server_context
from nbdtest.proxy import wait_idle
from nbdtest.rawserver import Gone, ModelUpstream
from nbdtest.tls import HANDSHAKE, TLS12, TLS13, StopAt, TlsSocket
from tls_world import both_versions, the_line

BROKEN = (BrokenPipeError, ConnectionResetError)
REQUESTED = 1  # of a KeyUpdate: "you, too"


def key_update(f, ask):
    """A forged KeyUpdate (RFC 8446, section 4.6.3), and the new key."""
    record = f.record(b"\x18\0\0\1" + bytes([ask]), HANDSHAKE)
    f.rekey()
    return record


def hello_again(_n):
    """A ClientHello that asks for renegotiation: of nothing, because it must not be looked at."""
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\xc0\x2b" + b"\1\0"
    return b"\1" + struct.pack(">I", len(body))[1:] + body


# Floods -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [0, REQUESTED], ids=["ours", "theirs-too"])
def test_c65_some_key_updates_are_fine(stage, world, ask):
    s = stage(listen=world.listen())
    with s.proxy.ends("client-disc"):
        c = s.client(tls=Context(version=TLS13))
        c.start()
        for n in range(5):
            c.sock.engine.key_update(ask)
            assert c.write(512 * n, bytes([n + 1]) * 512) == 0
            assert c.read(512 * n, 512) == bytes([n + 1]) * 512
        c.disconnect()


@pytest.mark.parametrize("ask", [0, REQUESTED], ids=["ours", "theirs-too"])
def test_c65_ten_thousand_key_updates(forger, ask):
    s, c = forger(TLS13)
    flood = [b"".join(key_update(c.sock, ask) for _ in range(100)) for _ in range(100)]
    before = s.proxy.process.cpu()
    with s.proxy.ends("client-tls-failed"):
        with contextlib.suppress(*BROKEN):
            for part in flood:
                c.sock.sock.sendall(part)
    assert s.proxy.process.cpu() - before < 1
    assert "new keys" in the_line(s.proxy, "client: TLS: ")


def test_c65_renegotiation_is_refused(stage, world):
    s = stage(listen=world.listen())
    c = s.client(tls=Context(version=TLS12))
    c.start()
    c.sock.engine.renegotiate()
    c.sock.flush()
    with pytest.raises(ssl.SSLError) as refusal:
        c.sock.recv(1)
    assert refusal.value.reason == "NO_RENEGOTIATION"
    c.close()
    wait_idle(s.proxy, 1)


def test_c65_ten_thousand_renegotiations(forger):
    s, c = forger(TLS12)
    flood = [b"".join(c.sock.record(hello_again(n), HANDSHAKE) for n in range(100)) for _ in range(100)]
    before = s.proxy.process.cpu()
    with s.proxy.ends("client-tls-failed"):
        with contextlib.suppress(*BROKEN):
            for part in flood:
                c.sock.sock.sendall(part)
    assert s.proxy.process.cpu() - before < 1
    assert the_line(s.proxy, "client: TLS: ")


@pytest.mark.timing
def test_c65_key_updates_whose_answers_nobody_reads(forger):
    """Each asks for one: what nobody takes must not pile up."""
    s, c = forger(TLS13)
    before = s.proxy.process.rss()
    with s.proxy.ends("client-tls-failed"):
        c.sock.sock.sendall(b"".join(key_update(c.sock, REQUESTED) for _ in range(1000)))
    assert s.proxy.process.rss() - before < 4 << 20


class Floods(ModelUpstream):
    """Ten thousand KeyUpdates before the reply to a READ."""

    def on_read(self, c, r):
        for _ in range(10000):
            c.sock.engine.key_update(0)
        try:
            c.sock.flush()
        except BROKEN:
            raise Gone from None
        self.good(c, r)


def test_c65_upstream_floods_with_key_updates(stage, world):
    s = stage(Floods, {"tls": Context(server=True, version=TLS13, show=world.server)}, **world.upstream())
    with s.proxy.ends("upstream-lost"):
        c = s.client()
        c.start(structured=True)
        assert c.read(0, 512) in (wire.EIO, wire.ESHUTDOWN)
        c.expect_close()
    assert "new keys" in the_line(s.proxy, "upstream: ", "TLS: ")


@pytest.mark.timing
@pytest.mark.parametrize("length", [1 << 24, 200 << 10], ids=["16M", "200K"])
def test_c65_hello_that_is_too_long(stage, world, length):
    """What says that so much will follow is refused before it does, or held in little memory."""
    s = stage(listen=world.listen(), handshake_timeout="3s")
    before = s.proxy.process.rss()
    with s.proxy.ends("client-tls-failed"):
        c = s.client()
        c.greet()
        assert c.final(wire.STARTTLS) == wire.ACK
        said = b"\1" + struct.pack(">I", length - 1)[1:] + b"\3\3" + bytes(length)
        with contextlib.suppress(*BROKEN):
            for at in range(0, min(len(said), 1 << 20), 16384):
                c.send(b"\x16\3\1" + struct.pack(">H", 16384) + said[at:at + 16384].ljust(16384, b"\0"))
    assert s.proxy.process.rss() - before < 2 << 20
    assert the_line(s.proxy, "client: TLS: ")


# Stalls ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [0, 1, 5, 100, "hello", "all-but-one"])
@pytest.mark.parametrize("version", **both_versions)
def test_c70_client_stalls(stage, world, version, sent):
    """Its slot is free again after handshake-timeout, for all of the negotiation."""
    s = stage(listen=world.listen(), handshake_timeout="700ms")
    context = client_context(versions=(version, version))
    with s.proxy.ends("handshake-timeout"):
        c = s.client()
        c.greet()
        assert c.final(wire.STARTTLS) == wire.ACK
        c.sock = t = TlsSocket(c.sock, context)
        if isinstance(sent, int):
            t.sock.sendall(t.hello()[:sent])
        else:
            t.out(t.hello())
            while not t.engine.cipher():  # their flight is here, and our last one is ready
                t.incoming.write(t.sock.recv(1 << 16))
                try:
                    t.engine.do_handshake()
                except ssl.SSLWantReadError:
                    if version == TLS12:
                        break
            last = t.outgoing.read()
            if sent == "all-but-one":
                t.sock.sendall(last[:-1])
        begin = time.monotonic()
        c.sock = t.sock
        c.drain()
        assert time.monotonic() - begin < 3
    wait_idle(s.proxy, 1)
    assert not s.upstream.accepted


def test_c70_one_byte_after_the_other(stage, world):
    """Progress is none: the deadline is for all of it."""
    s = stage(listen=world.listen(), handshake_timeout="700ms")
    with s.proxy.ends("handshake-timeout"):
        c = s.client()
        c.greet()
        assert c.final(wire.STARTTLS) == wire.ACK
        left = TlsSocket(c.sock, world.client).hello()
        while left and c.silent(0.02):
            c.send(left[:1])
            left = left[1:]
        assert left, "its hello was long enough for all that time"
        c.expect_close()


def test_c70_stall_between_tls_and_go(stage, world):
    s = stage(listen=world.listen(), handshake_timeout="700ms")
    with s.proxy.ends("handshake-timeout"):
        c = s.client()
        c.greet()
        c.starttls(world.client)
        assert c.alive()
        c.expect_close(3)


def test_c70_stall_inside_a_record(stage, world):
    """io-timeout sees no message begun where the record with it is not complete: the client is idle."""
    s = stage(listen=world.listen(), io_timeout="500ms")
    c = s.client(tls=world.client)
    c.start()
    kept = []
    c.sock.out = kept.append
    c.request(wire.WRITE, 0, 512, payload=b"s" * 512)
    record = b"".join(kept)
    c.sock.sock.sendall(record[:100])
    time.sleep(1.2)
    c.sock.sock.sendall(record[100:])
    c.sock.out = c.sock.sock.sendall
    assert c.reply().error == 0
    c.disconnect()


def test_c70_stall_inside_a_write(stage, world):
    s = stage(listen=world.listen(), io_timeout="700ms")
    with s.proxy.ends("client-stalled"):
        c = s.client(tls=world.client)
        c.start()
        c.request(wire.WRITE, 0, 65536, payload=b"s" * 1000)
        c.expect_close(4)
    assert not s.upstream.requests(wire.WRITE)


class Stalls(ModelUpstream):
    """Says so much of its part of TLS, and no more."""
    most = 0

    def starttls(self, c):
        self.ack(c, wire.STARTTLS)
        c.starttls(self.tls, out=StopAt(c.sock, self.most))
        c.wait_closed()


class NoAck(ModelUpstream):
    def starttls(self, c):
        c.wait_closed()


@pytest.mark.parametrize("most", [0, 1, 5, 100, 400, 600])
@pytest.mark.parametrize("version", **both_versions)
def test_c70_upstream_stalls(stage, world, version, most):
    serving = server_context(world.server, versions=(version, version))
    s = stage(Stalls, {"tls": serving, "most": most}, **world.upstream(connect_timeout="700ms"))
    expect_late(s)


def test_c70_upstream_does_not_answer_starttls(stage, world):
    expect_late(stage(NoAck, {"tls": world.serving}, **world.upstream(connect_timeout="700ms")))


def expect_late(s):
    with s.proxy.ends("client-abort"):
        c = s.client()
        c.greet()
        begin = time.monotonic()
        assert c.final(wire.GO, wire.info_data("")) == wire.ERR_PLATFORM
        assert time.monotonic() - begin < 3
        assert c.alive()
        c.abort()
    line = the_line(s.proxy, "upstream: ")
    assert "TLS" in line and "connect-timeout" in line, line
    s.upstream.wait_no_connection()


# A crowd --------------------------------------------------------------------------------------


@contextlib.contextmanager
def many_files(n):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(n, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


CROWD = 1000
# All of their handshakes in one turn of the ring would be twice that.
LONGEST = 0.2


def hello_and_wait(address, context):
    """A client of the crowd: STARTTLS is said, its hello is ready."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(60)
    s.connect(address)
    s.sendall(struct.pack(">I", 3) + wire.option(wire.STARTTLS))
    return TlsSocket(s, context)


def let_them_come(address, context, watchers):
    """All hellos are ready before the first one is sent."""
    with many_files(4096), contextlib.ExitStack() as stack:
        crowd = []
        for _ in range(CROWD):
            crowd.append(stack.enter_context(contextlib.closing(
                hello_and_wait(address, context))))
        for t in crowd:
            greeting_and_ack = b""
            while len(greeting_and_ack) < 38:
                greeting_and_ack += t.sock.recv(38 - len(greeting_and_ack))
        hellos = [t.hello() for t in crowd]
        for t, hello in zip(crowd, hellos):
            t.out(hello)
        for w in watchers:
            w.served()
        for t in crowd:
            t.handshake()
            t.sendall(wire.option(wire.ABORT))
        for t in crowd:
            assert t.recv(20) == wire.option_reply(wire.ABORT, wire.ACK)


@pytest.mark.timing
def test_c70_a_thousand_handshakes_at_once(servers, start_proxy, world, bystander):
    """On the one worker whose other clients, with TLS and without, are served all the while."""
    proxy = start_proxy({"main": (servers.nbdkit("memory", "1M").uri, {}, world.listen("allow"))}, threads=1,
                        log_level="info", handshake_timeout="60s", files=8192)
    watchers = [bystander(proxy.address),
                bystander(proxy.address, offset=4096, tls=world.client)]
    waited = []
    while not waited or (waited[-1] > LONGEST and len(waited) < 3):  # others use this machine, too
        settle()
        for w in watchers:
            w.served()
            w.worst = 0
        let_them_come(proxy.address, world.client, watchers)
        waited.append(max(w.worst for w in watchers))
        wait_idle(proxy, 2, 30)
    assert waited[-1] <= LONGEST, f"the others waited {waited} s"
    assert proxy.endings() == {"client-abort": CROWD * len(waited)}
