# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios of docs/zeroing.md on real file systems. Where the truth is *fast*, one vote of three may be
a noisy *slow*; *fast* on a slow server never may."""
import os
import time

import pytest

from interop_helpers import Asker, judge
from nbdtest.data import MIB, connected, fast_zero, file_bytes, pattern
from nbdtest.disks import loop_mounted, run, settle, tmpfs

MINUTE = float(os.environ.get("NBDTEST_MINUTE", "15"))


@pytest.fixture(params=["tmpfs", "ext4", "xfs"])
def disk(request, folder):
    """A folder on each kind of file system."""
    with tmpfs() if request.param == "tmpfs" else loop_mounted(request.param, folder) as where:
        yield where


def votes_fast(start_proxy, make_upstream):
    """Best of three, each with a new server and a new proxy, and itself the best of three requests."""
    votes, quiet = [], []
    while len(votes) < 3 and sum(votes) < 2:
        upstream = make_upstream()
        proxy = start_proxy(upstream.uri)
        answers = judge(proxy, upstream, length=32 * MIB, settle=lambda: quiet.append(settle()))
        votes.append(sum(answers) >= 2)
        proxy.stop()
    if sum(votes) < 2 and not all(quiet):
        pytest.skip(f"measured {votes}, but others keep this machine busy: that says nothing")
    return sum(votes) >= 2


@pytest.mark.timing
def test_scenario_09_nbd_server_is_slow(servers, start_proxy, disk):
    path = servers.file(48 * MIB, folder=disk)
    upstream = servers.nbd_server({"disk": path})
    proxy = start_proxy(upstream.uri)
    asker = Asker(proxy, upstream)
    assert [asker.ask(n)[0] for n in range(3)] == [False] * 3
    asker.check()
    assert file_bytes(path) == asker.data
    assert proxy.verdict(16 * MIB) != "fast"


@pytest.mark.timing
def test_scenario_09_small_no_hole_on_a_sparse_file(servers, start_proxy, folder):
    with loop_mounted("ext4", folder) as where:
        path = servers.file(256 * MIB, folder=where)
        upstream = servers.nbd_server({"disk": path})
        proxy = start_proxy(upstream.uri)
        end = time.monotonic() + MINUTE
        said_yes = 0
        n = 0
        with connected(proxy.uri("disk")) as h:
            while time.monotonic() < end:
                said_yes += fast_zero(h, 65536, n % 4096 * 65536, no_hole=True)
                n += 1
                time.sleep(0.002)
        assert said_yes <= 16, f"{said_yes} of {n}"
        assert proxy.verdict(65536, no_hole=True) != "fast"
        assert file_bytes(path).count(0) == 256 * MIB


@pytest.mark.timing
def test_scenario_10_nbdkit_file_is_fast(servers, start_proxy, disk):
    def upstream():
        return servers.nbdkit("file", servers.file(96 * MIB, folder=disk))
    assert votes_fast(start_proxy, upstream)


@pytest.mark.timing
@pytest.mark.parametrize("fmt", ["raw", "qcow2"])
def test_scenario_11_qemu_nbd_with_its_flag_hidden(servers, start_proxy, folder, fmt):
    with loop_mounted("ext4", folder) as where:
        def native():
            path = servers.file(96 * MIB if fmt == "raw" else 0, folder=where)
            if fmt == "qcow2":
                run("qemu-img", "create", "-q", "-f", "qcow2", path, "96M")
            return servers.qemu_nbd(path, fmt)

        def flag_hidden():
            return servers.nbdkit("nbd", f"uri={native().uri}", "zeromode=plugin",
                                  "fastzeromode=none", filters=["nozero"])
        own = native()
        with connected(own.uri) as h:
            h.pwrite(pattern(16 * MIB), 0)
            own_answer = fast_zero(h, 16 * MIB, 0)
        if own_answer:
            assert votes_fast(start_proxy, flag_hidden)
        else:
            upstream = flag_hidden()
            assert judge(start_proxy(upstream.uri), upstream) == [False] * 3


@pytest.mark.smoke
@pytest.mark.parametrize("kib", [100, 1000])
def test_scenario_12_native_qcow2_unaligned(servers, start_proxy, kib):
    image = servers.file()
    run("qemu-img", "create", "-q", "-f", "qcow2", image, "64M")
    upstream = servers.qemu_nbd(image, "qcow2")
    proxy = start_proxy(upstream.uri)
    data = pattern(4 * MIB)
    with connected(proxy.uri()) as h:
        h.pwrite(data, 0)
        assert not fast_zero(h, kib << 10, 0)
        assert bytes(h.pread(4 * MIB, 0)) == data
        assert fast_zero(h, MIB, MIB), "aligned, and the server's own answer is yes"
        assert bytes(h.pread(4 * MIB, 0)) == data[:MIB] + bytes(MIB) + data[2 * MIB:]


@pytest.mark.smoke
@pytest.mark.parametrize("mib", [65, 128, 130, 192])
def test_scenario_16_long_zero_on_nbd_server(servers, start_proxy, mib):
    with tmpfs() as where:
        path = servers.file(data=pattern(200 * MIB), folder=where)
        proxy = start_proxy(servers.nbd_server({"disk": path}).uri)
        with connected(proxy.uri("disk")) as h:
            h.zero(mib * MIB, MIB)
        assert file_bytes(path, 0, MIB) == pattern(MIB)
        for at in range(MIB, (mib + 1) * MIB, 8 * MIB):
            piece = file_bytes(path, at, min(8 * MIB, (mib + 1) * MIB - at))
            assert piece.count(0) == len(piece), f"data left at {at}"
        rest = file_bytes(path, (mib + 1) * MIB)
        assert rest == pattern(200 * MIB)[(mib + 1) * MIB:]


def test_scenario_16_long_zero_on_nbdkit_that_falls_back(servers, start_proxy, folder):
    """nbdkit's own fallback zeroes only 64 MiB of a longer request."""
    with tmpfs() as where:
        path = servers.file(data=pattern(160 * MIB), folder=where)
        upstream = servers.nbdkit(
            "eval", f"get_size=stat -c %s {path}",
            f"pread=dd if={path} skip=$4 count=$3 iflag=skip_bytes,count_bytes status=none",
            f"pwrite=dd of={path} seek=$4 oflag=seek_bytes conv=notrunc status=none",
            "can_write=exit 0", "can_zero=exit 0", "zero=echo EOPNOTSUPP >&2; exit 1",
            "can_flush=exit 0", "flush=exit 0")
        proxy = start_proxy(upstream.uri)
        with connected(proxy.uri()) as h:
            h.zero(128 * MIB, MIB)
        assert file_bytes(path, MIB, 128 * MIB).count(0) == 128 * MIB
        assert file_bytes(path, 129 * MIB, MIB) == pattern(MIB)


def allocate_200_clusters(servers, start_proxy, kind):
    """A guest that writes here and there: each cluster is blanked with 64 KiB of FAST_ZERO|NO_HOLE."""
    image = servers.file(64 * MIB)
    upstream = servers.nbd_server({"disk": image}) if kind == "nbd-server" else \
        servers.nbdkit("file", image)
    proxy = start_proxy(upstream.uri)
    uri = proxy.uri(upstream.export)
    run("qemu-img", "create", "-q", "-f", "qcow2", uri, "64M")
    before = proxy.fast_zero()["requests"]
    commands = []
    for n in range(200):
        commands += ["-c", f"write -q -P {n % 255 + 1} {n * 131072 + 8192} 1000"]
    run("qemu-io", "-f", "qcow2", *commands, uri)  # any error but ENOTSUP would fail the write
    assert proxy.fast_zero()["requests"] - before >= 100
    return proxy, uri


@pytest.mark.smoke
@pytest.mark.parametrize("kind", ["nbd-server", "nbdkit-file"])
def test_scenario_19_qcow2_allocates_200_clusters(servers, start_proxy, kind):
    _, uri = allocate_200_clusters(servers, start_proxy, kind)
    checks = []
    for n in range(200):
        checks += ["-c", f"read -q -P {n % 255 + 1} {n * 131072 + 8192} 1000",
                   "-c", f"read -q -P 0 {n * 131072 + 9192} 1000"]
    assert "failed" not in run("qemu-io", "-f", "qcow2", *checks, uri)
    assert "No errors" in run("qemu-img", "check", "-f", "qcow2", uri)


@pytest.mark.timing
def test_scenario_19_small_zeroes_of_nbd_server_are_not_fast(servers, start_proxy):
    proxy, _ = allocate_200_clusters(servers, start_proxy, "nbd-server")
    assert proxy.verdict(65536, no_hole=True) != "fast"
