# SPDX-License-Identifier: BSD-3-Clause
"""A client that goes away in the middle of an option."""
import pytest

from nbdtest import wire

WHOLE = wire.option(wire.GO, wire.info_data("export", [1, 3]))


@pytest.mark.parametrize("cut", [1, 8, 15, 16, 19, len(WHOLE) - 1])
def test_b48_cut_option(stage, cut):
    s = stage()
    with s.proxy.ends("client-left-early"):
        c = s.client()
        c.greet()
        c.structured()  # opens the upstream
        c.send(WHOLE[:cut])
        c.close()
    s.upstream.wait_no_connection(1)
    assert not s.upstream.options(wire.GO)


def test_b48_gone_while_upstream_thinks(stage):
    s = stage()
    with s.proxy.ends("client-left-early"):
        c = s.client()
        c.greet()
        c.structured()
        c.close()
    s.upstream.wait_no_connection(1)
