# SPDX-License-Identifier: BSD-3-Clause
"""A client whose options do not begin with IHAVEOPT."""
import os

from nbdtest import wire


def test_a11_wrong_option_magic(stage):
    s = stage()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.greet()
        c.send(wire.option(wire.LIST, magic=b"IHAVEOPX"))
        c.expect_close()
    assert s.upstream.accepted == 0


def test_a11_junk_instead_of_options(stage):
    s = stage()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.greet()
        c.send(b"\0" + os.urandom(4096))
        c.expect_close()
