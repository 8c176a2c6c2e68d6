# SPDX-License-Identifier: BSD-3-Clause
"""What the log says of a connection: at level debug each request in words; floods of one kind are told as
a number and hide nothing else; systemd's journal gets fields."""
import os
import re
import shutil
import socket
import subprocess

import pytest

from nbdtest import paths, wire
from nbdtest.process import wait_until
from nbdtest.proxy import SANITIZER_ENV, wait_idle
from nbdtest.rawserver import ModelUpstream

REQUEST = re.compile(r"debug \[(\d+) (.+) ([^ /]+)/(\S*)\] (\w[\w ]*): offset (\d+), length (\d+), (.*), "
                     r"cookie 0x([0-9a-f]+): (\w+)( by the proxy)? in (\d+\.\d{3}) ms$")


def requests(proxy, upstream="main"):
    found = (REQUEST.search(line) for line in proxy.log().splitlines())
    return [m.groups() for m in found if m and m.group(3) == upstream]


@pytest.mark.smoke
def test_each_request_in_words(stage):
    s = stage(fast_zero="never", watch=False)
    c = s.client()
    c.greet()
    c.go("disk")
    told = [(wire.READ, 4096, 512, 0, "READ", "no flags", "SUCCESS", None),
            (wire.WRITE, 512, 512, wire.FUA, "WRITE", "flags FUA", "SUCCESS", None),
            (wire.WRITE_ZEROES, 0, 4096, wire.FAST_ZERO | wire.NO_HOLE, "WRITE_ZEROES",
             "flags NO_HOLE FAST_ZERO", "ENOTSUP", " by the proxy"),
            (wire.READ, ModelUpstream.size, 512, 0, "READ", "no flags", "EINVAL", " by the proxy"),
            (0x77, 0, 0, 0, "command 119", "no flags", "EINVAL", " by the proxy")]
    for number, (command, offset, length, flags, *_) in enumerate(told):
        payload = b"x" * length if command == wire.WRITE else b""
        c.request(command, offset, length, flags, payload=payload, cookie=0xab00 + number)
        c.reply(length if command == wire.READ else 0)
    wait_until(lambda: len(requests(s.proxy)) >= len(told), what="lines of the requests")
    client = s.proxy.json()["connections"][0]
    for number, line in enumerate(requests(s.proxy)):
        _, offset, length, _, name, flags, reply, by = told[number]
        assert line[0] == str(client["id"]) and line[1] == client["client"]
        assert line[3] == "disk"
        assert line[4:11] == (name, str(offset), str(length), flags, f"{0xab00 + number:x}", reply, by)
        assert 0 <= float(line[11]) < 60000


def test_a_flood_of_one_kind_hides_no_other(stage, raw):
    s = stage(log_level="info")
    for _ in range(260):  # the burst is 200
        c = raw(s.address)
        c.send(b"not an NBD client" * 3)
        c.close()
    wait_idle(s.proxy, others=1)
    c = s.client()
    c.greet()
    c.go("still-told")
    wait_until(lambda: "like this were dropped (more than 10 a second)" in s.proxy.log(),
               what="word of the lines that were dropped")
    assert "main/still-told] serving" in s.proxy.log()
    assert s.proxy.json()["log"]["lines_suppressed"] > 0


# The journal ------------------------------------------------------------------

# Where /run/systemd/journal is the test's own folder: a mount namespace, in which the proxy runs.
IN_NAMESPACE = 'mkdir -p /run/systemd/journal && mount --bind "$0" /run/systemd/journal && exec "$@"'


def mounting():
    """What a mount namespace is made with here, or None."""
    if not shutil.which("unshare"):
        return None
    for way in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        test = [*way, "sh", "-c", "mount -t tmpfs none /run && mkdir -p /run/systemd/journal"]
        if subprocess.run(test, check=False, capture_output=True).returncode == 0:
            return way
    return None


@pytest.fixture
def journal(folder):
    at = os.path.join(folder, "journal")
    os.mkdir(at)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(os.path.join(at, "socket"))
        s.settimeout(20)
        yield s


def entry(journal, text):
    """The fields of the next entry whose message has this text."""
    while True:
        fields = dict(line.split("=", 1) for line in
                      journal.recv(1 << 16).decode().rstrip("\n").split("\n"))
        if text in fields["MESSAGE"]:
            return fields


def journalled(folder, processes, servers):
    """A proxy in a namespace of its own whose standard error is the journal's, and its listener's address."""
    way = mounting()
    if not way:
        pytest.skip("no mount namespace can be made here, and the journal's path is fixed")
    upstream = servers.nbdkit("memory", "1M")
    config, address = os.path.join(folder, "journal.conf"), os.path.join(folder, "listen")
    with open(config, "w", encoding="utf-8") as f:
        f.write(f"[proxy]\nthreads = 1\nlog-level = debug\ncontrol-socket = {folder}/control\n"
                f"state-dir = {folder}/journal\n[listen front]\naddress = unix:{address}\n"
                f"upstream = main\n[upstream main]\nuri = {upstream.uri}\nfast-zero = never\n")
    prepare = f'mount -t tmpfs none /run; {IN_NAMESPACE}'
    stream = ('import os, sys; s = os.fstat(2); os.environ["JOURNAL_STREAM"] = f"{s.st_dev}:{s.st_ino}"; '
              'os.execv(sys.argv[1], sys.argv[1:])')
    p = processes.start([*way, "sh", "-c", prepare, os.path.join(folder, "journal"),
                         "/usr/bin/python3", "-c", stream, paths.PROXY, "-c", config],
                        name="journalled", env=SANITIZER_ENV)
    p.wait_ready(lambda: os.path.exists(address))
    return p, address


def test_the_journal_gets_fields(folder, processes, servers, journal, raw):
    p, address = journalled(folder, processes, servers)
    started = entry(journal, "serves with 1 thread")
    assert started["PRIORITY"] == "6" and started["SYSLOG_IDENTIFIER"] == "nbdzero-proxy"
    assert "NBDZERO_CONNECTION" not in started
    c = raw(address)
    c.greet()
    c.go("disk")
    serving = entry(journal, "serving, size")
    assert serving["NBDZERO_EXPORT"] == "disk" and serving["NBDZERO_UPSTREAM"] == "main"
    assert serving["NBDZERO_LISTENER"] == "front" and serving["NBDZERO_CONNECTION"] == "1"
    assert serving["NBDZERO_CLIENT"] and serving["CODE_FILE"].startswith("proxy/session/")
    c.request(wire.WRITE_ZEROES, 0, 4096, wire.FAST_ZERO)
    c.reply()
    request = entry(journal, "WRITE_ZEROES: offset 0")
    assert request["PRIORITY"] == "7" and request["NBDZERO_EXPORT"] == "disk"
    assert p.log() == "", "lines are said once"
    os.unlink(os.path.join(folder, "journal", "socket"))
    c.request(wire.FLUSH)
    c.reply()
    wait_until(lambda: "<7>[1 " in p.log() and "FLUSH: offset 0" in p.log(),
               what="a plain line, where no journal is left")
    assert p.terminate() == 0
