# SPDX-License-Identifier: BSD-3-Clause
"""What `nbdzero-proxy --check` says of every mistake that operators make about TLS: one line with the place,
the file or key, and what to do."""
import os
import re
import shutil
import subprocess

import pytest

from nbdtest.paths import PROXY
from nbdtest.pki import Pki, openssl, read, write
from nbdtest.proxy import SANITIZER_ENV

# What is no mistake: the TLS keys of [listen] are from line 4 on, those of [upstream] from line 6.
LISTENER = """[listen main]
address = 127.0.0.1:10809
upstream = storage
{keys}
[upstream storage]
uri = nbd://127.0.0.1:10810
"""
UPSTREAM = """[listen main]
address = 127.0.0.1:10809
upstream = storage
[upstream storage]
uri = {uri}
{keys}
"""
REQUIRE = "tls = require\ntls-certificates = {d}"
VERIFY = f"{REQUIRE}\ntls-verify-peer = yes"
PSK = "tls = require\ntls-psk-file = {d}/keys.psk"
ALICE = "alice:000102030405060708090a0b0c0d0e0f"


class Files:
    """A directory without a fault, for a test to put one in."""

    def __init__(self, made, path):
        self.made = made
        self.path = str(path)
        shutil.copytree(made.folder, self.path)

    def __getitem__(self, name):
        return os.path.join(self.path, name)

    def lose(self, name):
        os.unlink(self[name])

    def text(self, name, text):
        write(self[name], text)

    def show(self, identity):
        """Another certificate and its key for the server."""
        shutil.copy(identity.cert, self["server-cert.pem"])
        shutil.copy(identity.key, self["server-key.pem"])


class Made:
    """Certificates for all tests of this file."""

    def __init__(self, folder):
        pki = Pki(folder)
        self.ca = pki.ca("CA")
        self.server, self.other, self.expired, self.early, self.ending = (
            self.ca.issue(name, san=["DNS:localhost"], **days) for name, days in (
                ("server", {}), ("other", {}), ("expired", {"not_before": -9, "not_after": -1}),
                ("early", {"not_before": 2, "not_after": 90}), ("ending", {"days": 5})))
        self.stranger = pki.self_signed("stranger", san=["DNS:localhost"])
        self.folder = pki.directory(ca=self.ca, server=self.server, client=self.other,
                                    crl=self.ca.crl())
        write(os.path.join(self.folder, "keys.psk"), f"{ALICE}\n")
        self.due = self.ca.crl(5)
        self.overdue = self.ca.crl(-1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("made"))


@pytest.fixture
def files(made, tmp_path):
    return Files(made, tmp_path / "tls")


@pytest.fixture
def check(files, tmp_path):
    """check(text): the exit code, and the lines of standard error without the file's path."""
    def run(text, prefix=()):
        conf = tmp_path / "t.conf"
        conf.write_text(text)
        done = subprocess.run([*prefix, PROXY, "--check", "-c", conf], capture_output=True, text=True,
                              timeout=30, check=False, stdin=subprocess.DEVNULL,
                              env=dict(os.environ, **SANITIZER_ENV))
        lines = done.stderr.splitlines()
        assert all(line.startswith(f"{conf}:") for line in lines), done.stderr
        fine = f"{conf}: fine: 1 listener, 1 upstream, 0 exports\n"
        assert done.stdout == ("" if done.returncode else fine)
        return done.returncode, [line[len(f"{conf}:"):].replace(f"{files.path}/", "") for line in lines]
    return run


def unprivileged():
    """root reads everything, unless it has lost the right to."""
    drop = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}"] if os.geteuid() == 0 else []


def encrypt_key(f):
    openssl("pkcs8", "-topk8", "-in", f.made.server.key, "-out", f["server-key.pem"], "-passout", "pass:x")


def two_users_of_one_name(f):
    f.text("keys.psk", f"{ALICE}\n\n{ALICE}\n")


# name: what is done to the directory; the keys; the line and what it says.
LISTENER_FAULTS = {
    "neither certificates nor keys": (None, "tls = require", (
        4, "tls = require needs tls-certificates = DIRECTORY or tls-psk-file = FILE")),
    "certificates, but TLS is off": (None, "tls-certificates = {d}", (
        4, "tls-certificates has no effect, for tls is off in [listen main]: tls = require would be right")),
    "no such directory": (None, "tls = require\ntls-certificates = {d}/gone", (
        5, "tls-certificates: cannot read gone: No such file or directory: a directory with "
           "server-cert.pem and server-key.pem would be right")),
    "no certificate": (lambda f: f.lose("server-cert.pem"), REQUIRE, (
        5, "tls-certificates: cannot read server-cert.pem: No such file or directory: it is what clients "
           "are shown")),
    "no key": (lambda f: f.lose("server-key.pem"), REQUIRE, (
        5, "tls-certificates: cannot read server-key.pem: No such file or directory: it is the key of "
           "server-cert.pem")),
    "key of another certificate": (
        lambda f: shutil.copy(f.made.other.key, f["server-key.pem"]), REQUIRE, (
            5, "tls-certificates: server-key.pem: this is not the key of the certificate in "
               "server-cert.pem")),
    "encrypted key": (encrypt_key, REQUIRE, (
        5, "server-key.pem: no usable private key in PEM form; it must not be encrypted")),
    "garbage for a certificate": (lambda f: f.text("server-cert.pem", "garbage\n"), REQUIRE, (
        5, "server-cert.pem: no usable certificate in PEM form")),
    "garbage for a key": (lambda f: f.text("server-key.pem", "garbage\n"), REQUIRE, (
        5, "server-key.pem: no usable private key in PEM form")),
    "certificate cut short": (
        lambda f: f.text("server-cert.pem", read(f["server-cert.pem"])[:300]), REQUIRE, (
            5, "server-cert.pem: no usable certificate in PEM form")),
    "no CA to verify with": (lambda f: f.lose("ca-cert.pem"), VERIFY, (
        5, "cannot read ca-cert.pem: No such file or directory: tls-verify-peer = yes verifies the "
           "certificates of clients with it")),
    "garbage for a CA": (lambda f: f.text("ca-cert.pem", ""), VERIFY, (
        5, "ca-cert.pem: no usable certificate in PEM form")),
    "garbage for a list": (lambda f: f.text("ca-crl.pem", "garbage\n"), VERIFY, (
        5, "ca-crl.pem: no usable revocation list in PEM form")),
    "verify-peer without certificates": (None, f"{PSK}\ntls-verify-peer = yes", (
        6, "tls-verify-peer = yes needs tls-certificates")),
    "names that nobody verifies": (None, f"{REQUIRE}\ntls-allow = alice", (
        6, "tls-allow needs tls-verify-peer = yes")),
    "names of nobody": (None, f"{VERIFY}\ntls-allow = ,", (7, "tls-allow names nobody")),
    "no PSK file": (lambda f: f.lose("keys.psk"), PSK, (
        5, "tls-psk-file: cannot read keys.psk: No such file or directory: psktool makes such a file")),
    "empty PSK file": (lambda f: f.text("keys.psk", ""), PSK, (
        5, "tls-psk-file: keys.psk: there is no user in it: psktool -u USER")),
    "PSK line without a key": (lambda f: f.text("keys.psk", f"{ALICE}\n# all\nbob\n"), PSK, (
        5, "tls-psk-file: keys.psk, line 3: expected user:hexkey, as psktool writes it")),
    "PSK that is no number": (lambda f: f.text("keys.psk", f"{ALICE}\nbob:{32 * 'g'}\n"), PSK, (
        5, "keys.psk, line 2: after ':' there must be a key of 16 to ")),
    "PSK that is too short": (lambda f: f.text("keys.psk", f"{ALICE}\nbob:0011\n"), PSK, (
        5, "keys.psk, line 2: after ':' there must be a key of 16 to ")),
    "two users of one name": (two_users_of_one_name, PSK, (
        5, "keys.psk: the users of lines 1 and 3 are the same: remove one")),
    "unknown cipher": (None, f"{REQUIRE}\ntls-ciphers = ROT13", (
        6, "tls-ciphers: OpenSSL knows no usable cipher in \"ROT13\"")),
    "unknown cipher of 1.3": (None, f"{REQUIRE}\ntls-ciphers = TLS_ROT13", (
        6, "tls-ciphers: OpenSSL does not know all of \"TLS_ROT13\"")),
    "ciphers that no PSK goes with": (None, f"{PSK}\ntls-ciphers = ECDHE-RSA-AES128-GCM-SHA256", (
        6, "tls-ciphers: no PSK cipher can be used")),
}

NBDS = "nbds://localhost"
CERTIFICATES = "tls-certificates = {d}"
KEYS = "tls-psk-file = {d}/keys.psk"
UPSTREAM_FAULTS = {
    "certificates, but no nbds": (None, "nbd://localhost", CERTIFICATES, (
        6, "tls-certificates has no effect, for the URI is one without TLS: nbds:// would be right")),
    "parameters, but no nbds": (None, "nbd://localhost?tls-hostname=a", "", (
        5, "tls-hostname has no effect, for the URI is one without TLS: nbds:// would be right")),
    "key and parameter differ": (None, f"{NBDS}?tls-hostname=a", "tls-hostname = b", (
        5, "the URI's tls-hostname differs from the key in line 6: keep one")),
    "no name for a socket": (None, "nbds+unix:///?socket=/run/s", CERTIFICATES, (
        5, "a Unix socket has no name that a certificate could be for: tls-hostname = NAME")),
    "no such directory": (None, NBDS, "tls-certificates = {d}/gone", (
        6, "tls-certificates: cannot read gone: No such file or directory: a directory with ca-cert.pem")),
    "no such directory in the URI": (None, f"{NBDS}?tls-certificates={{d}}/gone", "", (
        5, "tls-certificates: cannot read gone: No such file or directory")),
    "no CA": (lambda f: f.lose("ca-cert.pem"), NBDS, CERTIFICATES, (
        6, "cannot read ca-cert.pem: No such file or directory: the upstream's certificate is verified "
           "with it; without tls-certificates the system's certificates are trusted")),
    "certificate without a key": (lambda f: f.lose("client-key.pem"), NBDS, CERTIFICATES, (
        6, "client-key.pem: No such file or directory")),
    "key of another certificate": (
        lambda f: shutil.copy(f.made.server.key, f["client-key.pem"]), NBDS, CERTIFICATES, (
            6, "client-key.pem: this is not the key of the certificate in client-cert.pem")),
    "keys without a user": (None, NBDS, KEYS, (
        6, "tls-psk-file needs the user's name in the URI: nbds://USER@HOST")),
    "a user without keys": (None, "nbds://alice@localhost", "", (
        5, "the URI has a user, alice, and no key: tls-psk-file = FILE would be right")),
    "an unknown user": (None, "nbds://carol@localhost", KEYS, (
        6, "tls-psk-file: keys.psk: there is no user \"carol\" in it")),
    "keys and certificates": (None, "nbds://alice@localhost", f"{CERTIFICATES}\n{KEYS}", (
        6, "with a PSK nobody shows a certificate; keep one of them")),
    "unknown cipher": (None, NBDS, "tls-ciphers = ROT13", (
        6, "tls-ciphers: OpenSSL knows no usable cipher in \"ROT13\"")),
}


def by_name(table):
    return [pytest.param(*case, id=name) for name, case in table.items()]


def expect_fault(found, line, words):
    code, lines = found
    assert code == 78 and len(lines) == 1, found
    assert lines[0].startswith(f"{line}: ") and words in lines[0], lines[0]
    assert "warning" not in lines[0]


@pytest.mark.parametrize("spoil, keys, wanted", by_name(LISTENER_FAULTS))
def test_faults_of_listeners(check, files, spoil, keys, wanted):
    if spoil:
        spoil(files)
    expect_fault(check(LISTENER.format(keys=keys.format(d=files.path))), *wanted)


@pytest.mark.parametrize("spoil, uri, keys, wanted", by_name(UPSTREAM_FAULTS))
def test_faults_of_upstreams(check, files, spoil, uri, keys, wanted):
    if spoil:
        spoil(files)
    text = UPSTREAM.format(uri=uri.format(d=files.path), keys=keys.format(d=files.path))
    expect_fault(check(text), *wanted)


@pytest.mark.parametrize("name, keys", [("server-key.pem", REQUIRE), ("server-cert.pem", REQUIRE),
                                        ("ca-cert.pem", VERIFY), ("ca-crl.pem", VERIFY),
                                        ("keys.psk", PSK)])
def test_files_that_may_not_be_read(check, files, name, keys):
    os.chmod(files[name], 0)
    found = check(LISTENER.format(keys=keys.format(d=files.path)), unprivileged())
    expect_fault(found, 5, f"{name}: Permission denied")


def test_all_faults_at_once(check, files):
    files.lose("server-key.pem")
    files.lose("ca-cert.pem")
    files.text("keys.psk", "alice\n")
    code, lines = check(LISTENER.format(
        keys=f"{VERIFY}\ntls-psk-file = {{d}}/keys.psk\ntls-ciphers = ROT13".format(d=files.path)))
    assert code == 78 and len(lines) == 4, lines
    for line, words in zip(lines, ("5: .*server-key.pem: No such", "5: .*ca-cert.pem: No such",
                                   "7: .*keys.psk, line 1: expected", "8: .*ROT13")):
        assert re.match(words, line), line


WARNINGS = {
    "expired": (lambda f: f.show(f.made.expired), REQUIRE, 5,
                r"server-cert\.pem ended on \d{4}-\d\d-\d\d \d\d:\d\d UTC: connections fail until"),
    "not yet valid": (lambda f: f.show(f.made.early), REQUIRE, 5,
                      r"server-cert\.pem does not verify .*: certificate is not yet valid"),
    "ends in five days": (lambda f: f.show(f.made.ending), REQUIRE, 5,
                          r"server-cert\.pem ends on \d{4}-\d\d-\d\d \d\d:\d\d UTC: renew it"),
    "of another CA": (lambda f: f.show(f.made.stranger), REQUIRE, 5,
                      r"server-cert\.pem does not verify with ca-cert\.pem there"),
    "list due in five days": (lambda f: shutil.copy(f.made.due, f["ca-crl.pem"]), VERIFY, 5,
                              r"ca-crl\.pem is due again on \d{4}-\d\d-\d\d"),
    "list overdue": (lambda f: shutil.copy(f.made.overdue, f["ca-crl.pem"]), VERIFY, 5,
                     r"ca-crl\.pem was due again on \d{4}-\d\d-\d\d .*: connections fail until"),
    "plaintext is allowed": (None, "tls = allow\ntls-certificates = {d}", 4,
                             "lets clients do without TLS, and somebody in between may keep them in"),
}


@pytest.mark.parametrize("spoil, keys, line, wanted", by_name(WARNINGS))
def test_warnings_of_listeners(check, files, spoil, keys, line, wanted):
    if spoil:
        spoil(files)
    code, lines = check(LISTENER.format(keys=keys.format(d=files.path)))
    assert code == 0 and len(lines) == 1, lines
    assert lines[0].startswith(f"{line}: warning: [listen main]") and re.search(wanted, lines[0]), lines


def test_warning_of_an_upstream_that_is_not_verified(check):
    code, lines = check(UPSTREAM.format(uri=NBDS, keys="tls-verify-peer = no"))
    assert code == 0 and len(lines) == 1, lines
    assert lines[0].startswith("6: warning: [upstream storage] is not verified: somebody in between")


@pytest.mark.parametrize("keys", [REQUIRE, VERIFY, PSK, f"{VERIFY}\ntls-allow = alice *.example.org",
                                  f"{REQUIRE}\ntls-ciphers = TLS_AES_128_GCM_SHA256"])
def test_listeners_without_a_fault(check, files, keys):
    assert check(LISTENER.format(keys=keys.format(d=files.path))) == (0, [])


@pytest.mark.parametrize("uri, keys", [
    (NBDS, CERTIFICATES), (NBDS, ""), ("nbds://[::1]?tls-certificates={d}", ""),
    ("nbds://alice@localhost", KEYS), ("nbds+unix://alice@/?socket=/run/s", KEYS),
    ("nbds+unix:///?socket=/run/s", f"{CERTIFICATES}\ntls-hostname = localhost")])
def test_upstreams_without_a_fault(check, files, uri, keys):
    text = UPSTREAM.format(uri=uri.format(d=files.path), keys=keys.format(d=files.path))
    assert check(text) == (0, [])


def test_expiry_is_logged_at_start_as_an_error(files, start_proxy):
    """Two levels: what does not work even now is an error, what will not work is a warning."""
    later = f"{files.path}/later"
    shutil.copytree(files.made.folder, later)
    files.show(files.made.expired)
    for name, path in (("cert", files.made.ending.cert), ("key", files.made.ending.key)):
        shutil.copy(path, f"{later}/server-{name}.pem")
    proxy = start_proxy({name: ("nbd://localhost:9", {}, {"tls": "require", "tls-certificates": path})
                         for name, path in (("a", files.path), ("b", later))})
    assert re.search(r"\[listen a\]: .*server-cert\.pem ended on ", "\n".join(proxy.lines("error")))
    assert re.search(r"\[listen b\]: .*server-cert\.pem ends on ", "\n".join(proxy.lines("warn")))
    ends = {row["owner"]: row["not_after"] for row in proxy.json()["certificates"]}
    assert set(ends) == {"listen a", "listen b"} and ends["listen a"] < ends["listen b"]
