# SPDX-License-Identifier: BSD-3-Clause
"""Several connections to one export, spread over two threads: CAN_MULTI_CONN as upstream means it, one
export in the statistics, one table of verdicts."""
import contextlib
import os

import pytest

from interop_helpers import hidden, stored
from nbdtest.data import MIB, connected, fast_zero, file_bytes, fill, pattern
from nbdtest.disks import run

SIZE = 32 * MIB


def nbdkit(servers, *filters):
    image = servers.file(SIZE)
    parameters = ["multi-conn-mode=disable"] if "multi-conn" in filters else []
    return servers.nbdkit("file", image, *parameters, filters=filters, log=True, backing=image)


UPSTREAMS = {
    "qemu-nbd": lambda servers: servers.qemu_nbd(servers.file(SIZE), options=["-e", 4]),
    "nbdkit": nbdkit,
    "nbd-server": lambda servers: servers.nbd_server({"disk": servers.file(SIZE)}),
}


@pytest.fixture(params=list(UPSTREAMS))
def upstream(request, servers):
    return UPSTREAMS[request.param](servers)


def can_multi_conn(uri):
    with connected(uri) as h:
        return h.can_multi_conn()


@pytest.mark.smoke
def test_nbdcopy_over_four_connections(upstream, start_proxy, servers, folder):
    proxy = start_proxy(upstream.uri, threads=2)
    uri, source, back = proxy.uri(upstream.export), servers.file(data=pattern(SIZE)), \
        os.path.join(folder, "back")
    assert can_multi_conn(uri)
    before = proxy.json()["listeners"][0]["accepted"]
    run("nbdcopy", "--connections=4", "--threads=4", "--flush", source, uri)
    assert proxy.json()["listeners"][0]["accepted"] >= before + 4
    assert stored(upstream, SIZE) == file_bytes(source)
    run("nbdcopy", "--connections=4", "--threads=4", uri, back)
    assert file_bytes(back) == file_bytes(source)
    exports = proxy.json()["exports"]
    assert [e["export"] for e in exports] == [upstream.export]
    assert exports[0]["commands"]["write"]["bytes"] == SIZE
    assert exports[0]["commands"]["read"]["bytes"] >= SIZE


def test_flag_is_clear_without_upstreams(servers, start_proxy):
    for upstream in (nbdkit(servers, "multi-conn"),
                     servers.qemu_nbd(servers.file(SIZE), options=["-e", 1])):
        assert not can_multi_conn(upstream.uri)
        assert not can_multi_conn(start_proxy(upstream.uri).uri())


def test_flush_on_another_connection(servers, start_proxy):
    """What one connection has been told is written, another one's FLUSH makes durable."""
    upstream = nbdkit(servers)
    proxy = start_proxy(upstream.uri, threads=2)
    data = pattern(MIB)
    with connected(proxy.uri()) as a, connected(proxy.uri()) as b:
        for n in range(4):
            a.pwrite(data, n * MIB)
            flushed = len(upstream.requests("Flush"))
            b.flush()
            assert len(upstream.requests("Flush")) == flushed + 1
            assert file_bytes(upstream.backing, n * MIB, MIB) == data
            assert bytes(b.pread(MIB, n * MIB)) == data
    writers = connections(upstream, "Write")
    assert len(writers) == 1 and not writers & connections(upstream, "Flush")


def connections(upstream, command):
    """The numbers of the connections on which nbdkit has seen a command."""
    with open(upstream.log_file, encoding="utf-8") as f:
        return {line.split(" connection=")[1].split()[0] for line in f if f" {command} id=" in line}


@pytest.mark.timing
def test_one_export_one_table_of_verdicts(servers, start_proxy):
    """What a request of one connection has found out, all know, whatever thread they are on."""
    upstream = hidden(servers, "maxdata=256K", "maxlen=2G", "delay-write=1ms", "delay-zero=1ms")
    proxy = start_proxy(upstream.uri, threads=2)
    length = 16 * MIB
    fill(proxy.uri(), 6 * length)
    with contextlib.ExitStack() as stack:
        handles = [stack.enter_context(connected(proxy.uri())) for _ in range(6)]
        # The first two may measure; then it is known to all.
        answers = [fast_zero(h, length, n * length) for n, h in enumerate(handles[:2])]
        found = proxy.json()
        answers += [fast_zero(h, length, n * length) for n, h in enumerate(handles[2:], 2)]
        assert answers == [True] * 6
        shown = proxy.json()
        assert len(shown["connections"]) == 6 and len(shown["exports"]) == 1
        export = shown["exports"][0]
        assert export["probes"] == found["exports"][0]["probes"], "nobody has measured again"
        assert export["fast_zero"]["requests"] == 6 and export["fast_zero"]["refused"] == 0
        rows = [(r["no_hole"], r["bytes_from"], r["bytes_to"]) for r in export["verdicts"]]
        assert rows and len(rows) == len(set(rows))
        assert export["commands"]["write_zeroes"]["count"] == 6
