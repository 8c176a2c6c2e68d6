# SPDX-License-Identifier: BSD-3-Clause
"""Extended headers: qemu 10 and libnbd 1.22 of Debian 13, both sides of the proxy, 64 bits long."""
import json
import re

import pytest

import matrix
from interop_helpers import received
from nbdtest import wire
from nbdtest.data import MIB, file_bytes, pattern
from nbdtest.generations import GENERATIONS, MACHINE

if 13 not in GENERATIONS:
    pytest.skip("Debian 13 is not here: test_matrix.py says why", allow_module_level=True)

GIB = 1 << 30
TIB = 1 << 40
SPARSE = 6 * TIB


@pytest.fixture
def place(place_in):
    return place_in(13)


@pytest.fixture
def cell(place, start_proxy):
    """cell(upstream, **keys): a proxy before it, and the client of Debian 13."""
    def make(upstream, **keys):
        return matrix.Cell(upstream, start_proxy(upstream.uri, at=place.folder, **keys), place)
    return make


def sparse_qemu(place, size=SPARSE):
    """A file with some data, of which zeroes make holes again."""
    image = place.servers.file(size)
    with open(image, "r+b") as f:
        for offset in (0, 5 * GIB, size - MIB):
            f.seek(offset)
            f.write(pattern(MIB))
    return place.servers.qemu_nbd(image, options=["--discard=unmap", "-T", "nbd_receive_request"])


def test_whole_export_zeroed_in_one_request_upstream_extended(place, cell):
    upstream = sparse_qemu(place)
    c = cell(upstream, max_zero="1G", fast_zero="off")
    assert c.libnbd("facts", upstream.uri)["extended"], "this upstream is the extended one"
    assert c.libnbd("facts", c.uri)["extended"]
    assert c.libnbd("zero", c.uri, 0, SPARSE) is None
    zeroes = c.proxy.export()["commands"]["write_zeroes"]
    assert (zeroes["count"], zeroes["bytes"], zeroes["errors"]) == (1, SPARSE, 0)
    pieces = received(upstream, wire.WRITE_ZEROES)
    assert sorted(pieces) == [(wire.EXTENDED_REQUEST, n * GIB, GIB) for n in range(SPARSE // GIB)]
    for offset in (0, 5 * GIB, SPARSE - MIB):
        assert file_bytes(upstream.backing, offset, MIB) == bytes(MIB)


def test_whole_export_zeroed_in_one_request_upstream_compact(place, cell):
    """Split into pieces of 32 bits, several of them on their way at a time, and no more than may be."""
    upstream = place.servers.nbdkit("memory", SPARSE, log=True)
    for offset in (0, 5 * GIB, SPARSE - MIB):
        place.run("qemu-io", "-f", "raw", "-c", f"write -q -P 9 {offset} 1M", upstream.uri)
    c = cell(upstream, max_zero="1G", fast_zero="off")
    assert not c.libnbd("facts", upstream.uri)["extended"]
    assert c.libnbd("facts", c.uri)["extended"]
    assert c.libnbd("zero", c.uri, 0, SPARSE) is None
    zeroes = c.proxy.export()["commands"]["write_zeroes"]
    assert (zeroes["count"], zeroes["bytes"], zeroes["errors"]) == (1, SPARSE, 0)
    pieces, most = zero_pieces(upstream)
    assert sorted(pieces) == [(n * GIB, GIB) for n in range(SPARSE // GIB)]
    assert 1 < most <= 128, f"{most} pieces at a time"
    assert c.libnbd("status", upstream.uri) == {"base:allocation": [[SPARSE, 3]]}
    for offset in (0, 5 * GIB, SPARSE - MIB):
        place.run("qemu-io", "-f", "raw", "-r", "-c", f"read -q -P 0 {offset} 1M", upstream.uri)


def zero_pieces(upstream):
    """[(offset, length), ...] of the zeroes in nbdkit's log, and how many were served at one time."""
    pieces, now, most = [], 0, 0
    with open(upstream.log_file, encoding="utf-8") as f:
        for line in f:
            begun = re.search(r" Zero id=\d+ offset=(0x[0-9a-f]+) count=(0x[0-9a-f]+)", line)
            if begun:
                pieces.append((int(begun[1], 16), int(begun[2], 16)))
                now += 1
                most = max(most, now)
            elif "...Zero " in line:
                now -= 1
    return pieces, most


@pytest.mark.smoke
def test_zero_of_more_than_4_gib_at_an_odd_place(place, cell):
    """Neither end is a multiple of anything, and what is beside stays."""
    size = 6 * GIB
    backing = place.servers.file(size)
    upstream = place.servers.nbdkit("file", backing, log=True)
    begin, length = 777, 5 * GIB + 4321
    with open(backing, "r+b") as f:
        for offset in (0, 4 * GIB - 512, begin + length - 512):
            f.seek(offset)
            f.write(pattern(1024))
    c = cell(upstream)
    assert c.libnbd("zero", c.uri, begin, length) is None
    assert file_bytes(backing, 0, 1024) == pattern(1024)[:begin] + bytes(1024 - begin)
    assert file_bytes(backing, 4 * GIB - 512, 1024) == bytes(1024)
    assert file_bytes(backing, begin + length - 512, 1024) == bytes(512) + pattern(1024)[512:]
    pieces, _ = zero_pieces(upstream)  # perhaps some twice: it may have been measured
    assert min(at for at, _ in pieces) == begin
    assert max(at + n for at, n in pieces) == begin + length
    assert sum(n for _, n in pieces) >= length


@pytest.mark.parametrize("kind", ["extended", "compact"])
def test_block_status_64_over_more_than_4_gib(place, cell, kind):
    if kind == "extended":
        upstream = sparse_qemu(place)
    else:
        upstream = place.servers.nbdkit("memory", 64 * GIB)
        place.run("qemu-io", "-f", "raw", "-c", "write -q -P 9 5G 1M", upstream.uri)
    c = cell(upstream)
    direct = c.libnbd("status", upstream.uri)
    assert any(length > 4 * GIB for length, _ in direct["base:allocation"])
    assert c.libnbd("status", c.uri) == direct
    if kind == "extended":  # in one answer, as upstream gives it
        assert max(n for n, _ in c.libnbd("extents", c.uri, 0, SPARSE)) > 4 * GIB
        assert c.libnbd("extents", c.uri, 0, SPARSE) == c.libnbd("extents", upstream.uri, 0, SPARSE)
    assert c.run("nbdinfo", "--map", c.uri) == c.run("nbdinfo", "--map", upstream.uri)


@pytest.mark.parametrize("client", [13, MACHINE.number])
def test_qemu_img_map_equals_the_direct_one(place, place_in, cell, client):
    upstream = sparse_qemu(place)
    c = cell(upstream)
    shown = place_in(client, beside=place).run
    direct = shown("qemu-img", "map", "--output=json", "-f", "raw", upstream.uri)
    assert sum(e["length"] for e in json.loads(direct)) == SPARSE
    assert shown("qemu-img", "map", "--output=json", "-f", "raw", c.uri) == direct


@pytest.mark.parametrize("client", [13, MACHINE.number])
@pytest.mark.parametrize("server", [13, MACHINE.number])
def test_several_contexts_equal_the_direct_ones(place_in, start_proxy, client, server):
    """base:allocation, depth and a dirty bitmap at once, all pairs of formats."""
    place = place_in(13)
    beside = place_in(server, beside=place)
    base, image = place.servers.file(data=pattern(4 * MIB)), place.path("top.qcow2")
    beside.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", image, "8M")
    beside.run("qemu-img", "bitmap", "--add", image, "b0")
    beside.run("qemu-io", "-f", "qcow2", "-c", "write -q 1M 1M", "-c", "write -q -z 3M 1M", image)
    upstream = beside.servers.qemu_nbd(image, "qcow2", options=["-A", "-B", "b0"])
    c = matrix.Cell(upstream, start_proxy(upstream.uri, at=place.folder), place_in(client, beside=place))
    contexts = ["base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:b0"]
    direct = c.libnbd("status", upstream.uri, *contexts)
    assert sorted(direct) == sorted(contexts)
    assert all(len(extents) > 1 for extents in direct.values()), direct
    assert c.libnbd("status", c.uri, *contexts) == direct


def test_sparse_terabyte_is_copied_by_qemu_img(place, cell):
    """With extended headers qemu 10 sends zeroes of any length: here of nearly 2 GiB, not of 32 MiB."""
    source = place.servers.file(TIB, pattern(MIB))
    c = cell(place.servers.nbdkit("memory", TIB), max_zero="2G")
    place.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, c.uri, timeout=100)
    zeroes = c.proxy.export()["commands"]["write_zeroes"]
    assert zeroes["errors"] == 0
    assert zeroes["bytes"] >= TIB - 64 * MIB
    assert zeroes["bytes"] // zeroes["count"] > GIB, zeroes
    place.run("qemu-io", "-f", "raw", "-r", "-c", "read -q -P 0 1M 1M", c.uri)
    assert "identical" in place.run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, c.uri)


def test_nbdcopy_of_a_sparse_terabyte_reads_only_the_data(place, cell):
    upstream = sparse_qemu(place, TIB)
    c = cell(upstream)
    place.run("nbdcopy", c.uri, place.path("copy"), timeout=100)
    reads = c.proxy.export()["commands"]["read"]
    assert 3 * MIB <= reads["bytes"] <= 64 * MIB
    for offset in (0, 5 * GIB, TIB - MIB):
        assert file_bytes(place.path("copy"), offset, MIB) == pattern(MIB)
