# SPDX-License-Identifier: BSD-3-Clause
"""READ with DF: one chunk whatever upstream does, which never sees the flag (nbd-server advertises it and
answers EINVAL)."""
import struct

import pytest

from nbdtest import wire
from nbdtest.data import pattern
from nbdtest.formats import UPSTREAMS, chunked_clients, kind_of
from nbdtest.rawclient import Closed
from nbdtest.rawserver import ModelUpstream

every_upstream = pytest.mark.parametrize("upstream", UPSTREAMS)


class Fragments(ModelUpstream):
    """Cuts every READ into pieces of 1000 bytes, the even ones last; rejects DF, as nbd-server does."""
    piece = 1000

    def on_read(self, c, r):
        if r.flags & wire.DF:
            self.done(c, r, wire.EINVAL)
        elif not c.chunked:
            self.good(c, r)
        else:
            starts = list(range(r.offset, r.offset + r.length, self.piece))
            for at in starts[1::2] + starts[::2]:
                end = min(at + self.piece, r.offset + r.length)
                data = bytes(self.disk[at:end])
                if any(data):
                    c.send(c.chunk(r, wire.OFFSET_DATA, struct.pack(">Q", at) + data, 0))
                else:
                    c.send(c.chunk(r, wire.OFFSET_HOLE, struct.pack(">QI", at, end - at), 0))
            c.send(c.chunk(r, wire.NONE))


@every_upstream
@chunked_clients
@pytest.mark.parametrize("length", [1, 512, 5000, 65536, 1 << 20])
def test_d80_one_chunk(stage, client, upstream, length):
    s = stage(kind_of(upstream, Fragments))
    s.upstream.disk[:] = pattern(s.upstream.size, 3)
    s.upstream.disk[3000:9000] = bytes(6000)
    with s.proxy.ends("client-disc"):
        c = s.client()
        assert c.start(fmt=client).flags & wire.SEND_DF
        offset = 0 if length > 1 << 19 else 2500
        c.request(wire.READ, offset, length, wire.DF)
        chunks = c.chunks()
        assert [x.kind for x in chunks if x.kind != wire.NONE] == [wire.OFFSET_DATA]
        assert chunks[0].payload == struct.pack(">Q", offset) + s.upstream.disk[offset:offset + length]
        c.disconnect()
    assert not any(r.flags & wire.DF for r in s.upstream.requests())


@every_upstream
def test_d80_df_of_a_simple_client(stage, upstream):
    s = stage(kind_of(upstream))
    c = s.client()
    assert not c.start().flags & wire.SEND_DF
    assert c.call(wire.READ, 0, 512, wire.DF) == wire.EINVAL
    assert not s.upstream.requests()


@every_upstream
def test_d80_the_longest_one(stage, upstream):
    s = stage(kind_of(upstream), {"size": 33 << 20})
    s.upstream.disk[:] = pattern(33 << 20, 5)
    c = s.client(timeout=30)
    c.start(fmt="extended")
    assert c.read(512, 32 << 20, wire.DF) == s.upstream.disk[512:512 + (32 << 20)]
    c.request(wire.READ, 0, (32 << 20) + 1, wire.DF)
    assert c.either()[0] in (wire.EINVAL, wire.EOVERFLOW)


def test_d80_many_at_once(stage):
    """Each is gathered on its own, however upstream mixes them."""
    class Mixes(ModelUpstream):
        waiting = []

        def on_read(self, c, r):
            self.waiting.append(r)
            if len(self.waiting) == 8:
                for half in (1, 0):
                    for x in self.waiting:
                        at = x.offset + half * x.length // 2
                        c.send(c.chunk(x, wire.OFFSET_DATA, struct.pack(">Q", at)
                                       + bytes(self.disk[at:at + x.length // 2]),
                                       0 if half else wire.DONE))
                self.waiting.clear()

    s = stage(Mixes)
    s.upstream.disk[:] = pattern(s.upstream.size, 9)
    c = s.client()
    c.start(structured=True)
    for n in range(8):
        c.request(wire.READ, n << 16, 1 << 16, wire.DF, cookie=n)
    for _ in range(8):
        (x,) = [x for x in c.chunks() if x.kind != wire.NONE]
        at = x.cookie << 16
        assert x.payload == struct.pack(">Q", at) + s.upstream.disk[at:at + (1 << 16)]


class ErrorInTheMiddle(Fragments):
    """Fails after some of the pieces."""

    def on_read(self, c, r):
        c.send(c.chunk(r, wire.OFFSET_DATA, struct.pack(">Q", r.offset) + b"x" * 100, 0),
               c.chunk(r, wire.CHUNK_ERROR_OFFSET, struct.pack(">IHQ", wire.EIO, 0, r.offset + 100)))


@chunked_clients
def test_f125_error_among_the_pieces(stage, client):
    s = stage(ErrorInTheMiddle)
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start(fmt=client)
        c.request(wire.READ, 4096, 4096, wire.DF)
        error, chunks = c.either()
        assert error == wire.EIO
        assert all(x.kind & 0x8000 or x.kind == wire.NONE for x in chunks), "data in spite of it"
        c.disconnect()


class GoneInTheMiddle(ModelUpstream):
    """Closes after half of the data."""

    def on_read(self, c, r):
        c.send(c.chunk(r, wire.OFFSET_DATA, struct.pack(">Q", r.offset) + b"x" * (r.length // 2), 0))
        c.close()


@pytest.mark.parametrize("client", ["simple", "structured", "extended"])
def test_g140_upstream_gone_among_the_pieces(stage, client):
    """What was gathered is nobody's: an error, or the end, and never half a success."""
    s = stage(kind_of("only_extended", GoneInTheMiddle))
    with s.proxy.ends("upstream-lost"):
        c = s.client()
        c.start(fmt=client)
        c.request(wire.READ, 0, 8192, 0 if client == "simple" else wire.DF)
        try:
            if client == "simple":
                assert c.reply(8192).error == wire.EIO
            else:
                error, chunks = c.either()
                assert error == wire.EIO and not [x for x in chunks if x.kind == wire.OFFSET_DATA]
        except Closed:
            pass
        assert c.drain() == b""
