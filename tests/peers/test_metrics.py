# SPDX-License-Identifier: BSD-3-Clause
"""metrics-listen: what Prometheus reads, and what scrapers that misbehave may do: nothing to anybody else."""
import http.client
import re
import shutil
import socket
import subprocess
import time

import pytest

from nbdtest import wire
from nbdtest.process import free_port, wait_until
from nbdtest.rawclient import RawClient

MIB = 1 << 20


@pytest.fixture
def served(servers, start_proxy):
    """A proxy with metrics, and its port."""
    def start(**keys):
        upstream = servers.nbdkit("memory", 64 * MIB)
        port = free_port()
        proxy = start_proxy(upstream.uri, metrics_listen=f"127.0.0.1:{port}", **keys)
        return proxy, port
    return start


def fetch(port, path="/metrics", method="GET", body=None, timeout=10):
    """Status, headers, text."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        c.request(method, path, body)
        reply = c.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read().decode()
    finally:
        c.close()


def samples(text):
    """{name with labels: number}"""
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in text.splitlines() if line and not line.startswith("#")}


def some_traffic(proxy):
    c = RawClient(proxy.address)
    c.start()
    assert c.write(0, bytes(range(256)) * 256) == 0
    assert c.read(0, 4096)
    c.call(wire.WRITE_ZEROES, 0, 65536, wire.FAST_ZERO)
    c.request(wire.DISC)
    c.close()


@pytest.mark.smoke
def test_metrics_are_what_the_snapshot_says(served):
    proxy, port = served()
    some_traffic(proxy)
    wait_until(lambda: proxy.active() == 0, 10, "the client gone")
    time.sleep(1.1)  # no picture of before is served any more
    status, headers, text = fetch(port)
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = samples(text)
    commands = proxy.export()["commands"]
    for command, counted in commands.items():
        labels = f'{{upstream="main",export="",command="{command}"}}'
        assert found["nbdzero_requests_total" + labels] == counted["count"]
        assert found["nbdzero_request_bytes_total" + labels] == counted["bytes"]
        if counted["count"]:
            assert found["nbdzero_request_duration_seconds_count" + labels] == counted["count"]
            buckets = [found[name] for name in found if name.startswith(
                "nbdzero_request_duration_seconds_bucket" + labels[:-1])]
            assert buckets == sorted(buckets) and buckets[-1] == counted["count"]
    assert found['nbdzero_listener_accepted_total{listener="main"}'] == 1
    assert found['nbdzero_session_endings_total{ending="client-disc"}'] == 1
    assert found['nbdzero_upstream_connects_total{upstream="main",result="reached"}'] == 1


@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool")
def test_metrics_are_valid(served):
    """A name that tries to break out of its label included."""
    proxy, port = served(exports={"odd": {"name": "a%22b%5Cc%0Ad", "upstream": "main", "upstream-export": "a%22b%5Cc%0Ad"}})
    some_traffic(proxy)
    text = fetch(port)[2]
    done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False,
                          timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr.strip(), done.stderr
    assert proxy.stat("json").returncode == 0
    assert re.search(r'^nbdzero_export_connections\{upstream="main",export="a.*b.*d"\} 0$', text, re.M), text


def test_other_paths_and_methods(served):
    _, port = served()
    assert fetch(port, "/")[0] == 200 and "/metrics" in fetch(port, "/")[2]
    assert fetch(port, "/metric")[0] == 404
    for method in ("POST", "DELETE", "PUT", "BREW"):
        status, headers, _ = fetch(port, method=method, body=b"x" * 100000 if method == "POST" else None)
        assert status == 405 and headers["Allow"] == "GET, HEAD"
    status, headers, text = fetch(port, method="HEAD")
    assert status == 200 and int(headers["Content-Length"]) > 1000 and not text


GARBAGE = {
    "nothing": b"",
    "binary": bytes(range(256)) * 64,
    "no-version": b"GET /metrics\r\n\r\n",
    "endless-header": b"GET /metrics HTTP/1.1\r\nx: " + b"y" * (1 << 20),
    "many-headers": b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 50000,
    "long-path": b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n",
    "huge-body": b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "nbd": b"NBDMAGICIHAVEOPT" + bytes(100),
}


@pytest.mark.parametrize("text", GARBAGE.values(), ids=GARBAGE.keys())
def test_bad_http_ends_in_an_error_or_a_closed_connection(served, bystander, text):
    proxy, port = served()
    good = bystander(proxy.address)
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        try:
            s.sendall(text)
            s.shutdown(socket.SHUT_WR)
            reply = s.recv(65536)
        except OSError:
            reply = b""
    assert not reply or re.match(rb"HTTP/1\.[01] [45]\d\d ", reply), reply[:80]
    good.served()
    assert fetch(port)[0] == 200


def test_a_crowd_of_scrapers_that_say_nothing(served, bystander):
    """Thousands, of many addresses, far more than are served at a time: I/O goes on, memory and descriptors are
    bounded."""
    proxy, port = served()
    good = bystander(proxy.address)
    crowd = []
    try:
        for i in range(2500):
            s = socket.socket()
            s.setblocking(False)
            s.bind((f"127.0.3.{1 + i % 50}", 0))
            s.connect_ex(("127.0.0.1", port))
            crowd.append(s)
        good.served(20)
        pid = proxy.process.popen.pid
        fds = int(subprocess.run(f"ls /proc/{pid}/fd | wc -l", shell=True, capture_output=True, check=True).stdout)
        assert fds < 200, "descriptors are taken by whoever connects"
        assert proxy.stat("json").returncode == 0
    finally:
        for s in crowd:
            s.close()
    wait_until(lambda: answers(port), 30, "scrapes again")


def test_one_who_drips(served, bystander):
    """As many connections as one address may have, each with a header that never ends, a byte now and then: nobody
    of another address waits for that, and the request is ended when its memory is."""
    proxy, port = served()
    good = bystander(proxy.address)
    dripping = [socket.create_connection(("127.0.0.1", port), 10, ("127.0.0.9", 0)) for _ in range(40)]
    for s in dripping:
        s.setblocking(False)

    def drip(text):
        gone = 0
        for s in dripping:
            try:
                s.send(text)
                gone += s.recv(1) == b""
            except BlockingIOError:
                pass
            except OSError:
                gone += 1
        return gone
    drip(b"GET /metrics HTTP/1.1\r\nx: ")
    for _ in range(20):
        drip(b"y")
        assert fetch(port, timeout=5)[0] == 200
    wait_until(lambda: drip(b"y") >= len(dripping) - 16, 10, "those above its share closed")
    good.served(10)
    wait_until(lambda: drip(b"y" * 512) == len(dripping), 20, "the rest closed, their memory being used up")
    for s in dripping:
        s.close()


def answers(port):
    try:
        return fetch(port, timeout=2)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_a_slow_reader_holds_up_nobody(served, bystander):
    proxy, port = served()
    good = bystander(proxy.address)
    with socket.create_connection(("127.0.0.1", port), 10) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        for _ in range(5):
            assert fetch(port)[0] == 200
        good.served(10)


def test_reload_moves_starts_and_ends_it(served):
    proxy, port = served()
    other = free_port()
    text = open(proxy.config, encoding="utf-8").read()
    key = f"metrics-listen = 127.0.0.1:{port}"

    def reload_with(line):
        with open(proxy.config, "w", encoding="utf-8") as f:
            f.write(text.replace(key, line))
        return proxy.stat("reload", check=False)
    assert reload_with(f"metrics-listen = 127.0.0.1:{other}").returncode == 0
    assert answers(other) and not answers(port)
    assert reload_with("metrics-listen =").returncode == 0
    assert not answers(other)
    assert reload_with(key).returncode == 0 and answers(port)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        done = reload_with(f"metrics-listen = 127.0.0.1:{taken.getsockname()[1]}")
        assert done.returncode == 1 and "metrics-listen" in done.stderr
    assert answers(port), "a reload that was refused has changed something"


def test_an_address_that_is_taken_is_said_at_the_start(servers, start_proxy, processes):
    upstream = servers.nbdkit("memory", MIB)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        with pytest.raises(AssertionError):
            start_proxy(upstream.uri, metrics_listen=f"127.0.0.1:{taken.getsockname()[1]}")
    log = processes.started[-1].log()
    assert "error metrics-listen: " in log and "in use" in log, log


def test_requests_end_by_name(served):
    proxy, _ = served()
    c = RawClient(proxy.address)
    c.start()
    assert c.write(0, bytes(4096)) == 0
    assert c.call(wire.READ, 65 * MIB, 4096) == 22
    assert c.call(wire.WRITE_ZEROES, 0, 0) == 0
    ends = proxy.export()["request_endings"]
    assert {name: n for name, n in ends.items() if n} == {"done": 1, "refused": 1, "answered-here": 1}
    assert proxy.export()["errors"]["EINVAL"] == 1
    c.close()


def test_a_thousand_clients_do_not_end_it(served):
    """Descriptors above 1023, which select() could not watch."""
    proxy, port = served()
    clients = []
    try:
        for _ in range(600):
            c = RawClient(proxy.address)
            c.start()
            clients.append(c)
        assert f'nbdzero_listener_connections{{listener="main"}} {len(clients)}' in fetch(port)[2]
        key = f"metrics-listen = 127.0.0.1:{port}"
        other = free_port()
        with open(proxy.config, encoding="utf-8") as f:
            text = f.read()
        with open(proxy.config, "w", encoding="utf-8") as f:
            f.write(text.replace(key, f"metrics-listen = 127.0.0.1:{other}"))
        assert proxy.stat("reload").returncode == 0
        assert fetch(other)[0] == 200, "served by descriptors above 1023"
    finally:
        for c in clients:
            c.close()
