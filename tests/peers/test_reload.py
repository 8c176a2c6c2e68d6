# SPDX-License-Identifier: BSD-3-Clause
"""Reload: new connections get what the files say now, running ones keep what they began with, and a fault in
any file changes nothing."""
import os
import signal
import struct
import threading

import pytest

from nbdtest import wire
from nbdtest.pki import write
from nbdtest.process import wait_until
from nbdtest.proxy import section, wait_idle
from nbdtest.rawclient import RawClient
from nbdtest.rawserver import ModelUpstream


def edit(proxy, *changes):
    """Replaces texts of the configuration file, each of which must be there once."""
    with open(proxy.config, encoding="utf-8") as f:
        text = f.read()
    for old, new in changes:
        assert text.count(old) == 1, (old, text)
        text = text.replace(old, new)
    replace(proxy, text)


def replace(proxy, text):
    with open(proxy.config, "w", encoding="utf-8") as f:
        f.write(text)


def add(proxy, *sections):
    with open(proxy.config, "a", encoding="utf-8") as f:
        f.write("\n" + "\n".join(sections) + "\n")


def by_signal(proxy):
    done = len([line for line in proxy.lines("info") if " reloaded " in line])
    proxy.process.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: len([line for line in proxy.lines("info") if " reloaded " in line]) > done,
               5, "reloaded")


def by_stat(proxy):
    proxy.stat("reload")


def refused(proxy, *faults):
    """A reload that changes nothing: what each of its lines says, in their order, and the log."""
    done = proxy.stat("reload", check=False)
    assert done.returncode == 1 and not done.stdout, done
    *lines, last = done.stderr.splitlines()
    assert len(lines) == len(faults), lines
    for line, fault in zip(lines, faults):
        assert line.startswith(f"{proxy.config}:") and fault in line, line
    count = f"{len(lines)} fault{'' if len(lines) == 1 else 's'}"
    assert f"reload refused: {count}; the running configuration stays" in last
    wait_until(lambda: any(last.partition("says: ")[2] in line for line in proxy.lines("error")), 5,
               "the refusal in the log")
    for line in lines:
        assert any(line in said for said in proxy.lines("error")), line


def secure(address, context):
    c = RawClient(address, tls=context)
    c.start()
    return c


def shown(client):
    """The certificate that the client was shown."""
    return client.sock.engine.getpeercert(binary_form=True)


def works(client):
    assert client.write(4096, b"r" * 4096) == 0 and client.read(4096, 4096) == b"r" * 4096
    return True


# What is wrong changes nothing ---------------------------------------------------------------


def other_key(world, keys):
    os.replace(world.directory(server=world.mallory) + "/server-key.pem", f"{keys}/server-key.pem")


def no_pem(_world, keys):
    write(f"{keys}/server-cert.pem", "this is no certificate\n")


def gone(_world, keys):
    os.rename(keys, keys + ".old")


@pytest.mark.parametrize("spoil", [other_key, no_pem, gone])
def test_bad_certificates(stage, world, keys, spoil):
    s = stage(listen=world.listen(tls_certificates=keys))
    running = secure(s.address, world.client)
    spoil(world, keys)
    edit(s.proxy, ("threads = 1", "threads = 1\nmax-connections = 1"))  # is not to be
    refused(s.proxy, keys)
    assert shown(secure(s.address, world.client)) == shown(running)
    assert works(running)
    assert s.proxy.json()["max_connections"] > 1
    s.proxy.process.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: s.proxy.log().count("reload refused") == 2, 5, "the signal's refusal")


def test_bad_configuration(stage):
    s = stage()
    running = s.client()
    running.start()
    add(s.proxy, "[listen second]", "adress = 127.0.0.1:1", "upstream = main", "[upstream x]",
        "uri = http://x")
    refused(s.proxy, "[listen second] has no address", 'did you mean "address"', "uri: ")
    assert [row["name"] for row in s.proxy.json()["listeners"]] == ["main", "good"]
    replace(s.proxy, "")
    refused(s.proxy, "no [listen NAME] section", "no [upstream NAME] section")
    os.unlink(s.proxy.config)
    refused(s.proxy, "No such file")
    assert works(running)
    new = s.client()
    new.start()
    assert works(new)


def test_address_in_use(stage, folder):
    """All listeners that are new, or none."""
    s = stage()
    add(s.proxy, section("listen a", {"address": f"unix:{folder}/a", "upstream": "main"}),
        section("listen b", {"address": s.upstream.uri.partition("socket=")[2].join(["unix:", ""]),
                             "upstream": "main"}))
    refused(s.proxy, "[listen b]: cannot listen on")
    assert not os.path.exists(f"{folder}/a")
    c = s.client()
    c.start()
    assert works(c)


# Settings ------------------------------------------------------------------------------------


@pytest.mark.calls
def test_listeners(stage, folder):
    """Added, removed and kept, with connections on all of them."""
    s = stage()
    kept = s.client()
    kept.start()
    add(s.proxy, section("listen more", {"address": f"unix:{folder}/more", "upstream": "main",
                                         "socket-mode": "0666"}))
    assert "[listen more]: new\n" in s.proxy.stat("reload").stdout
    assert os.stat(f"{folder}/more").st_mode & 0o777 == 0o666
    more = RawClient(f"{folder}/more")
    more.start()
    edit(s.proxy, ("[listen more]", "[listen less]"), (f"unix:{folder}/more", f"unix:{folder}/less"))
    by_stat(s.proxy)
    assert not os.path.exists(f"{folder}/more")
    less = RawClient(f"{folder}/less")
    less.start()
    for c in kept, more, less:
        assert works(c)
    rows = s.proxy.json()["connections"]
    assert sorted(row["listener"] for row in rows) == ["good", "less", "main", "more"]
    for c in kept, more, less:
        c.disconnect()
    wait_idle(s.proxy, others=1)


def test_upstream_moves(stage, model):
    s = stage()
    other = model(ModelUpstream, size=2 << 20)
    running = s.client()
    assert size_told(running) == 1 << 20
    edit(s.proxy, (s.upstream.uri, other.uri))
    out = s.proxy.stat("reload").stdout
    assert f"[upstream main] uri: {s.upstream.uri} -> {other.uri}" in out
    new = s.client()
    assert size_told(new) == 2 << 20
    new.write(0, b"new" + bytes(509))
    running.write(0, b"old" + bytes(509))
    assert s.upstream.disk[:3] == b"old" and other.disk[:3] == b"new"


def size_told(client):
    client.greet()
    replies = client.option(wire.GO, wire.info_data(""))
    assert replies[-1].kind == wire.ACK
    return next(struct.unpack(">Q", r.payload[2:10])[0] for r in replies if r.payload[:2] == b"\0\0")


def test_policy(stage):
    """Whoever is there keeps it, and what is known of the export stays."""
    s = stage(fast_zero="never")
    running = s.client()
    running.start()
    ask = dict(command=wire.WRITE_ZEROES, length=65536, flags=wire.FAST_ZERO)
    assert running.call(**ask) == wire.ENOTSUP
    add(s.proxy, "[export ro]", "upstream = main", "read-only = yes")
    edit(s.proxy, ("fast-zero = never", "fast-zero = always"))
    by_stat(s.proxy)
    new = s.client()
    new.start()
    assert new.call(**ask) == 0 and running.call(**ask) == wire.ENOTSUP
    readonly = s.client()
    readonly.start("ro")
    assert readonly.write(0, bytes(512)) == wire.EPERM
    assert s.proxy.fast_zero("")["policy"] == "always"
    assert works(running)


@pytest.mark.calls
def test_log_level_and_what_needs_a_restart(stage):
    s = stage()
    edit(s.proxy, ("log-level = debug", "log-level = error"), ("threads = 1", "threads = 2"))
    done = s.proxy.stat("reload")
    assert "[proxy] log-level: debug -> error" in done.stdout
    assert "threads = 2 needs a restart: 1 stays until then" in done.stdout
    c = s.client()
    c.start()
    c.disconnect()
    wait_idle(s.proxy, others=1)
    wait_until(lambda: " reloaded " in s.proxy.log(), 5, "the last line that is no error")
    assert "connected to listener main" not in s.proxy.log()
    assert s.proxy.json()["threads"] == 1


# At any moment -------------------------------------------------------------------------------


def test_storm_while_handshakes_are_open(stage, world, keys):
    """A thousand signals, a hundred clients in the middle of theirs, and one that works all the time."""
    s = stage(listen=world.listen("allow", tls_certificates=keys))
    files = s.proxy.process.open_files()
    waiting = [s.client() for _ in range(100)]
    for i, c in enumerate(waiting):
        c.greet()
        if i % 2:
            assert c.final(wire.STARTTLS) == wire.ACK
    stop = threading.Event()

    def storm():
        for _ in range(1000):
            s.proxy.process.popen.send_signal(signal.SIGHUP)
            stop.wait(0.0005)

    thread = threading.Thread(target=storm)
    thread.start()
    for i, c in enumerate(waiting):
        if i % 2:
            c.secure(world.client)
        c.go()
        assert works(c)
    thread.join()
    by_stat(s.proxy)
    assert works(secure(s.address, world.client))
    for c in waiting:
        c.disconnect()
    wait_idle(s.proxy, others=1)
    wait_until(lambda: s.proxy.process.open_files() <= files, 5, "all files closed")
    assert "refused" not in s.proxy.log()


def test_two_at_once(stage):
    s = stage()
    results = []
    threads = [threading.Thread(target=lambda: results.append(s.proxy.stat("reload", check=False)))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.returncode for r in results] == [0] * 8, results


class Slow(ModelUpstream):
    """Owes the reply to a READ until it is told to give it."""
    go_on = None

    def on_read(self, c, r):
        self.go_on.wait(20)
        self.good(c, r)


def test_none_while_draining(stage):
    s = stage(Slow, watch=False)
    s.upstream.go_on = threading.Event()
    c = s.client()
    c.start()
    c.request(wire.READ, 0, 512)
    s.upstream.wait_requests(1, wire.READ)
    s.proxy.process.popen.send_signal(signal.SIGTERM)
    wait_until(lambda: "SIGTERM: draining" in s.proxy.log(), 5, "draining")
    done = s.proxy.stat("reload", check=False)
    assert done.returncode == 1 and "reload refused: the process is ending" in done.stderr
    s.proxy.process.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: len([line for line in s.proxy.lines("warn") if "is ending" in line]) == 2, 5,
               "two refusals in the log")
    assert not os.path.exists(s.address)
    s.upstream.go_on.set()
    assert c.reply(512).payload == bytes(512)
    assert s.proxy.process.popen.wait(10) == 0
    s.proxy.check_log()


def test_drain_right_behind_a_reload(stage, folder):
    s = stage(watch=False)
    add(s.proxy, section("listen more", {"address": f"unix:{folder}/more", "upstream": "main"}))
    c = s.client()
    c.start()
    for number in signal.SIGHUP, signal.SIGTERM:
        s.proxy.process.popen.send_signal(number)
    assert s.proxy.process.popen.wait(10) == 0
    c.expect_close()
    assert not os.path.exists(f"{folder}/more") and not os.path.exists(s.address)


@pytest.mark.timing
def test_in_effect_within_half_a_second(stage, folder):
    s = stage()
    add(s.proxy, section("listen more", {"address": f"unix:{folder}/more", "upstream": "main"}))
    s.proxy.process.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: os.path.exists(f"{folder}/more"), 0.5, "the new listener")
