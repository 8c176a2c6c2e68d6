# SPDX-License-Identifier: BSD-3-Clause
"""A WRITE whose payload does not come, or not all of it: upstream never gets it as a whole one."""
import os
import signal
import subprocess
import sys
import time

import pytest

from nbdtest import paths, wire
from nbdtest.data import file_bytes, pattern
from nbdtest.process import wait_until

MIB = 1 << 20


def test_h149_stall_inside_a_payload(stage):
    s = stage(io_timeout="700ms")
    with s.proxy.ends("client-stalled"):
        c = s.client()
        c.start()
        c.request(wire.WRITE, 0, 65536, payload=b"s" * 1000)
        c.expect_close(4)
    s.upstream.wait_no_connection()
    assert not s.upstream.requests(wire.WRITE)
    assert s.upstream.disk == bytes(s.upstream.size)


def test_h149_stall_inside_a_header(stage):
    s = stage(io_timeout="700ms")
    with s.proxy.ends("client-stalled"):
        c = s.client()
        c.start()
        c.send(wire.request(wire.READ, 0, 512)[:20])
        c.expect_close(4)


def test_h149_idle_is_not_a_stall(stage):
    s = stage(io_timeout="500ms")
    c = s.client()
    c.start()
    time.sleep(1.2)
    assert c.read(0, 512) == bytes(512)


@pytest.mark.parametrize("sent", [0, 1, 512, 65535])
def test_h150_half_a_payload_and_gone(stage, sent):
    s = stage()
    with s.proxy.ends("client-cut"):
        c = s.client()
        c.start()
        c.request(wire.WRITE, 0, 65536, payload=b"h" * sent)
        c.close()
    s.upstream.wait_no_connection()
    assert not s.upstream.requests(wire.WRITE)
    assert s.upstream.disk == bytes(s.upstream.size)


@pytest.mark.smoke
@pytest.mark.parametrize("size", [MIB, 8 * MIB])
def test_h150_client_killed_inside_a_payload(servers, start_proxy, bystander, size):
    """kill -9 of a real process in the middle of a WRITE; the real server must not have run it."""
    old = pattern(32 * MIB, 3)
    image = servers.file(data=old)
    proxy = start_proxy({"main": servers.nbdkit("file", image).uri}, threads=1)
    bystander(proxy.address, offset=31 * MIB)
    program = f"""
import sys
sys.path.insert(0, {os.path.join(paths.TREE, "tests")!r})
from nbdtest.rawclient import RawClient
from nbdtest import wire
c = RawClient({proxy.address!r})
c.start()
c.request(wire.WRITE, 0, {size}, payload=b"new!" * {size // 8})
print("half", flush=True)
c.sock.recv(1)
"""
    with proxy.ends("client-cut"):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
            assert child.stdout.readline() == b"half\n"
            child.send_signal(signal.SIGKILL)
    time.sleep(0.2)
    wait_until(lambda: proxy.active() <= 1)
    assert file_bytes(image, 0, size) == old[:size]
