# SPDX-License-Identifier: BSD-3-Clause
"""The end of a process, as its clients see it: what is in flight is finished, what comes is told ESHUTDOWN, and
drain-timeout is kept."""
import os
import signal
import threading
import time

import pytest

from nbdtest import wire
from nbdtest.process import wait_until
from nbdtest.rawserver import ModelUpstream
from probed_upstreams import HoldsZeroes


class Holds(ModelUpstream):
    """Answers READ, or what else it should hold, and GO where it should, when it may."""

    holds_go = False
    holds = (wire.READ,)

    def __init__(self, folder, **overrides):
        super().__init__(folder, **overrides)
        self.may = False

    def answer_go(self, c, number, data):
        if self.holds_go:
            wait_until(lambda: self.may, 30, "leave to answer")
        super().answer_go(c, number, data)

    def serve(self, c, r):
        if r.command in self.holds:
            wait_until(lambda: self.may, 30, "leave to answer")
        super().serve(c, r)


def drain(proxy):
    proxy.process.popen.send_signal(signal.SIGTERM)
    wait_until(lambda: "draining" in proxy.log(), 20)
    proxy.stat("json", check=False)  # the workers are asked for it after they were told to drain


def ended(proxy):
    return proxy.process.popen.wait(30) == 0


@pytest.mark.smoke
@pytest.mark.parametrize("fmt", ["simple", "structured", "extended"])
def test_requests_that_come_later(stage, fmt):
    """One is in flight, and answered well; later ones, a WRITE's payload included, are told ESHUTDOWN at once."""
    s = stage(Holds, watch=False, drain_timeout="60s")
    c = s.client(timeout=30)
    c.start(fmt=fmt)
    first = c.request(wire.READ, 0, 512)
    s.upstream.wait_requests(1, wire.READ)
    drain(s.proxy)
    later = [c.request(wire.READ, 512, 512), c.request(wire.WRITE, 0, 4096, payload=b"x" * 4096),
             c.request(wire.FLUSH), c.request(wire.WRITE_ZEROES, 0, 4096, wire.FAST_ZERO)]
    assert len(set(later)) == 4 and [c.either()[0] for _ in later] == [wire.ESHUTDOWN] * 4
    s.upstream.may = True
    if fmt == "simple":
        reply = c.reply(512)
        assert (reply.cookie, reply.error) == (first, 0)
    else:
        assert all(chunk.cookie == first and not chunk.kind & 0x8000 for chunk in c.chunks())
    c.expect_close()
    assert ended(s.proxy) and {r.command for r in s.upstream.requests()} <= {wire.READ, wire.DISC}
    assert len(s.upstream.requests(wire.READ)) == 1


def test_drain_timeout(stage):
    """Who still waits then is told so."""
    s = stage(Holds, watch=False, drain_timeout="1s")
    c = s.client(timeout=30)
    c.start()
    cookie = c.request(wire.READ, 0, 512)
    s.upstream.wait_requests(1, wire.READ)
    begin = time.monotonic()
    drain(s.proxy)
    reply = c.reply()
    assert (reply.cookie, reply.error) == (cookie, wire.ESHUTDOWN)
    assert time.monotonic() - begin > 0.8
    c.expect_close()
    assert ended(s.proxy)
    s.upstream.may = True


def test_drain_timeout_in_pieces(stage):
    """A long zero that goes upstream in pieces, and a request behind it that went as it was: each is told once."""
    s = stage(Holds, overrides={"size": 256 << 20, "holds": (wire.WRITE_ZEROES, wire.READ)}, watch=False,
              drain_timeout="1s", max_zero="16M", fast_zero="off")
    c = s.client(timeout=30)
    c.start()
    cookies = {c.request(wire.WRITE_ZEROES, 0, 100 << 20), c.request(wire.READ, 200 << 20, 512)}
    s.upstream.wait_requests(1, wire.WRITE_ZEROES)
    drain(s.proxy)
    replies = [c.reply(), c.reply()]
    assert {r.cookie for r in replies} == cookies and [r.error for r in replies] == [wire.ESHUTDOWN] * 2
    c.expect_close()
    assert ended(s.proxy)
    s.upstream.may = True


def test_drain_timeout_in_a_repair(stage):
    """A WRITE of less than a block, whose rest is being read."""
    s = stage(Holds, overrides={"block_size": (4096, 4096, 1 << 20)}, watch=False, drain_timeout="1s",
              block_size="repair")
    c = s.client(timeout=30)
    c.start()
    cookie = c.request(wire.WRITE, 512, 512, payload=b"x" * 512)
    s.upstream.wait_requests(1, wire.READ)
    drain(s.proxy)
    reply = c.reply()
    assert (reply.cookie, reply.error) == (cookie, wire.ESHUTDOWN)
    c.expect_close()
    assert ended(s.proxy) and not s.upstream.requests(wire.WRITE)
    s.upstream.may = True


@pytest.mark.parametrize("how", ["signal", "command"])
@pytest.mark.parametrize("tcp", [None, "127.0.0.1"])
def test_an_upgrade_meanwhile_is_refused(stage, how, tcp):
    """A package that is updated while its service stops asks for one."""
    s = stage(Holds, watch=False, drain_timeout="60s", tcp=tcp)
    c = s.client(timeout=30)
    c.start()
    cookie = c.request(wire.READ, 0, 512)
    s.upstream.wait_requests(1, wire.READ)
    drain(s.proxy)
    if how == "signal":
        s.proxy.process.popen.send_signal(signal.SIGUSR2)
    else:
        assert "the process is ending" in s.proxy.stat("upgrade", check=False).stderr
    wait_until(lambda: "warn upgrade refused: the process is ending" in s.proxy.log(), 10, "a refusal")
    s.upstream.may = True
    assert c.reply(512).cookie == cookie
    c.expect_close()
    assert ended(s.proxy)


def test_a_second_signal_while_a_probe_is_stuck(stage):
    """Upstream never answers its zero. It ends well all the same, and leaves no socket behind."""
    s = stage(HoldsZeroes, watch=False, drain_timeout="60s")
    c = s.client(timeout=30)
    c.start()
    c.request(wire.WRITE_ZEROES, 0, 16 << 20, wire.FAST_ZERO)
    s.upstream.wait_requests(1, wire.WRITE_ZEROES)
    drain(s.proxy)
    s.proxy.process.popen.send_signal(signal.SIGTERM)
    assert c.reply().error == wire.EIO
    assert ended(s.proxy) and not os.path.exists(s.proxy.control)
    s.upstream.go.set()


class ReadsLate(ModelUpstream):
    """Takes no request before it may."""

    size = 64 << 20

    def __init__(self, folder, **overrides):
        super().__init__(folder, **overrides)
        self.may = threading.Event()

    def transmit(self, c):
        self.may.wait(30)
        super().transmit(c)


@pytest.mark.parametrize("sent", [16 << 20, 12 << 20], ids=["whole", "part"])
def test_what_is_cut_is_not_sent_on(stage, sent):
    """A WRITE that upstream has not taken: its client is told ESHUTDOWN, and upstream never gets all of it, however
    late it reads; the client may have written elsewhere since."""
    s = stage(ReadsLate, watch=False, drain_timeout="1s")
    c = s.client(timeout=30)
    c.start()
    message = wire.request(wire.WRITE, 0, 16 << 20, cookie=77) + b"w" * (16 << 20)

    def send():
        try:
            c.send(message[:28 + sent])
        except OSError:
            pass  # the end comes first
    sender = threading.Thread(target=send)
    sender.start()
    wait_until(lambda: s.proxy.json()["connections"][0]["bytes_from_client"] > 1 << 20, 20, "some of it taken")
    begin = time.monotonic()
    drain(s.proxy)
    reply = c.reply()
    assert (reply.cookie, reply.error) == (77, wire.ESHUTDOWN)
    assert ended(s.proxy) and time.monotonic() - begin < 8
    sender.join(30)
    s.upstream.may.set()
    s.upstream.wait_no_connection()
    assert not s.upstream.requests(wire.WRITE) and s.upstream.disk == bytes(64 << 20)


def test_an_option_in_work(stage):
    """Its upstream has not answered: the client is told, and need not wait for a connection that goes away."""
    s = stage(Holds, overrides={"holds_go": True}, watch=False, drain_timeout="60s")
    c = s.client(timeout=30)
    c.greet()
    data = wire.info_data("")
    c.send(b"IHAVEOPT" + wire.GO.to_bytes(4, "big") + len(data).to_bytes(4, "big") + data)
    wait_until(lambda: s.upstream.options(wire.GO), 20, "GO upstream")
    drain(s.proxy)
    assert c.option_reply().kind == wire.ERR_SHUTDOWN
    c.expect_close()
    assert ended(s.proxy)
    s.upstream.may = True


def test_idle_ones_are_closed_at_once(stage):
    s = stage(watch=False, drain_timeout="60s")
    clients = [s.client(timeout=30) for _ in range(3)]
    clients[0].start()
    clients[1].greet()
    begin = time.monotonic()
    drain(s.proxy)
    for c in clients[:2]:
        c.expect_close()
    assert ended(s.proxy) and time.monotonic() - begin < 30
