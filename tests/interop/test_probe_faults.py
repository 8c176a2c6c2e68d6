# SPDX-License-Identifier: BSD-3-Clause
"""nbdzero-probe where something is wrong, or goes wrong in its middle: nothing is lost silently."""
import json
import os
import pty
import re
import signal
import subprocess
import time

import pytest

from interop_helpers import Costs
from nbdtest import paths, wire
from nbdtest.data import MIB, file_bytes, pattern
from nbdtest.probe import probe
from nbdtest.process import wait_until

USAGE = {
    "no-uri": [],
    "two-uris": ["nbd://a", "nbd://b"],
    "not-a-uri": ["http://localhost"],
    "option": ["--fast", "nbd://a"],
    "range": ["--scratch", "12", "nbd://a"],
    "empty-range": ["--scratch", "1M:0", "nbd://a"],
    "both": ["--scratch", "0:64M", "--in-place", "nbd://a"],
    "ratio": ["--ratio", "0.9", "nbd://a"],
    "time": ["--time", "5", "nbd://a"],
    "class": ["--no-hole", "maybe", "nbd://a"],
    "sizes": ["--sizes", "64K,,1M", "nbd://a"],
    "max-zero": ["--max-zero", "100", "nbd://a"],
    "svg": ["--in-place", "--plot", "x.png", "nbd://a"],
    "plot-of-nothing": ["--plot", "x.svg", "nbd://a"],
}


def run(*argv, **keys):
    return subprocess.run([paths.PROBE, *map(str, argv)], capture_output=True, text=True, timeout=60,
                          check=False, **keys)


@pytest.mark.parametrize("argv", USAGE.values(), ids=USAGE.keys())
def test_probe_usage(argv):
    done = run(*argv)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("nbdzero-probe: ") and done.stderr.count("\n") == 2, done.stderr


def test_probe_help_and_version():
    helped, version = run("--help"), run("--version")
    assert helped.returncode == 0 and helped.stdout.startswith("usage: nbdzero-probe")
    assert version.returncode == 0 and re.fullmatch(r"nbdzero-probe \d+\.\d+\.\d+\n", version.stdout)
    with open("/dev/full", "w", encoding="ascii") as full:
        assert subprocess.run([paths.PROBE, "--in-place", "nbd+unix:///?socket=/nowhere"], stdout=full,
                              stderr=subprocess.DEVNULL, check=False).returncode == 1


@pytest.mark.parametrize("text, options, server", [
    ("the range ends at 134217728, but the export at 67108864", ["--scratch", "64M:64M"], {}),
    ("multiples of 64K; 65536:67043328 would be right", ["--scratch", "1000:67107864"], {}),
    ("multiples of 64K", ["--scratch", "0:5000000"], {}),
    ("multiples of 1M", ["--in-place=64K:32M"], {"block_size": (512, MIB, 32 * MIB)}),
    ("too short: 4M are needed", ["--scratch", "0:2M"], {}),
    ("read-only", ["--in-place"], {"flags": Costs.flags | wire.READ_ONLY}),
    ("no WRITE_ZEROES", ["--in-place"], {"flags": Costs.flags & ~wire.SEND_WRITE_ZEROES}),
    ("no FLUSH", ["--scratch", "0:64M"], {"flags": Costs.flags & ~wire.SEND_FLUSH}),
], ids=["outside", "offset", "length", "preferred", "short", "read-only", "no-zeroes", "no-flush"])
def test_probe_refuses(model, text, options, server):
    upstream = model(Costs, **server)
    done = probe(upstream.uri, *options, code=1)
    assert text in done.err and text in done.json["error"], done.err
    assert not upstream.requests(wire.WRITE) and not upstream.requests(wire.WRITE_ZEROES)
    said = probe(upstream.uri, "--text")
    if "no " in text or text == "read-only":
        assert "Not to be measured" in said.out and text in said.out


def test_probe_in_place_where_nothing_is_stored(servers):
    upstream = servers.nbdkit("memory", "1G", log=True)
    done = probe(upstream.uri, "--in-place", code=1)
    assert "no data is stored" in done.err
    assert not [line for line in upstream.requests() if line.startswith(("Write", "Zero"))]
    inside = probe(upstream.uri, "--in-place=64M:64M", code=1)
    assert "67108864:67108864" in inside.err


def test_probe_cannot_connect(servers, folder):
    gone = probe(f"nbd+unix:///?socket={folder}/nobody", code=1)
    assert "No such file" in gone.err and gone.json["export"] is None
    path = servers.file(16 * MIB)
    other = servers.nbd_server({"disk": path})
    wrong = probe(other.uri.replace("disk", "nodisk"), code=1)
    assert "ERR_UNKNOWN" in wrong.err
    assert not wrong.out.count("\x1b")


def test_probe_needs_gnuplot_before_it_begins(model, folder):
    upstream = model(Costs)
    done = subprocess.run([paths.PROBE, "--scratch", "0:16M", "--plot", f"{folder}/x.svg", upstream.uri],
                          capture_output=True, text=True, env={"PATH": folder}, check=False)
    assert done.returncode == 1 and "gnuplot" in done.stderr
    assert not upstream.requests(), "measured, and then it could not be drawn"


def test_probe_plot_cannot_be_written(model):
    upstream = model(Costs, write_ms=(0.0, 0.1), zero_ms=(0.0, 0.1))
    done = run("--scratch", "0:4M", "--plot", "/nowhere/x.svg", upstream.uri)
    assert done.returncode == 1 and "/nowhere/x.svg: No such file" in done.stderr
    assert not upstream.requests(), "measured, and then it could not be kept"


def test_probe_plot_goes_wrong_in_the_end(model, folder):
    """A gnuplot that knows its version, and no more: what was measured is not lost."""
    program = os.path.join(folder, "gnuplot")
    with open(program, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\n[ \"$2\" = --version ]\n")
    os.chmod(program, 0o755)
    upstream = model(Costs, write_ms=(0.0, 0.1), zero_ms=(0.0, 0.1))
    done = run("--scratch", "0:4M", "--json", "--plot", f"{folder}/x.svg", upstream.uri,
               env={**os.environ, "PATH": folder + ":" + os.environ["PATH"]})
    assert done.returncode == 1 and "gnuplot failed" in done.stderr
    assert len(json.loads(done.stdout)["classes"]) == 2


def test_probe_draws_a_bar_on_a_terminal_only(model):
    upstream = model(Costs, write_ms=(0.0, 0.1), zero_ms=(0.0, 0.1))
    ours, its = pty.openpty()
    done = subprocess.run([paths.PROBE, "--scratch", "0:4M", upstream.uri], stderr=its, timeout=60,
                          stdout=subprocess.PIPE, check=False)
    os.close(its)
    drawn = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0 and "[###" in drawn and "holes allowed" in drawn
    assert b"[###" not in done.stdout


# In its middle -------------------------------------------------------------------------------

def operations(upstream):
    return [e for e in upstream.requests() if e.command != wire.DISC]


QUICK = {"write_ms": (0.0, 0.1), "zero_ms": (0.0, 0.1)}


@pytest.mark.parametrize("structured", [False, True], ids=["simple", "structured"])
def test_probe_an_error_at_every_operation(model, folder, structured):
    upstream = model(Costs, has_structured=structured, size=4 * MIB, **QUICK)
    upstream.disk[:] = pattern(upstream.size)
    probe(upstream.uri, "--in-place", "--no-hole", "no")
    n = len(operations(upstream))
    assert 30 < n < 70
    for k in range(1, n + 1):
        seen = [0]

        def fail(r, k=k, seen=seen):
            seen[0] += r.command != wire.DISC
            return wire.EIO if seen[0] == k and r.command != wire.DISC else 0
        upstream.fail = fail
        done = probe(upstream.uri, "--in-place", "--no-hole", "no", code=None, cwd=folder)
        upstream.fail = None
        status_failed = structured and k == 1  # where data is stored: a help, no more
        assert done.code == (0 if status_failed else 1), (k, done.err)
        assert status_failed or "EIO" in done.err, done.err
        assert done.json["altered"] is None, k
        assert upstream.disk == pattern(upstream.size), f"operation {k}: altered"
    assert not os.listdir(folder) or not [f for f in os.listdir(folder) if f.endswith(".rescue")]


class FailsForGood(Costs):
    """From the n-th WRITE on nothing can be written."""

    allowed = 5
    write_ms = (0.0, 0.1)
    zero_ms = (0.0, 0.1)

    def serve(self, c, r):
        self.allowed -= r.command == wire.WRITE
        if r.command == wire.WRITE and self.allowed < 0:
            self.done(c, r, wire.EIO)
        else:
            super().serve(c, r)


def damage(done, folder):
    """Range, and what the rescue file has."""
    altered = done.json["altered"]
    names = [f for f in os.listdir(folder) if f.endswith(".rescue")]
    assert names == [altered["rescue"]] and altered["rescue"] in done.err
    assert f"offset {altered['offset']} length {altered['length']}" in done.err
    path = os.path.join(folder, names[0])
    assert os.stat(path).st_mode & 0o777 == 0o600
    return altered["offset"], altered["length"], file_bytes(path)


def test_probe_says_what_could_not_be_written_back(model, folder):
    upstream = model(FailsForGood)
    upstream.disk[:] = pattern(upstream.size)
    done = probe(upstream.uri, "--in-place", code=1, cwd=folder)
    offset, length, saved = damage(done, folder)
    assert upstream.disk != pattern(upstream.size)
    upstream.disk[offset:offset + length] = saved
    assert upstream.disk == pattern(upstream.size), "not all is in the rescue file"


def delayed_file(servers, data):
    path = servers.file(data=data)
    return path, servers.nbdkit("file", path, "delay-write=20ms", "delay-zero=20ms", filters=["log", "delay"])


@pytest.mark.parametrize("zeroes", [1, 3, 6])
def test_probe_interrupted_writes_back_first(servers, processes, zeroes):
    data = pattern(64 * MIB)
    path, upstream = delayed_file(servers, data)
    running = processes.start([paths.PROBE, "--in-place", upstream.uri])
    wait_until(lambda: len(upstream.requests("Zero")) >= zeroes, 20)
    assert running.terminate(signal.SIGINT) == 1
    assert "interrupted" in running.log()
    assert file_bytes(path) == data
    last = upstream.requests()[-1]
    assert last.startswith("Flush"), "not durable: " + last


@pytest.mark.parametrize("zeroes", [1, 4, 8])
def test_probe_whose_server_dies(servers, processes, folder, zeroes):
    data = pattern(64 * MIB)
    path, upstream = delayed_file(servers, data)
    running = processes.start([paths.PROBE, "--in-place", "--json", upstream.uri], cwd=folder)
    wait_until(lambda: len(upstream.requests("Zero")) >= zeroes, 20)
    upstream.process.kill()
    assert running.popen.wait(20) == 1
    found = re.search(r"offset (\d+) length (\d+): may be zeroed", running.log())
    now = bytearray(file_bytes(path))
    if not found:
        assert now == data
        return
    offset, length = map(int, found.groups())
    saved = [f for f in os.listdir(folder) if f.endswith(".rescue")]
    now[offset:offset + length] = file_bytes(os.path.join(folder, saved[0]))
    assert now == data, "more than it said was altered"


class HangsInWrites(Costs):
    """Never answers a WRITE."""

    hung = False

    def on_write(self, c, r):
        self.hung = True


def test_probe_second_signal_gives_up(model, processes, folder):
    upstream = model(HangsInWrites)
    upstream.disk[:] = pattern(upstream.size)
    running = processes.start([paths.PROBE, "--in-place", upstream.uri], cwd=folder)
    wait_until(lambda: upstream.hung, 20)
    running.popen.send_signal(signal.SIGINT)
    time.sleep(0.3)
    running.popen.send_signal(signal.SIGINT)  # impatience is no second thought
    time.sleep(0.3)
    assert running.running(), "given up with a chunk that is zeroed"
    time.sleep(0.7)
    assert running.terminate(signal.SIGINT) == 1
    assert "may be zeroed" in running.log() and ".rescue" in running.log()


def test_probe_and_a_proxy_keep_each_other_away(model, start_proxy, raw, folder):
    upstream = model(Costs, size=8 * MIB, **QUICK)
    upstream.disk[:] = pattern(upstream.size)
    none = probe(upstream.uri, "--in-place", "--state-dir", folder, code=None)
    assert none.code == 1 and f"{folder}/locks" in none.err and not os.path.exists(f"{folder}/locks")
    proxy = start_proxy(upstream.uri)
    client = raw(proxy.address)
    client.start()
    alone = ["--in-place", "--state-dir", proxy.state_dir, "--no-hole", "no"]
    refused = probe(upstream.uri, *alone, code=1)
    assert "serves this export" in refused.err and not refused.out
    assert not upstream.requests(wire.WRITE)
    client.close()

    def goes():
        return probe(upstream.uri, *alone, code=None).code == 0
    wait_until(goes, 10, "measured when nobody is served")
    assert upstream.requests(wire.WRITE)
    assert upstream.disk == pattern(upstream.size)
