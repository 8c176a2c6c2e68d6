# SPDX-License-Identifier: BSD-3-Clause
"""Clients and upstreams that do not speak the same format: the proxy translates, and nobody notices."""
import random
import struct

import pytest

from nbdtest import wire
from nbdtest.data import pattern
from nbdtest.formats import agreed, chunked_pairs, kind_of, pairs
from nbdtest.rawserver import ModelUpstream

ALLOCATION = "base:allocation"


@pairs
def test_f122_random_io_in_every_pair(stage, client, upstream):
    s = stage(kind_of(upstream))
    random.seed(f"{client} {upstream}")
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start(fmt=client)
        disk = bytearray(s.upstream.size)
        for turn in range(400):
            offset = random.randrange(len(disk))
            length = random.randrange(1, min(len(disk) - offset, 20000) + 1)
            command = random.choice([wire.READ, wire.READ, wire.WRITE, wire.WRITE,
                                     wire.WRITE_ZEROES, wire.TRIM, wire.FLUSH, wire.CACHE])
            if command == wire.READ:
                assert c.read(offset, length) == disk[offset:offset + length], turn
            elif command == wire.WRITE:
                data = pattern(length, turn)
                assert c.write(offset, data, random.choice([0, wire.FUA])) == 0
                disk[offset:offset + length] = data
            elif command == wire.FLUSH:
                assert c.call(command) == 0
            else:
                assert c.call(command, offset, length) == 0
                if command != wire.CACHE:
                    disk[offset:offset + length] = bytes(length)
        c.disconnect()
    assert s.upstream.disk == disk
    assert s.upstream.formats == [agreed(client, upstream)]


@pairs
def test_d75_cookies_and_offsets_in_every_pair(stage, client, upstream):
    """Extended replies repeat the offset; the raw client compares it."""
    s = stage(kind_of(upstream))
    c = s.client()
    c.start(fmt=client)
    for cookie, offset in [(0, 0), (2**64 - 1, 512), (0x1234567887654321, (1 << 20) - 512)]:
        c.request(wire.READ, offset, 512, cookie=cookie)
        if client == "simple":
            assert c.reply(512).cookie == cookie
        else:
            assert {x.cookie for x in c.chunks()} == {cookie}
        c.request(wire.WRITE_ZEROES, offset, 512, cookie=cookie)
        if client == "extended":
            assert c.chunk()[:4] == (cookie, wire.DONE, wire.NONE, b"")
        else:
            assert c.either()[0] == 0


class Interleaves(ModelUpstream):
    """Answers two READs together, chunk by chunk."""
    first = None

    def on_read(self, c, r):
        if self.first is None:
            self.first = r
            return
        a, b = self.first, r
        for half in (0, 2048):
            for x in (b, a):
                c.send(c.chunk(x, wire.OFFSET_DATA, struct.pack(">Q", x.offset + half)
                               + bytes([x.offset // 4096]) * 2048, wire.DONE if half else 0))
        self.first = None


@chunked_pairs
def test_f126_interleaved_chunks_in_every_pair(stage, client, upstream):
    s = stage(kind_of(upstream, Interleaves))
    c = s.client()
    c.start(fmt=client)
    for n in (3, 5):
        c.request(wire.READ, n * 4096, 4096, cookie=n)
    got = {3: b"", 5: b""}
    if client == "simple":
        for _ in got:
            reply = c.reply(4096)
            got[reply.cookie] = reply.payload
    else:
        done = 0
        while done < 2:
            x = c.chunk()
            if x.kind == wire.OFFSET_DATA:
                got[x.cookie] += x.payload[8:]
            done += x.flags & wire.DONE
    assert got == {3: b"\3" * 4096, 5: b"\5" * 4096}


class Sparse(ModelUpstream):
    """Answers READ out of order, with a hole."""

    def on_read(self, c, r):
        quarter = r.length // 4
        c.send(c.chunk(r, wire.OFFSET_DATA, struct.pack(">Q", r.offset + 2 * quarter)
                       + b"2" * 2 * quarter, 0),
               c.chunk(r, wire.OFFSET_HOLE, struct.pack(">QI", r.offset + quarter, quarter), 0),
               c.chunk(r, wire.OFFSET_DATA, struct.pack(">Q", r.offset) + b"0" * quarter, 0),
               c.chunk(r, wire.NONE))


@chunked_pairs
def test_f124_holes_and_disorder_in_every_pair(stage, client, upstream):
    s = stage(kind_of(upstream, Sparse))
    c = s.client()
    c.start(fmt=client)
    assert c.read(8192, 4096) == b"0" * 1024 + bytes(1024) + b"2" * 2048
    assert c.read(1, 400) == b"0" * 100 + bytes(100) + b"2" * 200


class FailsAt(ModelUpstream):
    """Sends half a READ, then says where it failed."""

    def on_read(self, c, r):
        if r.offset:
            self.good(c, r)
            return
        half = r.length // 2
        c.send(c.chunk(r, wire.OFFSET_DATA, struct.pack(">Q", 0) + b"h" * half, 0),
               c.chunk(r, wire.CHUNK_ERROR_OFFSET, struct.pack(">IH", wire.EIO, 4) + b"sigh"
                       + struct.pack(">Q", half + 512)))


@chunked_pairs
def test_f125_error_at_an_offset_in_every_pair(stage, client, upstream):
    s = stage(kind_of(upstream, FailsAt))
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start(fmt=client)
        cookie = c.request(wire.READ, 0, 8192)
        if client == "simple":  # the error, and not a byte of data behind it
            assert c.reply(8192) == (cookie, wire.EIO, b"")
        else:
            error, chunks = c.either()
            assert error == wire.EIO
            at = [x.payload for x in chunks if x.kind == wire.CHUNK_ERROR_OFFSET]
            assert len(at) == 1 and struct.unpack(">Q", at[0][-8:])[0] == 4096 + 512
        assert c.read(4096, 512) == bytes(512)
        c.disconnect()


@pairs
def test_f128_errors_in_every_pair(stage, client, upstream):
    """Each format says an error in its own way."""
    class Fails(ModelUpstream):
        error = 0

        def serve(self, c, r):
            if self.error and r.command != wire.DISC:
                self.done(c, r, self.error)
            else:
                super().serve(c, r)

    s = stage(kind_of(upstream, Fails))
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start(fmt=client)
        for error, seen in [(wire.EIO, wire.EIO), (wire.ENOSPC, wire.ENOSPC), (121, wire.EIO)]:
            s.upstream.error = error
            assert c.read(0, 512) == seen
            assert c.write(0, b"w" * 512) == seen
            assert c.call(wire.FLUSH) == seen
        s.upstream.error = 0
        assert c.read(0, 512) == bytes(512)
        c.disconnect()


GIB = 1 << 30


def covers(requests, offset, length):
    """They are disjoint and cover the range exactly."""
    at = offset
    for r in sorted(requests, key=lambda r: r.offset):
        assert r.offset == at and r.length > 0, r
        at += r.length
    assert at == offset + length


@pytest.mark.parametrize("upstream", ["simple", "structured", "extended"])
def test_f129_zero_of_64_gib_is_split(stage, upstream):
    s = stage(kind_of(upstream), {"size": 64 * GIB + 512}, probe="off")
    with s.proxy.ends("client-disc"):
        c = s.client(timeout=60)
        c.start(fmt="extended")
        assert c.call(wire.WRITE_ZEROES, 512, 64 * GIB, wire.NO_HOLE) == 0
        c.disconnect()
    zeroes = s.upstream.requests(wire.WRITE_ZEROES)
    covers(zeroes, 512, 64 * GIB)
    assert max(r.length for r in zeroes) <= 32 << 20
    assert {r.flags for r in zeroes} == {wire.NO_HOLE}


@pytest.mark.parametrize("upstream", ["simple", "structured", "extended"])
@pytest.mark.parametrize("command", [wire.TRIM, wire.CACHE], ids=["trim", "cache"])
def test_f129_trim_and_cache_of_5_gib(stage, upstream, command):
    s = stage(kind_of(upstream), {"size": 8 * GIB})
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start(fmt="extended")
        assert c.call(command, 4096, 5 * GIB) == 0
        c.disconnect()
    covers(s.upstream.requests(command), 4096, 5 * GIB)


@pytest.mark.parametrize("upstream", ["simple", "structured", "extended"])
def test_f129_block_status_of_6_gib(stage, upstream):
    s = stage(kind_of(upstream), {"size": 6 * GIB})
    c = s.client()
    c.start(fmt="extended", queries=[ALLOCATION])
    extents = c.status(0, 6 * GIB)[c.contexts[ALLOCATION]]
    assert all(status == 0 for _, status in extents)
    covered = sum(length for length, _ in extents)
    # Upstream may answer for less than was asked, and a compact one was asked for less.
    assert covered == 6 * GIB if upstream != "structured" else 2 * GIB <= covered <= 6 * GIB
    assert c.status(5 * GIB, 4096)[c.contexts[ALLOCATION]] == [(4096, 0)]


class LongExtents(ModelUpstream):
    """Knows more than it was asked: one extent to the end of the export."""
    size = 6 * GIB

    def answer_status(self, c, r):
        reach = self.size - r.offset
        if c.format != "extended":
            reach = min(reach, 2**32 - 512)
        c.send(c.status(r, c.contexts[ALLOCATION], [(512, 3), (reach - 512, 0)]))


@chunked_pairs
def test_f127_long_extents_in_every_pair(stage, client, upstream):
    """A 64-bit length is told as far as 32 bits reach."""
    s = stage(kind_of(upstream, LongExtents))
    if client == "simple":
        c = s.client()
        c.start()
        assert c.call(wire.BLOCK_STATUS, 0, 4096) == wire.EINVAL
        return
    c = s.client()
    c.start(fmt=client, queries=[ALLOCATION])
    (first, second), = [e[:2] for e in c.status(0, 1 << 20).values()]
    assert first == (512, 3) and second[1] == 0
    compact = "structured" in (client, agreed(client, upstream))
    assert (1 << 20) - 512 <= second[0] <= (2**32 - 1 if compact else 6 * GIB - 512)
    if not compact:
        assert second[0] == 6 * GIB - 512
