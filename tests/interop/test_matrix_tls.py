# SPDX-License-Identifier: BSD-3-Clause
"""TLS to clients, to upstream, or both: real servers x keys x versions x real clients. By default each of them
in some pairs; tests/run --all-peers: all pairs, and those of Debian 11."""
import pytest

import matrix_tls
import tls_peers
from matrix_tls import Cell
from tls_peers import Target


@pytest.mark.parametrize("cell", matrix_tls.all_cells(), ids=matrix_tls.name_of)
def test_matrix_tls(cell, keys, place_in, start_proxy):
    sides, up, server, kind, version, down, client = cell
    place = place_in(down)
    upstream_place = place_in(up, beside=place)
    if server == "plain":
        image = upstream_place.servers.file(matrix_tls.SIZE)
        upstream = upstream_place.servers.nbdkit("file", image, backing=image)
        settings = upstream.uri, {}
    else:
        upstream = tls_peers.start_server(upstream_place, server, keys(kind), version, matrix_tls.SIZE)
        settings = tls_peers.upstream_uri(upstream, keys(kind)), keys(kind).of_upstream()
    proxy = start_proxy({"main": settings}, tcp="127.0.0.1",
                        listeners={"tls": {"upstream": "main", **keys(kind).of_listener()}})
    if sides == "upstream":
        target = Target(proxy.address, upstream.export)
    else:
        listen = proxy.listens["tls"]
        target = Target(listen.address, upstream.export, keys(kind), version, place,
                        at_home=matrix_tls.needs_home(kind, down, client))
    matrix_tls.CLIENTS[client](Cell(upstream, place, target))
    if sides != "upstream":
        matrix_tls.check_client_spoke(proxy, version, keys(kind).user)
    if sides != "client":
        matrix_tls.check_spoken(proxy, "upstream_tls", version, kind)
    matrix_tls.record(cell)


@pytest.mark.parametrize("peer", tls_peers.CANNOT)
def test_peer_that_cannot(peer, record_property):
    record_property("not_run", f"tls-{peer}")
    pytest.skip(tls_peers.CANNOT[peer])
