# SPDX-License-Identifier: BSD-3-Clause
"""Real clients through the proxy to every kind of upstream; the data is read back without it."""
import os

import pytest

from interop_helpers import stored
from nbdtest import paths
from nbdtest.data import file_bytes
from nbdtest.disks import run

SIZE = 16 << 20


def uri_of(proxy, upstream):
    return proxy.uri(upstream.export)


@pytest.mark.smoke
def test_nbdcopy_both_ways(upstream, start_proxy, image, folder):
    uri = uri_of(start_proxy(upstream.uri), upstream)
    run("nbdcopy", "--flush", image, uri)
    assert stored(upstream) == file_bytes(image)
    back = os.path.join(folder, "back")
    run("nbdcopy", uri, back)
    assert file_bytes(back) == file_bytes(image)


def test_nbdcopy_over_data(upstream, start_proxy, image):
    """Zeroes must be written where data was."""
    uri = uri_of(start_proxy(upstream.uri), upstream)
    run("qemu-io", "-f", "raw", "-c", f"write -q -P 0x77 0 {SIZE}", uri)
    run("nbdcopy", "--flush", image, uri)
    assert stored(upstream) == file_bytes(image)


def test_qemu_img_convert_and_compare(upstream, start_proxy, image, folder):
    uri = uri_of(start_proxy(upstream.uri), upstream)
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, uri)
    assert stored(upstream) == file_bytes(image)
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", image, uri)
    back = os.path.join(folder, "back.qcow2")
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, back)
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", image, back)


def test_qemu_io(upstream, start_proxy):
    uri = uri_of(start_proxy(upstream.uri), upstream)
    run("qemu-io", "-f", "raw", "-c", "write -q -P 1 0 4M", "-c", "write -q -z 1M 64k",
        "-c", "write -q -z -u 2M 64k", "-c", "write -q -f -P 2 3M 512", "-c", "flush",
        "-c", "read -q -P 0 1M 64k", "-c", "read -q -P 0 2M 64k", "-c", "read -q -P 2 3M 512",
        "-c", "read -q -P 1 1114112 512", "-c", "discard -q 8M 1M", uri)
    expected = bytearray(b"\1" * (4 << 20))
    expected[1 << 20:(1 << 20) + 65536] = expected[2 << 20:(2 << 20) + 65536] = bytes(65536)
    expected[3 << 20:(3 << 20) + 512] = b"\2" * 512
    assert stored(upstream)[:4 << 20] == expected


@pytest.mark.parametrize("flags", ["-z -n", "-z -n -u"])
def test_qemu_io_fast_zero(upstream, start_proxy, flags):
    """Zeroed, or refused and untouched: nothing else. Twice, since the first may measure."""
    uri = uri_of(start_proxy(upstream.uri), upstream)
    run("qemu-io", "-f", "raw", "-c", f"write -q -P 0x55 0 {SIZE}", uri)
    before = stored(upstream)
    for _ in range(2):
        said = run("qemu-io", "-f", "raw", "-c", f"write {flags} 1M 64k", uri, check=False)
        refused = "not supported" in said.lower()
        assert refused or "wrote 65536/65536" in said, said
        after = stored(upstream)
        if refused:
            assert after == before
        else:
            assert after[1 << 20:(1 << 20) + 65536] == bytes(65536)
        before = after
    assert before[:1 << 20] == b"\x55" * (1 << 20)
    assert before[(1 << 20) + 65536:] == b"\x55" * (SIZE - (1 << 20) - 65536)


def test_qcow2_over_nbd(upstream, start_proxy, image):
    """A guest's image whose file is the export: it allocates clusters with FAST_ZERO|NO_HOLE."""
    uri = uri_of(start_proxy(upstream.uri), upstream)
    run("qemu-img", "create", "-q", "-f", "qcow2", uri, "32M")
    commands = []
    for n in range(40):
        commands += ["-c", f"write -q -P {n + 1} {n * 128 * 1024 + 4096} 5000"]
    run("qemu-io", "-f", "qcow2", *commands, "-c", "flush", uri)
    checks = []
    for n in range(40):
        checks += ["-c", f"read -q -P {n + 1} {n * 128 * 1024 + 4096} 5000",
                   "-c", f"read -q -P 0 {n * 128 * 1024} 4096"]
    assert "verification failed" not in run("qemu-io", "-f", "qcow2", *checks, uri)
    assert "No errors" in run("qemu-img", "check", "-f", "qcow2", uri)
    assert "No errors" in run("qemu-img", "check", "-f", "qcow2", upstream.uri)


def test_fio_with_verify(upstream, start_proxy, folder):
    if not paths.find("fio"):
        pytest.skip("fio is not installed")
    if "nbd" not in run("fio", "--enghelp"):
        pytest.skip("this fio has no nbd engine")
    uri = uri_of(start_proxy(upstream.uri), upstream)
    run("fio", "--name=v", "--ioengine=nbd", f"--uri={uri}", "--rw=randwrite", "--size=8M",
        "--bsrange=4k-64k", "--iodepth=16", "--verify=crc32c", "--do_verify=1",
        "--verify_fatal=1", "--randseed=7", f"--aux-path={folder}", timeout=120)
