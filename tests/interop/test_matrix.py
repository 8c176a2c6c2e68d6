# SPDX-License-Identifier: BSD-3-Clause
"""Upstreams x clients x transports. The default run: those of the machine and of Debian 13, each pair by one
of two transports; tests/run --all-peers: by both, and those of Debian 11."""
import pytest

import matrix
from nbdtest.generations import MISSING


@pytest.mark.parametrize("cell", matrix.all_cells(), ids=matrix.name_of)
def test_matrix(cell, place_in, start_proxy):
    up, kind, down, client, tcp = cell
    place = place_in(down)
    upstream_place = place_in(up, beside=place)
    # nbdinfo compares with the direct view, and two roots do not see each other's sockets.
    upstream_tcp = tcp or not place.sees(upstream_place)
    upstream = matrix.start_upstream(upstream_place, kind, "127.0.0.1" if upstream_tcp else None)
    proxy = start_proxy(upstream.uri, at=place.folder, tcp="127.0.0.1" if tcp else None)
    matrix.CLIENTS[client](matrix.Cell(upstream, proxy, place))
    matrix.record(*cell)


if MISSING:
    @pytest.mark.parametrize("number", sorted(MISSING), ids=lambda n: f"debian-{n}")
    def test_generation_is_here(number, record_property):
        record_property("not_run", f"matrix-debian-{number}")
        pytest.skip(MISSING[number])
