# SPDX-License-Identifier: BSD-3-Clause
"""Several instances before one upstream, as docs/scale.md describes them: each with a connection of the client, or
behind haproxy with the configuration of docs/examples."""
import json
import os
import re

import pytest

from interop_helpers import Costs
from nbdtest import paths, wire
from nbdtest.data import MIB, connected, fast_zero, file_bytes, fill, pattern
from nbdtest.disks import run
from nbdtest.process import accepts, free_port, wait_until
from nbdtest.rawserver import ModelUpstream

SIZE = 48 * MIB
HOST = "127.0.0.1"
HAPROXY_CFG = os.path.join(paths.TREE, "docs", "examples", "haproxy.cfg")


@pytest.fixture
def upstream(servers):
    image = servers.file(SIZE)
    return servers.nbdkit("file", image, log=True, backing=image)


@pytest.fixture
def pair(start_proxy, upstream, folder):
    """Two instances on TCP, on one state-dir."""
    return [start_proxy(upstream.uri, tcp=HOST, state_dir=f"{folder}/shared") for _ in range(2)]


@pytest.fixture
def haproxy(folder, processes):
    """haproxy(proxies, balance): the shipped configuration; only addresses, and with `balance` that word, are ours."""
    def start(proxies, balance="source"):
        with open(HAPROXY_CFG, encoding="utf-8") as f:
            text = f.read()
        port = free_port(HOST)
        changes = [(r"^ *bind :10809$", f"bind {HOST}:{port}"), (r"^( *balance) source$", rf"\1 {balance}"),
                   (r"check inter 5s", "check inter 200ms"),
                   *((rf"10\.0\.0\.1{n}:10809", f"{HOST}:{proxy.address[1]}")
                     for n, proxy in enumerate(proxies, 1))]
        for what, by in changes:
            text, n = re.subn(what, by, text, flags=re.M)
            assert n == 1, f"{what} is {n} times in haproxy.cfg"
        config = os.path.join(folder, "haproxy.cfg")
        with open(config, "w", encoding="utf-8") as f:
            f.write(text)
        checked = run(paths.find("haproxy"), "-c", "-f", config)
        process = processes.start([paths.find("haproxy"), "-db", "-f", config])
        process.wait_ready(lambda: accepts((HOST, port)))
        assert "WARNING" not in checked + process.log(), process.log()
        return f"nbd://{HOST}:{port}/"
    return start


def flags_of(uri):
    """What a client is told: flags, formats, block sizes."""
    shown = json.loads(run("nbdinfo", "--json", uri))
    (export,) = shown["exports"]
    return shown["protocol"], {k: v for k, v in export.items() if k != "uri"}


def served(proxies):
    """Connections with requests that each has had: haproxy's checks have none."""
    return [sum(c["count"] for e in proxy.json()["exports"] for c in e["commands"].values())
            for proxy in proxies]


def test_both_advertise_the_same(pair, haproxy, upstream):
    uri = haproxy(pair)
    told = [flags_of(p.uri()) for p in pair] + [flags_of(uri)]
    assert told[0] == told[1] == told[2]
    assert told[0][1]["can_multi_conn"] and told[0][1]["can_fast_zero"]
    # And a verdict changes nothing of it.
    fill(pair[0].uri(), 16 * MIB)
    with connected(pair[0].uri()) as h:
        fast_zero(h, 16 * MIB, 0)
    assert flags_of(pair[0].uri()) == flags_of(pair[1].uri()) == told[0]


def test_multi_conn_client_on_both(pair, haproxy, upstream, servers, folder):
    """nbdcopy's connections are spread over the instances; what it was told is written is on the disk."""
    uri = haproxy(pair, "roundrobin")
    source, back = servers.file(data=pattern(SIZE)), os.path.join(folder, "back")
    run("nbdcopy", "--connections=4", "--threads=4", "--flush", source, uri)
    assert all(served(pair)), f"one had nothing to do: {served(pair)}"
    assert file_bytes(upstream.backing) == file_bytes(source)
    run("nbdcopy", "--connections=4", "--threads=4", uri, back)
    assert file_bytes(back) == file_bytes(source)
    assert sum(p.export()["commands"]["write"]["bytes"] for p in pair) == SIZE


def test_a_client_stays_with_one_instance(pair, haproxy, servers):
    """balance source, as shipped: all connections of an address go to the same."""
    uri = haproxy(pair)
    run("nbdcopy", "--connections=4", "--threads=4", servers.file(data=pattern(SIZE)), uri)
    assert sorted(n > 0 for n in served(pair)) == [False, True]


def test_an_instance_that_ends(pair, haproxy, upstream):
    """New connections go to the other, and find what was written."""
    uri = haproxy(pair)
    data = fill(uri, 4 * MIB)
    (serving,) = [p for p in pair if served([p])[0]]
    serving.stop()
    (other,) = [p for p in pair if p is not serving]

    def reached():
        try:
            with connected(uri) as h:
                return bytes(h.pread(4 * MIB, 0)) == data
        except Exception:  # haproxy has not noticed yet
            return False
    wait_until(reached, 20, "the other serves")
    assert served([other])[0]


class Cached(ModelUpstream):
    """A disk with a cache in front: only a FLUSH, or FUA, makes durable what was answered before it."""

    size = 4 * MIB
    flags = ModelUpstream.flags | wire.CAN_MULTI_CONN

    def __init__(self, folder, **overrides):
        super().__init__(folder, **overrides)
        self.durable = bytes(self.size)

    def serve(self, c, r):
        if r.command == wire.FLUSH:
            self.durable = bytes(self.disk)
        super().serve(c, r)


def test_flush_of_one_covers_writes_by_the_other(model, start_proxy, folder):
    """Because upstream has promised it (CAN_MULTI_CONN), and each connection has its own there."""
    upstream = model(Cached)
    pair = [start_proxy(upstream.uri, state_dir=f"{folder}/shared") for _ in range(2)]
    data = pattern(MIB)
    with connected(pair[0].uri()) as a, connected(pair[1].uri()) as b:
        assert a.can_multi_conn() and b.can_multi_conn()
        for n, (writer, flusher) in enumerate(((a, b), (b, a))):
            writer.pwrite(data, n * MIB)
            assert upstream.durable[n * MIB:(n + 1) * MIB] == bytes(MIB)
            flusher.flush()
            assert upstream.durable[n * MIB:(n + 1) * MIB] == data
            assert bytes(flusher.pread(MIB, n * MIB)) == data


def test_no_flag_without_upstreams(model, start_proxy):
    """Two instances of the proxy make no promise that the server behind them has not made."""
    upstream = model(ModelUpstream)
    for _ in range(2):
        with connected(start_proxy(upstream.uri).uri()) as h:
            assert not h.can_multi_conn()


@pytest.mark.smoke
def test_no_probe_while_both_serve(pair, upstream):
    """One state-dir: who serves alone may measure, two refuse; contents are as they were."""
    data = fill(pair[0].uri(), SIZE)
    before = [p.export()["probes"]["run"] if p.json()["exports"] else 0 for p in pair]
    with connected(pair[0].uri()) as a, connected(pair[1].uri()) as b:
        assert not fast_zero(a, 16 * MIB, 0) and not fast_zero(b, 16 * MIB, 16 * MIB)
        assert [p.export()["probes"]["run"] for p in pair] == before == [0, 0]
        assert file_bytes(upstream.backing) == data
    wait_until(lambda: not pair[1].active() and not pair[0].active(), 10, "nobody is connected")
    with connected(pair[0].uri()) as a:
        fast_zero(a, 16 * MIB, 32 * MIB)
    assert pair[0].export()["probes"]["run"] == 1


class Slow(Costs):
    """Zeroing is writing."""

    size = 32 * MIB


def test_verdicts_are_each_instances_own(model, start_proxy, folder):
    """What one has found out, the other does not know; here each has a state-dir, as on two machines."""
    upstream = model(Slow)
    pair = [start_proxy(upstream.uri, state_dir=f"{folder}/state{n}") for n in range(2)]
    fill(pair[0].uri(), 32 * MIB)
    with connected(pair[0].uri()) as a, connected(pair[1].uri()):
        assert not fast_zero(a, 16 * MIB, 0)
    assert pair[0].export()["probes"]["run"] == 1, "separate state-dirs keep nobody from measuring"
    assert pair[0].verdict(16 * MIB) == "slow"
    assert pair[1].verdict(16 * MIB) == "unknown"
