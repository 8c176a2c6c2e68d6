# SPDX-License-Identifier: BSD-3-Clause
"""nbd-server's TRIM goes wrong from the middle of an export on: it never sees one there."""
import pytest

from nbdtest import wire

MIB = 1 << 20
PLAIN = wire.HAS_FLAGS | wire.SEND_FLUSH | wire.SEND_FUA | wire.SEND_TRIM | wire.SEND_WRITE_ZEROES
# What nbd-server looks like, to clients of simple replies and of chunks.
LIKE_NBD_SERVER = {"flags": PLAIN, "size": 8 * MIB, "known_contexts": {}}
OTHERS = {
    "cache": {"flags": PLAIN | wire.SEND_CACHE},
    "fast_zero": {"flags": PLAIN | wire.SEND_FAST_ZERO},
    "extended": {"has_extended": True},
    "block_status": {"known_contexts": {"base:allocation": 7}},
    "block_sizes": {"block_size": (1, 4096, 32 * MIB)},
}  # what nbd-server never has


def trims(client):
    """One before the middle, over it, from it on, behind it."""
    for offset, length in [(0, MIB), (3 * MIB, 4 * MIB), (4 * MIB, MIB), (7 * MIB, MIB)]:
        assert client.call(wire.TRIM, offset, length) == 0


@pytest.mark.parametrize("fmt", ["simple", "structured", "extended"])
def test_d87_trim_from_the_middle_on_is_kept_from_nbd_server(stage, fmt):
    s = stage(overrides=LIKE_NBD_SERVER)
    with s.proxy.ends("client-disc"):
        c = s.client()
        c.start(fmt=fmt)
        trims(c)
        c.disconnect()
    assert [(r.offset, r.length) for r in s.upstream.requests(wire.TRIM)] == \
        [(0, MIB), (3 * MIB, 4 * MIB)]


@pytest.mark.parametrize("shown", OTHERS.values(), ids=OTHERS.keys())
def test_d87_others_get_every_trim(stage, shown):
    s = stage(overrides={**LIKE_NBD_SERVER, **shown})
    c = s.client()
    c.start(fmt="extended", infos=[wire.INFO_BLOCK_SIZE])
    trims(c)
    assert len(s.upstream.requests(wire.TRIM)) == 4
