# SPDX-License-Identifier: BSD-3-Clause
"""Wrong keys, names and expectations with real peers: who is refused, and what each side is told."""
import subprocess

import pytest

import tls_peers
from nbdtest.generations import MACHINE
from nbdtest.process import wait_until
from nbdtest.proxy import wait_idle
from tls_peers import Target

SIZE = 1 << 20


@pytest.fixture
def place(place_in):
    return place_in(MACHINE.number)


@pytest.fixture
def plain(place):
    return place.servers.nbdkit("memory", SIZE, log=True)


def refused(target, program="nbdinfo"):
    """What a client says when it fails."""
    if program == "qemu-img":
        argv = ["qemu-img", "info", *target.qemu_object, "--image-opts", target.qemu_options]
    else:
        argv = ["nbdinfo", "--size", target.uri]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=20)
    assert done.returncode, f"{argv} is served: {done.stdout}"
    assert done.stderr.strip()
    return done.stderr


def the_line(proxy, *words):
    """The one log line that tells the operator."""
    def found():
        return [line for line in proxy.lines("info") + proxy.lines("warn") + proxy.lines("error")
                if all(word in line for word in words)]
    (line,) = wait_until(found, 5, f"a line with {words} in the log:\n{proxy.log()[-3000:]}")
    return line


# Clients ------------------------------------------------------------------------------


@pytest.fixture
def listener(plain, start_proxy):
    """listener(keys of [listen]): a proxy with it; listens["main"] is in plaintext."""
    def make(settings):
        return start_proxy(plain.uri, tcp="127.0.0.1", listeners={"tls": {"upstream": "main", **settings}})
    return make


@pytest.mark.parametrize("program", ["nbdinfo", "qemu-img"])
def test_plaintext_client_of_a_listener_that_requires_tls(place, listener, keys, program):
    proxy = listener(keys("x509").of_listener())
    words = refused(Target(proxy.listens["tls"].address), program)
    assert "TLS" in words, words
    the_line(proxy, "client: ", "TLS")


@pytest.mark.parametrize("program", ["nbdinfo", "qemu-img"])
def test_tls_client_of_a_listener_without(place, listener, keys, program):
    proxy = listener(keys("x509").of_listener())
    words = refused(Target(proxy.address, "", keys("x509"), place=place), program)
    assert "TLS" in words, words
    the_line(proxy, "client: ", "TLS")


# What the listener has, what the client has, and what the log says. What each program says is GnuTLS's.
CLIENTS = {
    "no-certificate": ("x509", "bare", "showed no certificate"),
    "foreign-certificate": ("x509", "mixed", "showed no certificate"),  # none of the CAs we name
    "wrong-psk": ("psk", "wrong-psk", "the PSK user is alice"),
    "unknown-psk-user": ("psk", "unknown-psk", "mallory"),
    "certificates-to-psk": ("psk", "x509", "PSK"),
    "psk-to-certificates": ("x509", "psk", "during the handshake"),
}


@pytest.mark.parametrize("case,program", [
    (case, program) for case in CLIENTS for program in ("nbdinfo", "qemu-img")
    if (case, program) != ("foreign-certificate", "qemu-img")])  # it looks at its own ones itself
def test_client(place, listener, keys, case, program):
    ours, theirs, logged = CLIENTS[case]
    proxy = listener(keys(ours).of_listener())
    with proxy.ends("client-tls-failed"):
        refused(Target(proxy.listens["tls"].address, "", keys(theirs), place=place), program)
    assert logged in the_line(proxy, "client: TLS: ")


# libnbd breaks the handshake off without a word. qemu ends it, looks at us, and goes: just a client that has left.
@pytest.mark.parametrize("program,endings", [
    ("nbdinfo", {"client-tls-failed"}), ("qemu-img", {"client-left-early", "client-broken"})])
@pytest.mark.parametrize("ours", ["other", "elsewhere"])
def test_client_that_does_not_trust_us(place, listener, keys, ours, program, endings):
    proxy = listener(keys(ours).of_listener(tls_verify_peer="no"))
    words = refused(Target(proxy.listens["tls"].address, "", keys("bare"), place=place), program)
    wait_idle(proxy)
    assert len(proxy.endings()) == 1 and set(proxy.endings()) <= endings
    qemus = {"other": "known issuer", "elsewhere": "name"}[ours]
    assert (qemus if program == "qemu-img" else "Error in the certificate verification") in words, words


# Upstreams ------------------------------------------------------------------------------


# What the server has, what the proxy has, and what the log says. Servers that want a certificate in TLS 1.3,
# and those that know another PSK, go without a word: what is said is what may be the reason.
UPSTREAMS = {
    "foreign-ca": ("x509", "other", "was not signed by a CA in"),
    "foreign-name": ("elsewhere", "x509", "is not for 127.0.0.1 but for: storage.example"),
    "no-certificate-of-ours": ("x509", "bare", "client-cert.pem"),
    "foreign-certificate-of-ours": ("x509", "mixed", "client-cert.pem"),
    "wrong-psk": ("psk", "wrong-psk", "PSK"),
    "unknown-psk-user": ("psk", "unknown-psk", "PSK"),
}


REAL = ["nbdkit", "qemu-nbd", "nbd-server"]


@pytest.mark.parametrize("case,server", [
    (case, server) for case, (theirs, _, _) in UPSTREAMS.items() for server in REAL
    if f"{server}-{theirs}" not in tls_peers.CANNOT])
def test_upstream(place, start_proxy, keys, case, server):
    theirs, ours, logged = UPSTREAMS[case]
    upstream = tls_peers.start_server(place, server, keys(theirs))
    uri = tls_peers.upstream_uri(upstream, keys(ours))
    proxy = start_proxy({"main": (uri, keys(ours).of_upstream())}, tcp="127.0.0.1")
    refused(Target(proxy.address, upstream.export))
    line = the_line(proxy, "upstream: ", "TLS")
    assert logged in line and f"127.0.0.1:{upstream.address[1]}" in line, line


@pytest.mark.parametrize("server", REAL)
def test_upstream_without_tls(place, start_proxy, keys, server):
    """nbds:// never falls back."""
    if server == "nbdkit":
        upstream = place.servers.nbdkit("memory", SIZE, tcp="127.0.0.1")
    elif server == "qemu-nbd":
        upstream = place.servers.qemu_nbd(place.servers.file(SIZE), tcp="127.0.0.1")
    else:
        upstream = place.servers.nbd_server({"disk": place.servers.file(SIZE)}, tcp="127.0.0.1")
    proxy = start_proxy({"main": (tls_peers.upstream_uri(upstream, keys("x509")),
                                  keys("x509").of_upstream())}, tcp="127.0.0.1")
    refused(Target(proxy.address, upstream.export))
    assert "refuses STARTTLS" in the_line(proxy, "upstream: ", "TLS")


@pytest.mark.parametrize("server", REAL)
def test_upstream_that_requires_tls_of_a_plaintext_proxy(place, start_proxy, keys, server):
    upstream = tls_peers.start_server(place, server, keys("x509"))
    proxy = start_proxy(upstream.uri, tcp="127.0.0.1")
    refused(Target(proxy.address, upstream.export))
    assert "nbds://" in the_line(proxy, "upstream: ", "TLS")
