# SPDX-License-Identifier: BSD-3-Clause
"""nbdzero-probe over TLS: measured as without, and never without where nbds was said."""
import pytest

from nbdtest.data import MIB, file_bytes, pattern
from nbdtest.probe import probe
from tls_keys import KeyRing

QUICK = ["--in-place", "--no-hole", "no"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return KeyRing(str(tmp_path_factory.mktemp("keys")))


@pytest.fixture
def secure(servers, keys):
    """secure(kind, *options): an nbdkit with TLS over a file of data, and that file."""
    def start(kind="x509", *options):
        path = servers.file(data=pattern(48 * MIB))
        folder = keys(kind).folder
        how = [f"--tls-psk={folder}/keys.psk"] if kind == "psk" else [f"--tls-certificates={folder}"]
        upstream = servers.nbdkit("file", path, filters=["log"], tcp="127.0.0.1",
                                  options=["--tls=require", *how, *options])
        return upstream, path
    return start


def secured(upstream, query, user=""):
    host, port = upstream.address
    return f"nbds://{user}{host}:{port}/?{query}"


def test_probe_measures_over_tls(secure, keys):
    upstream, path = secure()
    done = probe(secured(upstream, f"tls-certificates={keys('x509').folder}"), *QUICK)
    assert done.one()["levels"] and done.json["export"]["tls"]["version"] == "TLSv1.3"
    assert file_bytes(path) == pattern(48 * MIB)


def test_probe_measures_over_tls_with_psk(secure, keys):
    upstream, path = secure("psk")
    done = probe(secured(upstream, f"tls-psk-file={keys('psk').folder}/keys.psk", "alice@"), *QUICK)
    assert done.one()["levels"] and done.json["export"]["tls"]
    assert file_bytes(path) == pattern(48 * MIB)


@pytest.mark.parametrize("mine, says", [("other", "certificate"), (None, "certificate")],
                         ids=["another-authority", "system-trust"])
def test_probe_does_not_trust_everybody(secure, keys, mine, says):
    upstream, _ = secure()
    query = f"tls-certificates={keys(mine).folder}" if mine else ""
    done = probe(secured(upstream, query), *QUICK, code=1)
    assert says in done.err and "TLS" in done.err, done.err
    assert not upstream.requests()


def test_probe_never_falls_back(servers, keys):
    upstream = servers.nbdkit("memory", "64M", tcp="127.0.0.1", filters=["log"])
    done = probe(secured(upstream, f"tls-certificates={keys('x509').folder}"), *QUICK, code=1)
    assert "STARTTLS" in done.err, done.err
    assert not upstream.requests()


def test_probe_says_that_tls_is_wanted(secure):
    upstream, _ = secure()
    done = probe(upstream.uri, code=1)
    assert "say nbds: instead of nbd:" in done.err
