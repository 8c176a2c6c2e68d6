# SPDX-License-Identifier: BSD-3-Clause
"""What reads as zeroes already is zeroed at once, however large, through servers that zero slowly."""
import os
import time

import pytest

from interop_helpers import hidden
from nbdtest import wire
from nbdtest.data import MIB, connected, fast_zero, pattern
from nbdtest.rawserver import ModelUpstream

TIB = 1 << 40
GIB = 1 << 30
MOST = (1 << 32) - (1 << 16)  # of a request with compact headers, in whole 64 KiB


def kinds(upstream, known):
    return [line.split()[0] for line in upstream.requests()[known:] if not line.startswith(("Connect", "Disconnect"))]


def asked(h, upstream, length, offset=0, no_hole=False):
    """(answer, seconds, what reached the server)."""
    known, begin = len(upstream.requests()), time.monotonic()
    answer = fast_zero(h, length, offset, no_hole)
    return answer, time.monotonic() - begin, kinds(upstream, known)


QUESTION = ["Extents", "Read", "Read", "Read"]


def sparse_file(servers, folder):
    path = os.path.join(folder, "sparse")
    with open(path, "wb") as f:
        f.truncate(TIB)
    return servers.nbdkit("file", path, "zeromode=plugin", "fastzeromode=none", "delay-zero=20ms",
                          filters=["log", "nozero", "delay"])


UPSTREAMS = {
    "memory": lambda servers, folder: hidden(servers, "delay-zero=20ms", filters=["delay"], size="1T"),
    "file": sparse_file,
}


@pytest.mark.parametrize("make", UPSTREAMS.values(), ids=UPSTREAMS.keys())
def test_a_fresh_tebibyte(servers, start_proxy, folder, make):
    """Where the client speaks compact headers the most of a request is just below 4 GiB: one question each."""
    upstream = make(servers, folder)
    proxy = start_proxy(upstream.uri, probe="off")
    with connected(proxy.uri()) as h:
        assert h.get_size() == TIB
        for offset in (0, 512 * GIB, TIB - MOST):
            answer, took, sent = asked(h, upstream, MOST, offset)
            assert answer and sent == QUESTION, sent
            assert took < 2
        assert proxy.fast_zero()["already_zero"] == 3
        # The same range with a byte in it is not zero, and is not zeroed.
        h.pwrite(b"x" * 4096, 512 * GIB + GIB)
        answer, _, sent = asked(h, upstream, MOST, 512 * GIB)
        assert not answer and "Zero" not in sent
        assert h.pread(4096, 512 * GIB + GIB) == b"x" * 4096
        # Who insists on allocation is not served so.
        answer, _, sent = asked(h, upstream, MOST, 0, no_hole=True)
        assert not answer and "Zero" not in sent and "Extents" not in sent


class Tebibyte(ModelUpstream):
    """Speaks extended headers, reads as zeroes, and takes a second for every zero."""

    size = TIB
    flags = ModelUpstream.flags | wire.CAN_MULTI_CONN
    has_extended = True

    def answer_status(self, c, r):
        c.send(c.status(r, *c.contexts.values(), [(r.length, 3)]))

    def on_write_zeroes(self, c, r):
        time.sleep(1)
        self.good(c, r)


def test_a_tebibyte_in_one_request(model, start_proxy, raw):
    upstream = model(Tebibyte)
    c = raw(start_proxy(upstream.uri).address)
    c.start(fmt="extended")
    assert c.call(wire.WRITE_ZEROES, 0, TIB, wire.FAST_ZERO) == 0
    sent = upstream.requests()
    assert [(r.command, r.offset, r.length) for r in sent] == [
        (wire.BLOCK_STATUS, 0, TIB), (wire.READ, 0, 4096), (wire.READ, TIB - 4096, 4096),
        (wire.READ, TIB // 2, 4096)]
    assert sent[0].flags & wire.REQ_ONE
    # With FUA: a FLUSH behind the question, before the answer.
    assert c.call(wire.WRITE_ZEROES, 0, TIB, wire.FAST_ZERO | wire.FUA) == 0
    assert [r.command for r in upstream.requests()[4:]] == [
        wire.BLOCK_STATUS, wire.READ, wire.READ, wire.READ, wire.FLUSH]
    assert not upstream.requests(wire.WRITE_ZEROES)


class Thoughtful(Tebibyte):
    """Needs 50 ms for a question of status."""

    def answer_status(self, c, r):
        time.sleep(0.05)
        super().answer_status(c, r)


def test_a_slow_question_is_asked_once(model, start_proxy, raw):
    """Of a server whose status costs O(n) too: the client does not wait for it, and it is not asked again soon."""
    upstream = model(Thoughtful)
    c = raw(start_proxy(upstream.uri).address)
    c.start(fmt="extended")
    begin = time.monotonic()
    assert c.call(wire.WRITE_ZEROES, 0, TIB, wire.FAST_ZERO) == wire.ENOTSUP
    assert time.monotonic() - begin < 0.045
    time.sleep(0.1)
    for _ in range(3):
        assert c.call(wire.WRITE_ZEROES, 0, TIB, wire.FAST_ZERO) == wire.ENOTSUP
    assert len(upstream.requests(wire.BLOCK_STATUS)) == 1
    assert not upstream.requests(wire.WRITE_ZEROES)


def test_data_in_flight_is_no_hole(model, start_proxy, raw):
    """A WRITE of ours that overlaps is upstream: what status says of the range is of before."""
    class Held(Tebibyte):
        def on_write(self, c, r):
            time.sleep(0.5)
            self.good(c, r)

        def serve(self, c, r):
            if r.command == wire.WRITE:
                self.on_write(c, r)
            else:
                super().serve(c, r)

    upstream = model(Held)
    proxy = start_proxy(upstream.uri)
    c = raw(proxy.address)
    c.start(fmt="extended")
    c.request(wire.WRITE, 64 * MIB, 4096, payload=pattern(4096))
    upstream.wait_requests(1, wire.WRITE)
    c.request(wire.WRITE_ZEROES, 0, GIB, wire.FAST_ZERO, cookie=77)
    answer = c.chunk()
    assert answer.cookie == 77, "not at once, before the WRITE"
    assert answer.payload[:4] == wire.ENOTSUP.to_bytes(4, "big")
    assert not upstream.requests(wire.BLOCK_STATUS)
