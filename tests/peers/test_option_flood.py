# SPDX-License-Identifier: BSD-3-Clause
"""A client that haggles for ever."""
import pytest

from nbdtest import wire
from nbdtest.rawclient import Closed


@pytest.mark.parametrize("number, data", [
    (0x7FFF, b""), (wire.LIST, b""), (wire.INFO, wire.info_data("")),
    (wire.GO, b"malformed")], ids=["unknown", "list", "info", "malformed"])
def test_b46_ten_thousand_options(stage, number, data):
    s = stage()
    with s.proxy.ends("client-breach"):
        c = s.client()
        c.greet()
        answered = 0
        try:
            for _ in range(10000):
                c.option(number, data)
                answered += 1
        except (Closed, OSError):
            pass
        # 64, and 32 more for each export that a LIST shows.
        assert 64 <= answered < 5000
        if number != wire.LIST:
            assert answered == 64


def test_b46_a_client_that_lists_may_ask_more(stage):
    s = stage()
    c = s.client()
    c.greet()
    c.option(wire.LIST)
    for _ in range(80):
        c.go("", number=wire.INFO)
    c.go()
