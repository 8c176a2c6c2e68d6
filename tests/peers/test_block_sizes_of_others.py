# SPDX-License-Identifier: BSD-3-Clause
"""block-size = repair for what is not READ and WRITE, and at the end of an export of odd size."""
import pytest

from block_size_helpers import BLOCK, FORMATS, Blocks, check_write, check_zero, repaired
from nbdtest import wire
from nbdtest.rawserver import ModelUpstream

__all__ = ["repaired"]  # a fixture


# WRITE_ZEROES, TRIM, CACHE ---------------------------------------------------------------------

@pytest.mark.parametrize("fmt", FORMATS)
def test_zeroes_edges_and_middle(repaired, fmt):
    s = repaired(probe="off")
    c = s.client()
    c.start(fmt=fmt)
    check_zero(s, c, 100, 5 * BLOCK)
    assert s.upstream.seen() == [
        (wire.READ, 0, BLOCK), (wire.WRITE, 0, BLOCK),
        (wire.READ, 5 * BLOCK, BLOCK), (wire.WRITE, 5 * BLOCK, BLOCK),
        (wire.WRITE_ZEROES, BLOCK, 4 * BLOCK)]
    for offset, length in [(0, 1), (5, BLOCK), (BLOCK, BLOCK + 1), (BLOCK - 1, BLOCK + 1),
                           (7 * BLOCK + 1, 3 * BLOCK), (BLOCK - 1, 2), (s.upstream.size - 9, 9)]:
        check_zero(s, c, offset, length)


@pytest.mark.parametrize("flags", [wire.NO_HOLE, wire.FUA, wire.FUA | wire.NO_HOLE])
def test_zeroes_keep_their_flags(repaired, flags):
    s = repaired(probe="off")
    c = s.client()
    c.start()
    check_zero(s, c, 100, 5 * BLOCK, flags)
    got = s.upstream.requests()
    assert [r.flags for r in got if r.command == wire.WRITE] == [flags & wire.FUA] * 2
    assert [r.flags for r in got if r.command == wire.WRITE_ZEROES] == [flags]


def test_e106_zeroes_are_split_at_max_zero(repaired):
    s = repaired(overrides={"size": 8 << 20}, probe="off", max_zero="1M")
    c = s.client()
    c.start()
    check_zero(s, c, 1, (4 << 20) + 1)
    pieces = s.upstream.seen(wire.WRITE_ZEROES)
    assert len(pieces) >= 4 and all(length <= 1 << 20 for _, _, length in pieces)


def test_zeroes_of_an_upstream_without_them_are_written(repaired):
    s = repaired(overrides={"flags": Blocks.flags & ~wire.SEND_WRITE_ZEROES})
    c = s.client()
    c.start()
    check_zero(s, c, 100, 5 * BLOCK)
    assert not s.upstream.seen(wire.WRITE_ZEROES)


def test_unaligned_fast_zero_is_refused(repaired):
    s = repaired()
    c = s.client()
    c.start()
    for offset, length in [(0, 1), (1, BLOCK), (BLOCK, BLOCK + 1)]:
        assert c.call(wire.WRITE_ZEROES, offset, length, wire.FAST_ZERO) == wire.ENOTSUP
    assert not s.upstream.seen()


class Blank(ModelUpstream):
    """64 KiB blocks, all of them zeroes, and it says so."""

    size = (1 << 20) + 1000
    block_size = (1 << 16, 1 << 16, 32 << 20)

    def serve(self, c, r):
        end = r.offset + r.length
        if r.offset % (1 << 16) or (end % (1 << 16) and end != self.size):
            self.failures.append(f"unaligned: {r.command} {r.offset}+{r.length}")
        super().serve(c, r)

    def answer_status(self, c, r):
        c.send(c.status(r, *c.contexts.values(), [(r.length, 3)]))


def test_looks_at_what_is_said_to_be_zero_take_whole_blocks(repaired):
    """Decision 4 of docs/zeroing.md: the fast zero of what is zero already."""
    s = repaired(Blank)
    c = s.client()
    c.start(fmt="structured")
    for offset, length in [(0, 1 << 16), (1 << 16, 5 << 16), (0, s.upstream.size)]:
        assert c.call(wire.WRITE_ZEROES, offset, length, wire.FAST_ZERO) == 0
    reads = [r[3:5] for r in s.upstream.requests(wire.READ)]
    block = 1 << 16
    assert reads == [(0, block),
                     (block, block), (5 * block, block), (3 * block, block),
                     (0, block), (15 * block, block + 1000), (8 * block, block)]


def test_trim_shrinks_to_whole_blocks(repaired):
    s = repaired()
    c = s.client()
    c.start()
    before = bytes(s.upstream.disk)
    assert c.call(wire.TRIM, 100, BLOCK) == 0
    assert c.call(wire.TRIM, 1, BLOCK - 1) == 0
    assert not s.upstream.seen()
    assert c.call(wire.TRIM, 1, 3 * BLOCK, wire.FUA) == 0
    assert s.upstream.seen() == [(wire.TRIM, BLOCK, 2 * BLOCK)]
    assert s.upstream.requests()[0].flags == wire.FUA
    assert s.upstream.disk[:BLOCK] == before[:BLOCK]
    assert s.upstream.disk[3 * BLOCK:] == before[3 * BLOCK:]


def test_cache_is_widened(repaired):
    s = repaired()
    c = s.client()
    c.start()
    assert c.call(wire.CACHE, 100, BLOCK) == 0
    assert s.upstream.seen() == [(wire.CACHE, 0, 2 * BLOCK)]


# BLOCK_STATUS ----------------------------------------------------------------------------------

class Extents(Blocks):
    """Two contexts; extents as a test sets them."""

    known_contexts = {"base:allocation": 3, "qemu:dirty-bitmap:x": 8}
    extents = {"base:allocation": [(BLOCK, 0), (4 * BLOCK, 3)],
               "qemu:dirty-bitmap:x": [(2 * BLOCK, 1), (2 * BLOCK, 0)]}

    def answer_status(self, c, r):
        chunks = list(c.contexts.items())
        for n, (name, number) in enumerate(chunks):
            extents, left = [], r.length
            for length, status in self.extents[name]:
                if left > 0:
                    extents.append((min(length, left), status))
                    left -= length
            if r.flags & wire.REQ_ONE:
                extents = extents[:1]
            c.send(c.status(r, number, extents, wire.DONE if n == len(chunks) - 1 else 0))


@pytest.mark.parametrize("fmt", FORMATS[1:])
@pytest.mark.parametrize("extended", [False, True], ids=["", "upstream-extended"])
def test_block_status_begins_at_the_clients_offset(repaired, fmt, extended):
    s = repaired(Extents, {"has_extended": extended})
    c = s.client()
    c.start(fmt=fmt, queries=["base:allocation", "qemu:dirty-bitmap:x"])
    allocation, bitmap = c.contexts["base:allocation"], c.contexts["qemu:dirty-bitmap:x"]
    got = c.status(100, 3 * BLOCK)
    assert s.upstream.seen() == [(wire.BLOCK_STATUS, 0, 4 * BLOCK)]
    assert got == {allocation: [(BLOCK - 100, 0), (2 * BLOCK + 100, 3)],
                   bitmap: [(2 * BLOCK - 100, 1), (BLOCK + 100, 0)]}
    got = c.status(100, 3 * BLOCK, wire.REQ_ONE)
    assert s.upstream.requests()[-1].flags == wire.REQ_ONE
    assert got == {allocation: [(BLOCK - 100, 0)], bitmap: [(2 * BLOCK - 100, 1)]}
    assert c.status(100, 50, wire.REQ_ONE) == {allocation: [(50, 0)], bitmap: [(50, 1)]}


def test_block_status_of_the_clients_contexts_only(repaired):
    """The proxy's own question after base:allocation is no answer to the client's."""
    s = repaired(Extents)
    c = s.client()
    c.start(fmt="structured", queries=["qemu:dirty-bitmap:x"])
    assert c.status(10, BLOCK) == {c.contexts["qemu:dirty-bitmap:x"]: [(BLOCK, 1)]}


def test_block_status_with_short_extents(repaired):
    """Those that end before the client's offset are not among the answer."""
    s = repaired(Extents, {"extents": {"base:allocation": [(512, n % 2) for n in range(40)]}})
    c = s.client()
    c.start(fmt="structured", queries=["base:allocation"])
    assert c.status(1000, 2000) == {c.contexts["base:allocation"]: [
        (24, 1), (512, 0), (512, 1), (512, 0), (440, 1)]}


@pytest.mark.parametrize("short", ["base:allocation", "qemu:dirty-bitmap:x"])
def test_block_status_of_which_a_part_is_not_known(repaired, short):
    """Of one context the extents end before the client's range: to leave it out would be a lie."""
    s = repaired(Extents, {"extents": {**Extents.extents, short: [(512, 1)]}})
    c = s.client()
    c.start(fmt="structured", queries=["base:allocation", "qemu:dirty-bitmap:x"])
    assert c.status(1000, BLOCK) == wire.EIO
    assert len(c.status(100, BLOCK)) == 2


def test_block_status_error(repaired):
    class Failing(Extents):
        def on_block_status(self, c, r):
            self.done(c, r, wire.EIO)
    s = repaired(Failing)
    c = s.client()
    c.start(fmt="structured", queries=["base:allocation"])
    assert c.status(1000, 2000) == wire.EIO
    assert c.read(1, 5) == s.upstream.disk[1:6]


# The odd end -----------------------------------------------------------------------------------

def test_odd_last_piece_is_addressed_as_it_is(repaired):
    size = 10 * BLOCK + 1000
    s = repaired(overrides={"size": size}, probe="off")
    c = s.client()
    c.start()
    assert c.read(10 * BLOCK + 1, 999) == s.upstream.disk[-999:]
    assert s.upstream.seen() == [(wire.READ, 10 * BLOCK, 1000)]
    check_write(s, c, 10 * BLOCK + 5, b"x" * 100)
    check_write(s, c, 9 * BLOCK + 5, b"y" * (BLOCK + 995))
    check_write(s, c, size - 1, b"z")
    check_zero(s, c, 3 * BLOCK + 1, size - 3 * BLOCK - 1)
    check_zero(s, c, size - 30, 20)
    assert c.call(wire.TRIM, size - 30, 30) == 0
    assert c.read(size - 1, 2) == wire.EINVAL
    assert c.write(size - 1, b"zz") == wire.ENOSPC
