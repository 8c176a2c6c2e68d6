# SPDX-License-Identifier: BSD-3-Clause
"""block-size = repair over a server that accepts whole 4 KiB blocks only: clients that know nothing of
block sizes read and write what they like."""
import os
import random
import threading

import nbd
import pytest

from nbdtest.data import connected, error_of, file_bytes, pattern, read_all
from nbdtest.disks import run

BLOCK = 4096
SIZE = 8 << 20
POLICY = ["blocksize-minimum=4096", "blocksize-preferred=4096", "blocksize-maximum=32M",
          "blocksize-error-policy=error"]


@pytest.fixture
def blocks(servers):
    """nbdkit that answers EINVAL to what is not aligned, and logs what it gets."""
    def start(size=SIZE, data=None):
        image = servers.file(size, data=pattern(size, 3) if data is None else data)
        return servers.nbdkit("file", image, *POLICY, filters=["log", "blocksize-policy"],
                              log=True, backing=image)
    return start


class Plain:
    """A libnbd client that did not ask for block sizes."""

    def __init__(self, uri, contexts=()):
        self.h = nbd.NBD()
        self.h.set_request_block_size(False)
        self.h.set_strict_mode(0)
        for context in contexts:
            self.h.add_meta_context(context)
        self.h.connect_uri(uri)

    def __enter__(self):
        return self.h

    def __exit__(self, *_):
        self.h.shutdown()


def check_aligned(server):
    """Nothing unaligned ever arrived upstream."""
    for line in server.requests():
        fields = dict(f.split("=") for f in line.split()[1:] if "=" in f)
        if "offset" in fields:
            assert int(fields["offset"], 16) % BLOCK == 0, line
            assert int(fields["count"], 16) % BLOCK == 0, line


def exercise(h, rng, model, owned, rounds):
    """Random requests to ranges of which nobody else writes a byte."""
    for _ in range(rounds):
        low, high = rng.choice(owned)
        a, b = sorted((rng.randint(low, high - 1), rng.randint(low, high - 1)))
        length = b - a + 1
        what = rng.random()
        if what < 0.5:
            data = rng.randbytes(length)
            h.pwrite(data, a, rng.choice([0, nbd.CMD_FLAG_FUA]))
            model[a:b + 1] = data
        elif what < 0.65:
            h.zero(length, a, rng.choice([0, nbd.CMD_FLAG_NO_HOLE, nbd.CMD_FLAG_FUA]))
            model[a:b + 1] = bytes(length)
        elif what < 0.7:
            assert error_of(h.zero, BLOCK // 2, a & ~1 | 1, nbd.CMD_FLAG_FAST_ZERO) is not None
        else:
            assert h.pread(length, a) == model[a:b + 1]


@pytest.mark.smoke
@pytest.mark.parametrize("threads", [1, 3])
def test_random_requests_of_several_connections(blocks, start_proxy, threads):
    """Connection n owns bytes [n * 1000, n * 1000 + 1000) of every 5000, so nearly every block is
    shared by several."""
    server = blocks()
    proxy = start_proxy(server.uri, threads=threads, block_size="repair")
    models = [bytearray(pattern(SIZE, 3)) for _ in range(5)]
    span = 400_000
    failures = []

    def work(n):
        try:
            owned = [(at + n * 1000, at + n * 1000 + 1000) for at in range(0, span, 5000)]
            with Plain(proxy.uri()) as h:
                exercise(h, random.Random(n), models[n], owned, 400)
        except Exception as e:  # pylint: disable=broad-except
            failures.append(repr(e))
    workers = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures
    expected = bytearray(pattern(SIZE, 3))
    for at in range(0, span, 5000):
        for n in range(5):
            own = slice(at + n * 1000, at + n * 1000 + 1000)
            expected[own] = models[n][own]
    assert file_bytes(server.backing) == expected
    check_aligned(server)


def test_long_random_requests(blocks, start_proxy):
    server = blocks()
    proxy = start_proxy(server.uri, block_size="repair")
    model = bytearray(pattern(SIZE, 3))
    with Plain(proxy.uri()) as h:
        assert h.get_block_size(nbd.SIZE_MINIMUM) in (0, 1)
        exercise(h, random.Random(1), model, [(0, SIZE)], 60)
    assert file_bytes(server.backing) == model
    check_aligned(server)


def test_many_at_once_on_one_connection(blocks, start_proxy):
    """64 sectors of 512 bytes in flight, as a file system with small sectors writes them."""
    server = blocks()
    proxy = start_proxy(server.uri, block_size="repair")
    model = bytearray(pattern(SIZE, 3))
    rng = random.Random(5)
    with Plain(proxy.uri()) as h:
        for _ in range(20):
            sectors = rng.sample(range(512), 64)
            flying = []
            for sector in sectors:
                data = rng.randbytes(512)
                model[sector * 512:sector * 512 + 512] = data
                flying.append(h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), sector * 512))
            while flying:
                h.poll(-1)
                flying = [cookie for cookie in flying if not h.aio_command_completed(cookie)]
        assert h.pread(512 * 512, 0) == model[:512 * 512]
    assert file_bytes(server.backing) == model
    check_aligned(server)


def test_block_status_and_trim(blocks, start_proxy):
    size = 4 << 20
    server = blocks(size, data=pattern(1 << 20, 3))
    proxy = start_proxy(server.uri, block_size="repair")
    found = []
    with Plain(proxy.uri(), [nbd.CONTEXT_BASE_ALLOCATION]) as h:
        h.block_status(2 << 20, 512, lambda c, offset, entries, e: found.append((offset, entries)))
        offset, entries = found[0]
        assert offset == 512 and entries[0] == (1 << 20) - 512 and entries[1] == 0
        assert entries[2] == (1 << 20) + 512 and entries[3] & nbd.STATE_ZERO
        h.trim(10_000, 1)
    got = file_bytes(server.backing)
    assert got[0:BLOCK] == pattern(1 << 20, 3)[:BLOCK]
    assert got[2 * BLOCK:1 << 20] == pattern(1 << 20, 3)[2 * BLOCK:]
    check_aligned(server)


def test_pass_is_as_it_was(blocks, start_proxy):
    """Upstream's own answer, and whoever asked for block sizes is refused here."""
    server = blocks()
    proxy = start_proxy(server.uri)
    with Plain(proxy.uri()) as h:
        assert error_of(h.pread, 512, 512) == "EINVAL"
        assert error_of(h.pwrite, bytes(512), 512) == "EINVAL"
    repaired = start_proxy(server.uri, block_size="repair")
    with connected(repaired.uri(), strict=False) as h:
        assert h.get_block_size(nbd.SIZE_MINIMUM) == BLOCK
        assert error_of(h.pread, 512, 512) == "EINVAL"
    assert file_bytes(server.backing) == pattern(SIZE, 3)


def test_nbdcopy_and_qemu_img(blocks, start_proxy, folder):
    """They ask for block sizes and are told the truth."""
    server = blocks()
    uri = start_proxy(server.uri, block_size="repair").uri()
    image = os.path.join(folder, "image")
    data = bytearray(pattern(SIZE, 11))
    data[1 << 20:3 << 20] = bytes(2 << 20)
    with open(image, "wb") as f:
        f.write(data)
    run("nbdcopy", "--flush", image, uri)
    assert file_bytes(server.backing) == data
    run("qemu-io", "-f", "raw", "-c", "write -q -P 7 512 512", uri)
    data[512:1024] = b"\7" * 512
    assert file_bytes(server.backing) == data
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, uri)
    assert "identical" in run("qemu-img", "compare", "-f", "raw", "-F", "raw", image, uri)
    check_aligned(server)


def test_odd_size(blocks, start_proxy):
    """nbdkit refuses the odd piece at the end even if it is addressed as it is: its answer is the
    client's. All whole blocks are served."""
    size = 5 * BLOCK + 100
    server = blocks(size, data=pattern(size, 3))
    proxy = start_proxy(server.uri, block_size="repair")
    with Plain(proxy.uri()) as h:
        assert h.get_size() == size
        h.pwrite(b"x" * 5000, 15000)
        assert h.pread(3, 14999) == pattern(size, 3)[14999:15000] + b"xx"
    expected = bytearray(pattern(size, 3))
    expected[15000:20000] = b"x" * 5000
    assert file_bytes(server.backing) == expected


def test_aligned_requests_are_passed_on_as_they_are(blocks, start_proxy):
    server = blocks()
    proxy = start_proxy(server.uri, block_size="repair")
    with Plain(proxy.uri()) as h:
        h.pwrite(b"x" * BLOCK, BLOCK)
        h.pread(2 * BLOCK, 0)
    assert [line.split()[0] for line in server.requests()
            if line.split()[0] in ("Read", "Write")] == ["Write", "Read"]
    assert read_all(server.uri, SIZE)[BLOCK:2 * BLOCK] == b"x" * BLOCK
