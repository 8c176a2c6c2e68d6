# SPDX-License-Identifier: BSD-3-Clause
"""nbdzero-probe on real servers and file systems. Where the truth is *fast*, one vote of three may be a noisy
*slow*; *fast* on a slow server never may."""
import pytest

from nbdtest.data import MIB, file_bytes, fill, pattern
from nbdtest.disks import loop_mounted, run, settle, tmpfs
from nbdtest.probe import probe


@pytest.fixture(params=["tmpfs", "ext4", "xfs"])
def disk(request, folder):
    """A folder on each kind of file system."""
    with tmpfs() if request.param == "tmpfs" else loop_mounted(request.param, folder) as where:
        yield where


@pytest.mark.timing
def test_probe_scenario_09_nbd_server_is_slow(servers, disk):
    data = pattern(48 * MIB)
    path = servers.file(data=data, folder=disk)
    upstream = servers.nbd_server({"disk": path})
    done = probe(upstream.uri, "--in-place")
    for no_hole in (False, True):
        assert done.verdict(16 * MIB, no_hole) == "slow", done.out
        assert done.verdict(65536, no_hole) == "slow"
    assert file_bytes(path) == data


@pytest.mark.timing
def test_probe_scenario_10_nbdkit_file_is_fast(servers, disk):
    votes, quiet = [], []
    for _ in range(6):
        if len(votes) == 3 or sum(votes) == 2:
            break
        path = servers.file(data=pattern(64 * MIB), folder=disk)
        upstream = servers.nbdkit("file", path)
        quiet.append(settle())
        done = probe(upstream.uri, "--in-place", "--no-hole", "no")
        assert file_bytes(path) == pattern(64 * MIB)
        # One whose larger sizes contradict it was disturbed: it says so, and has no vote.
        if not done.one()["contradicted_by"]:
            votes.append(done.verdict(16 * MIB) == "fast")
    if sum(votes) < 2 and not all(quiet):
        pytest.skip(f"measured {votes}, but others keep this machine busy: that says nothing")
    assert sum(votes) >= 2


@pytest.mark.timing
@pytest.mark.parametrize("fmt", ["raw", "qcow2"])
def test_probe_qemu_nbd(servers, folder, fmt):
    with loop_mounted("ext4", folder) as where:
        path = servers.file(64 * MIB if fmt == "raw" else 0, folder=where)
        if fmt == "qcow2":
            run("qemu-img", "create", "-q", "-f", "qcow2", path, "64M")
        upstream = servers.qemu_nbd(path, fmt)
        fill(upstream.uri, 64 * MIB)
        settle()
        done = probe(upstream.uri, "--in-place", "--no-hole", "no")
        assert done.json["export"]["upstream_advertised"]
        assert done.one()["verdict"] in ("fast", "slow")
        upstream.process.terminate()
        if fmt == "raw":
            assert file_bytes(path) == pattern(64 * MIB)
        else:
            run("qemu-img", "check", "-q", path)
            flat = servers.file(folder=where)
            run("qemu-img", "convert", "-O", "raw", path, flat)
            assert file_bytes(flat) == pattern(64 * MIB)
