# SPDX-License-Identifier: BSD-3-Clause
"""A client that claims flags which nobody offered."""
import pytest


@pytest.mark.parametrize("flags", [0x00000004, 0x80000001, 0xFFFFFFFF])
def test_a03_unknown_client_flags(stage, flags):
    s = stage()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.greet(flags)
        c.expect_close()
    assert s.upstream.accepted == 0
