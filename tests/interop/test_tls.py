# SPDX-License-Identifier: BSD-3-Clause
"""What people do with TLS before the proxy, behind it, or both; contents are read from the file behind."""
import contextlib
import json
import os
import subprocess

import pytest

import tls_peers
from interop_helpers import Asker, received
from matrix_tls import ask_libnbd, check_client_spoke
from nbdtest import wire
from nbdtest.data import MIB, connected, file_bytes, pattern
from nbdtest.disks import run
from nbdtest.generations import GENERATIONS, MACHINE
from tls_peers import Target

SIZE = 16 * MIB
TIB = 1 << 40


@pytest.fixture
def place(place_in):
    return place_in(MACHINE.number)


@pytest.fixture
def both_sides(place, start_proxy):
    """both_sides(server, keys, ...): a proxy that speaks TLS with its upstream and with its clients, and what a
    client in the place `at` is told of it."""
    def make(server, keys, at=None, tcp="127.0.0.1", hostname=None, **settings):
        upstream = tls_peers.upstream_uri(server, keys), keys.of_upstream()
        if isinstance(server.address, str) and keys.kind == "x509":
            upstream[1]["tls_hostname"] = "localhost"
        listeners = {"tls": {"upstream": "main", **keys.of_listener()}}
        proxy = start_proxy({"main": upstream}, tcp=tcp, listeners=listeners, **settings)
        return proxy, Target(proxy.listens["tls"].address, server.export, keys, place=at or place,
                             hostname=hostname)
    return make


@pytest.fixture
def image(place):
    """Half of it zeroes."""
    data = bytearray(pattern(SIZE, 5))
    data[2 * MIB:10 * MIB] = bytes(8 * MIB)
    return place.servers.file(data=bytes(data))


def nbdkit(place, keys, *plugin, filters=("log",), tcp="127.0.0.1", backing=None):
    return place.servers.nbdkit(*plugin, filters=filters, tcp=tcp, options=keys.nbdkit_options(),
                                backing=backing)


def nbdkit_file(place, keys, **kwargs):
    path = place.servers.file(data=b"\x77" * SIZE)
    return nbdkit(place, keys, "file", path, backing=path, **kwargs)


def hidden_costs(place, keys, size="64M", longest_zero="2G"):
    """A request costs 2 ms, whatever it is; a write is one for each 64 KiB."""
    return nbdkit(place, keys, "memory", size, "zeromode=plugin", "fastzeromode=none", "maxdata=64K",
                  f"maxlen={longest_zero}", "delay-write=2ms", "delay-zero=2ms",
                  filters=["log", "nozero", "blocksize", "delay"])


# Copies -------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("kind", tls_peers.KINDS)
def test_nbdcopy_over_four_connections(place, both_sides, keys, image, kind):
    server = nbdkit_file(place, keys(kind))
    proxy, target = both_sides(server, keys(kind))
    place.run("nbdcopy", "--connections=4", "--threads=4", "--flush", image, target.uri)
    assert file_bytes(server.backing) == file_bytes(image)
    assert len([line for line in proxy.lines("debug") if "client: TLS is up" in line]) >= 4
    check_client_spoke(proxy, "1.3", keys(kind).user)
    assert server.requests("Zero"), "zeroes came as zeroes, not as data"
    place.run("nbdcopy", "--connections=4", "--threads=4", target.uri, place.path("back"))
    assert file_bytes(place.path("back")) == file_bytes(image)
    assert proxy.export()["commands"]["read"]["bytes"] < SIZE, "holes are known by block status"


@pytest.mark.timing
def test_target_is_blanked_fast_and_then_copied_to(place, both_sides, keys, image):
    """What the flag is for: one fast zero of everything, and then only data."""
    server = hidden_costs(place, keys("x509"), SIZE)
    proxy, target = both_sides(server, keys("x509"))
    direct = Target(server.address, "", keys("x509"), place=place)
    blank = ["qemu-io", *target.qemu_object, "--image-opts", "-c", f"write -z -n 0 {SIZE}",
             target.qemu_options]
    place.run("qemu-io", *target.qemu_object, "--image-opts", "-c", f"write -q -P 7 0 {SIZE}",
              target.qemu_options)
    asked = 1
    while not place.run(*blank, check=False).startswith("wrote"):  # a measurement may be disturbed
        asked += 1
        assert asked < 8, proxy.export()["probes"]
    assert proxy.fast_zero()["requests"] == asked
    place.run("qemu-io", *target.qemu_object, "--image-opts", "-c", f"read -q -P 0 0 {SIZE}",
              direct.qemu_options)
    place.run("qemu-img", "convert", *target.qemu_object, "-n", "--target-is-zero",
              "--target-image-opts", "-f", "raw", image, target.qemu_options)
    for there in direct, target:
        assert "identical" in place.run(
            "qemu-img", "compare", *target.qemu_object, "--image-opts",
            f"driver=raw,file.driver=file,file.filename={image}", there.qemu_options)
    assert proxy.export()["commands"]["write"]["bytes"] < 2 * SIZE


def test_qcow2_of_a_guest(place, both_sides, keys):
    """A guest's image whose file is the export: clusters come with FAST_ZERO|NO_HOLE."""
    path = place.servers.file()
    place.run("qemu-img", "create", "-q", "-f", "qcow2", path, "12M")
    os.truncate(path, SIZE)
    server = nbdkit(place, keys("psk"), "file", path)
    proxy, target = both_sides(server, keys("psk"))
    options = target.qemu_options.replace("driver=raw", "driver=qcow2", 1)
    commands = [f"write -q -P {n + 1} {n * 128 * 1024 + 4096} 5000" for n in range(40)]
    commands += [f"read -q -P {n + 1} {n * 128 * 1024 + 4096} 5000" for n in range(40)]
    commands += [f"read -q -P 0 {n * 128 * 1024} 4096" for n in range(40)]
    said = place.run("qemu-io", *target.qemu_object, "--image-opts",
                     *(word for c in commands for word in ("-c", c)), options)
    assert "failed" not in said, said
    assert "No errors" in place.run("qemu-img", "check", "-f", "qcow2", path)
    assert proxy.fast_zero()["requests"] >= 40


def test_fio_writes_and_verifies(place, both_sides, keys):
    server = nbdkit_file(place, keys("x509"))
    proxy, target = both_sides(server, keys("x509"))
    target = Target(target.address, "", keys("x509"), place=place, at_home=True)
    argv = target.by_libnbd(
        "fio", "--name=v", "--ioengine=nbd", f"--uri={target.uri}", "--rw=randwrite",
        f"--size={SIZE}", "--bsrange=4k-1m", "--iodepth=32", "--verify=crc32c", "--do_verify=1",
        "--verify_fatal=1", "--verify_state_save=0", "--randseed=3", f"--aux-path={target.home}")
    place.run(*argv, timeout=100)
    commands = proxy.export()["commands"]
    assert commands["write"]["bytes"] >= SIZE and commands["read"]["bytes"] >= SIZE
    assert b"\x77" * 4096 not in file_bytes(server.backing)


# What the proxy is for -----------------------------------------------------------------


@pytest.mark.parametrize("speed", [pytest.param("fast", marks=pytest.mark.timing), "slow"])
def test_fast_zero_is_answered_truthfully(place, both_sides, keys, speed):
    """Records cost writes more than zeroes: what is told is the truth about the server all the same."""
    server = hidden_costs(place, keys("x509"), longest_zero="2G" if speed == "fast" else "64K")
    proxy, target = both_sides(server, keys("x509"))

    class Secure:  # what an Asker asks for an address
        @staticmethod
        def uri(_export):
            return target.uri
    asker = Asker(Secure, server, ranges=4)
    answers = [asker.ask(n)[0] for n in range(4)]
    asker.check()
    assert any(answers) == (speed == "fast"), f"{answers}: {proxy.export()['probes']}"


def test_block_status_is_the_direct_one(place, both_sides, keys):
    path = place.servers.file(64 * MIB, pattern(MIB))
    with open(path, "r+b") as f:
        f.seek(40 * MIB)
        f.write(pattern(MIB))
    server = nbdkit(place, keys("x509"), "file", path)
    _, target = both_sides(server, keys("x509"))
    direct = Target(server.address, "", keys("x509"), place=place)
    shown = place.run("nbdinfo", "--map", target.uri)
    assert len(shown.splitlines()) >= 4
    assert shown == place.run("nbdinfo", "--map", direct.uri)
    facts = json.loads(place.run("nbdinfo", "--json", target.uri))
    assert facts["TLS"] and facts["structured"]


@pytest.mark.skipif(13 not in GENERATIONS, reason="Debian 13 is not here: test_matrix.py says why")
def test_extended_headers_on_both_sides(place_in, both_sides, keys):
    """qemu 10 zeroes a terabyte in requests of nearly 2 GiB, through TLS and TLS."""
    place = place_in(13)
    there = keys("x509").copied(place)
    server = place.servers.qemu_nbd(
        place.servers.file(TIB), tcp="127.0.0.1",
        options=["--discard=unmap", "-T", "nbd_receive_request", *there.qemu_object("server"),
                 "--tls-creds", "tls0"])
    proxy, target = both_sides(server, keys("x509"), at=place, max_zero="2G")
    assert ask_libnbd(place, target)["extended"]
    source = place.servers.file(TIB, pattern(MIB))
    place.run("qemu-img", "convert", *target.qemu_object, "-n", "--target-image-opts", "-f", "raw", source,
              target.qemu_options, timeout=100)
    zeroes = proxy.export()["commands"]["write_zeroes"]
    assert zeroes["errors"] == 0 and zeroes["bytes"] // zeroes["count"] > 1 << 30, zeroes
    sent = received(server, wire.WRITE_ZEROES)
    assert {magic for magic, _, _ in sent} == {wire.EXTENDED_REQUEST}
    assert file_bytes(server.backing, 0, MIB) == pattern(MIB)


def test_several_connections_are_one_export(place, both_sides, keys):
    server = nbdkit_file(place, keys("x509"))
    proxy, target = both_sides(server, keys("x509"), threads=2)
    with contextlib.ExitStack() as stack:
        handles = [stack.enter_context(connected(target.uri)) for _ in range(4)]
        assert all(h.can_multi_conn() for h in handles)
        for n, h in enumerate(handles):
            h.pwrite(pattern(MIB, n), n * MIB)
        handles[0].flush()
        for n, h in enumerate(handles):
            assert bytes(h.pread(MIB, (n + 1) % 4 * MIB)) == pattern(MIB, (n + 1) % 4)
        rows = proxy.json()["connections"]
        assert [row["tls"]["peer"] for row in rows] == ["alice"] * 4
        assert all(row["tls"]["version"] == row["upstream_tls"]["version"] == "TLSv1.3" for row in rows)
    assert file_bytes(server.backing, 0, 4 * MIB) == b"".join(pattern(MIB, n) for n in range(4))


# Addresses and names ------------------------------------------------------------------


@pytest.mark.parametrize("kind", tls_peers.KINDS)
def test_unix_sockets_on_both_sides(place, both_sides, keys, kind):
    """Certificates need a name to be told; with a PSK there is none to verify."""
    server = nbdkit_file(place, keys(kind), tcp=None)
    hostname = "localhost" if kind == "x509" else None
    _, target = both_sides(server, keys(kind), tcp=None, hostname=hostname)
    place.run("qemu-io", *target.qemu_object, "--image-opts", "-c", "write -q -P 9 1M 1M",
              target.qemu_options)
    assert file_bytes(server.backing, MIB, MIB) == b"\x09" * MIB
    assert place.run("nbdinfo", "--size", target.uri).strip() == str(SIZE)


def test_name_that_is_not_the_address(place, start_proxy, keys):
    """tls-hostname, on both sides: certificates are for storage.example, wherever it is reached."""
    elsewhere = keys("elsewhere")
    server = nbdkit_file(place, elsewhere)
    proxy = start_proxy({"main": (tls_peers.upstream_uri(server, elsewhere),
                                  elsewhere.of_upstream(tls_hostname="storage.example"))},
                        tcp="127.0.0.1",
                        listeners={"tls": {"upstream": "main", **elsewhere.of_listener()}})
    target = Target(proxy.listens["tls"].address, "", elsewhere, place=place, hostname="storage.example")
    place.run("qemu-io", *target.qemu_object, "--image-opts", "-c", "write -q -P 9 1M 1M",
              target.qemu_options)
    assert file_bytes(server.backing, MIB, MIB) == b"\x09" * MIB


def test_upstream_keys_in_the_uri(place, start_proxy, keys):
    """An NBD URI as nbdinfo takes it is one that the proxy takes."""
    for kind in tls_peers.KINDS:
        server = nbdkit_file(place, keys(kind))
        uri = Target(server.address, "", keys(kind), place=place).uri
        assert run("nbdinfo", "--size", uri).strip() == str(SIZE)
        assert run("nbdinfo", "--size", start_proxy(uri).uri()).strip() == str(SIZE)


def test_allow_serves_both(place, start_proxy, keys):
    """One listener while clients are moved over; its upstream, nbdkit --tls=on, does the same."""
    server = tls_peers.start_server(place, "nbdkit-on", keys("psk"), size=SIZE)
    proxy = start_proxy({"main": (server.uri, {})}, tcp="127.0.0.1", listeners={
        "tls": {"upstream": "main", **keys("psk").of_listener(tls="allow")}})
    address = proxy.listens["tls"].address
    secret = Target(address, "", keys("psk"), place=place)
    for target, tls in (Target(address), False), (secret, True):
        assert json.loads(place.run("nbdinfo", "--json", target.uri))["TLS"] == tls


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_ciphers_of_ours(place, start_proxy, keys, version):
    """tls-ciphers restricts the version, too: GnuTLS on both sides follows."""
    ciphers = {"1.2": "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256",
               "1.3": "TLS_AES_128_GCM_SHA256"}[version]
    k = keys("x509")
    server = tls_peers.start_server(place, "qemu-nbd", k, size=SIZE)
    proxy = start_proxy({"main": (tls_peers.upstream_uri(server, k), k.of_upstream(tls_ciphers=ciphers))},
                        tcp="127.0.0.1", listeners={
                            "tls": {"upstream": "main", **k.of_listener(tls_ciphers=ciphers)}})
    target = Target(proxy.listens["tls"].address, "", k, place=place)
    with connected(target.uri):
        (row,) = proxy.json()["connections"]
        for side in "tls", "upstream_tls":
            assert row[side]["version"] == f"TLSv{version}", row
            assert row[side]["cipher"] in ciphers.split(":"), row


def test_farewell_to_a_client_that_waits_for_it(place, both_sides, keys):
    """libnbd 1.6 takes an end of TLS without close_notify for an error, even after its own DISC."""
    server = nbdkit_file(place, keys("psk"))
    _, target = both_sides(server, keys("psk"))
    done = subprocess.run(["nbdinfo", "--size", target.uri], check=True, capture_output=True, text=True,
                          timeout=20, env=dict(os.environ, GNUTLS_DEBUG_LEVEL="5"))
    assert "Close notify - was received" in done.stderr, done.stderr[-2000:]
