# SPDX-License-Identifier: BSD-3-Clause
"""nbdzero-probe against the scenarios of docs/zeroing.md whose truth is made by filters: the verdicts are the
daemon's. (Disks are in test_probe_disks.py, what goes wrong in test_probe_faults.py.)"""
import os
import xml.etree.ElementTree

import pytest

from interop_helpers import Costs, hidden
from nbdtest import wire
from nbdtest.data import MIB, fill, pattern, read_all
from nbdtest.formats import UPSTREAMS, kind_of
from nbdtest.probe import probe

KIB = 1024
QUICK = {"write_ms": (0.0, 0.1), "zero_ms": (0.0, 0.1)}
MODES = {"in-place": ["--in-place"], "scratch": ["--scratch", "16M:16M"]}
CHANGES = ("Write", "Zero", "Trim")

# Parameters of the server, and its verdicts at 64 KiB and at 16 MiB (None: either is right).
TRUTH = {
    "s01": (["maxdata=256K", "maxlen=256K", "delay-write=1ms", "delay-zero=1ms"], "slow", "slow"),
    "s02": (["maxdata=256K", "maxlen=256K", "delay-write=4ms", "delay-zero=3ms"], "slow", "slow"),
    "s03": (["maxdata=256K", "maxlen=2G", "delay-write=1ms", "delay-zero=1ms"], None, "fast"),
    "s04": (["maxdata=256K", "maxlen=2G", "delay-write=1ms", "delay-zero=20ms"], "slow", "fast"),
    "s05": (["maxdata=1M", "maxlen=2G", "delay-read=5ms", "delay-write=5ms", "delay-zero=5ms"],
            None, "fast"),
}


@pytest.fixture(params=MODES.keys())
def mode(request):
    return request.param


@pytest.mark.timing
@pytest.mark.parametrize("parameters, small, large", TRUTH.values(), ids=TRUTH.keys())
def test_probe_finds_the_truth(servers, mode, parameters, small, large):
    upstream = hidden(servers, *parameters)
    data = fill(upstream.uri, 64 * MIB)
    done = probe(upstream.uri, *MODES[mode], "--no-hole", "no")
    assert done.verdict(16 * MIB) == large, done.out
    assert small is None or done.verdict(64 * KIB) == small, done.out
    assert done.one()["verdict"] == large
    if mode == "in-place":
        assert read_all(upstream.uri, len(data)) == data, "in place, and yet it changed something"


@pytest.mark.timing
def test_probe_scenario_06_slow_start_of_each_zero(servers, mode):
    upstream = hidden(servers, "delay-zero=60ms", filters=["delay"])
    fill(upstream.uri, 64 * MIB)
    # In scratch with room for 64 MiB: at 16 nobody can tell yet what the fixed cost will be worth.
    where = ["--scratch", "0:64M"] if mode == "scratch" else MODES[mode]
    done = probe(upstream.uri, *where, "--no-hole", "no")
    assert done.verdict(16 * MIB) == "slow", done.out


class DearWithoutHoles(Costs):
    """Making a hole is cheap here; zeroes that are allocated are written."""

    write_ms = (0.0, 2.0)

    def serve(self, c, r):
        self.zero_ms = (0.0, 2.0) if r.flags & wire.NO_HOLE else (0.2, 0.0)
        super().serve(c, r)


@pytest.mark.timing
def test_probe_tells_the_classes_apart(model):
    upstream = model(DearWithoutHoles)
    done = probe(upstream.uri, "--scratch", "0:16M")
    assert done.verdict(16 * MIB) == "fast" and done.verdict(16 * MIB, no_hole=True) == "slow"
    for choice, flags in (("yes", {wire.NO_HOLE}), ("no", {0})):
        known = len(upstream.requests(wire.WRITE_ZEROES))
        only = probe(upstream.uri, "--scratch", "0:16M", "--no-hole", choice)
        assert [c["no_hole"] for c in only.json["classes"]] == [choice == "yes"]
        assert {r.flags for r in upstream.requests(wire.WRITE_ZEROES)[known:]} == flags


def test_probe_without_leave_writes_nothing(servers):
    upstream = servers.nbdkit("memory", "64M", filters=["log"])
    done = probe(upstream.uri)
    assert done.json["mode"] == "read-only" and done.json["classes"] == [] and done.json["verdicts"] == []
    text = probe(upstream.uri, "--text")
    assert "Nothing was written" in text.out and "--scratch" in text.out and not text.err
    assert not upstream.requests(), "not even asked for anything"


def test_probe_says_what_the_server_says(servers):
    upstream = servers.nbdkit("memory", "64M", "blocksize-minimum=4K", "blocksize-preferred=64K",
                              "blocksize-maximum=1M", "exportdesc=fixed:say what", "exportname=x",
                              filters=["exportname", "blocksize-policy"], tcp=True)
    said = probe(upstream.uri).json["export"]
    assert said["size"] == 64 * MIB and said["format"] == "structured"
    assert said["style"] == "fixed newstyle" and said["tls"] is None
    assert said["block_size"] == {"minimum": 4096, "preferred": 65536, "maximum": MIB}
    assert said["description"] == "say what" and said["contexts"] == ["base:allocation"]
    assert said["upstream_advertised"] and "FAST_ZERO" in said["flags"]
    text = probe(upstream.uri, "--text").out
    for word in ("64M", "FAST_ZERO", "minimum 4K, preferred 64K, maximum 1M", "say what", "base:allocation"):
        assert word in text, word


@pytest.mark.parametrize("options, style", [(["-o"], "oldstyle"), (["--mask-handshake=0"], "newstyle")],
                         ids=["oldstyle", "not-fixed"])
def test_probe_old_servers(servers, options, style):
    upstream = servers.nbdkit("memory", "64M", options=options)
    done = probe(upstream.uri)
    assert done.json["export"]["style"] == style
    assert done.json["export"]["size"] == 64 * MIB and done.json["export"]["format"] == "simple"
    if style == "newstyle":
        fill(upstream.uri, 64 * MIB)
        measured = probe(upstream.uri, "--in-place", "--no-hole", "no")
        assert measured.one()["levels"]
        assert read_all(upstream.uri, 64 * MIB) == pattern(64 * MIB)


@pytest.mark.smoke
def test_probe_scratch_touches_nothing_outside(servers):
    upstream = servers.nbdkit("memory", "96M", "zeromode=plugin", filters=["log", "nozero"])
    data = fill(upstream.uri, 96 * MIB)
    known = len(upstream.requests())
    probe(upstream.uri, "--scratch", "32M:8M")
    touched = [line for line in upstream.requests()[known:] if line.startswith(CHANGES)]
    assert touched
    for line in touched:
        fields = dict(f.split("=") for f in line.split() if "=" in f)
        first = int(fields["offset"], 16)
        assert 32 * MIB <= first and first + int(fields["count"], 16) <= 40 * MIB, line
    now = read_all(upstream.uri, 96 * MIB)
    assert now[:32 * MIB] == data[:32 * MIB] and now[40 * MIB:] == data[40 * MIB:]
    assert now[32 * MIB:40 * MIB] != data[32 * MIB:40 * MIB]


@pytest.mark.smoke
def test_probe_in_place_rewrites_data_only(servers, folder):
    """Data in the middle of holes: that is where it goes, and holes stay holes."""
    path = servers.file(size=400 * MIB)
    data = pattern(48 * MIB, 5)
    with open(path, "r+b") as f:
        f.seek(200 * MIB)
        f.write(data)
    blocks = os.stat(path).st_blocks
    upstream = servers.nbdkit("file", path, filters=["log"])
    done = probe(upstream.uri, "--in-place")
    assert done.json["range"]["offset"] == 200 * MIB
    assert all(c["levels"] for c in done.json["classes"])
    with open(path, "rb") as f:
        assert f.read(200 * MIB).count(0) == 200 * MIB
        assert f.read(48 * MIB) == data
        assert f.read().count(0) == 152 * MIB
    assert os.stat(path).st_blocks <= blocks + 2 * KIB
    assert "may lose that write" in done.err


def test_probe_in_place_without_status(servers):
    """Data is found by reading."""
    upstream = servers.nbdkit("memory", "3G", "zeromode=plugin", filters=["log", "noextents", "nozero"])
    data = fill(upstream.uri, 64 * MIB)
    done = probe(upstream.uri, "--in-place", "--no-hole", "no")
    assert done.one()["levels"]
    assert read_all(upstream.uri, len(data)) == data


@pytest.mark.timing
def test_probe_agrees_with_the_daemon(servers, start_proxy):
    """Through a proxy that knows its verdict the same server is measured the same."""
    for parameters, _, large in (TRUTH["s01"], TRUTH["s03"]):
        upstream = hidden(servers, *parameters)
        fill(upstream.uri, 64 * MIB)
        proxy = start_proxy(upstream.uri)
        direct = probe(upstream.uri, "--in-place", "--no-hole", "no")
        relayed = probe(proxy.uri(), "--in-place", "--no-hole", "no")
        assert direct.verdict(16 * MIB) == relayed.verdict(16 * MIB) == large


KEYS = {"version", "uri", "mode", "export", "fast_zero_ratio", "range", "verdicts", "classes", "altered", "error"}
VERDICT = {"no_hole": bool, "bytes_from": int, "bytes_to": int, "verdict": str, "source": str, "age_s": int,
           "ratio": float, "samples": int}
CLASS = {"no_hole": bool, "verdict": str, "why": str, "time_ms": int, "decided_ms": float, "runs": int, "votes": dict,
         "bytes": int, "model": dict, "fit": dict, "levels": list, "sizes": list}
LEVEL = {"size": int, "samples": int, "write_us": float, "write_flush_us": float, "zero_us": float,
         "zero_flush_us": float}


def has_types(value, types):
    for key, kind in types.items():
        assert isinstance(value[key], kind), (key, value)


@pytest.mark.timing
def test_probe_json_and_picture(servers, folder):
    upstream = hidden(servers, *TRUTH["s03"][0])
    svg = os.path.join(folder, "it's a plot.svg")
    done = probe(upstream.uri, "--scratch", "1G:64M", "--plot", svg, "--sizes", "64K,1G")
    assert set(done.json) == KEYS and done.json["altered"] is None and done.json["error"] is None
    assert done.json["range"] == {"offset": 1 << 30, "length": 64 * MIB}
    for v in done.json["verdicts"]:
        has_types(v, VERDICT)
        assert v["source"] == "probe" and v["bytes_from"] <= v["bytes_to"]
    for c in done.json["classes"]:
        has_types(c, CLASS)
        assert [s["size"] for s in c["sizes"]] == [64 * KIB, 1 << 30]
        for level in c["levels"]:
            has_types(level, LEVEL)
        assert [level["size"] for level in c["levels"]] == [64 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB]
    root = xml.etree.ElementTree.parse(svg).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = " ".join(e.text or "" for e in root.iter("{http://www.w3.org/2000/svg}tspan"))
    words += " ".join(e.text or "" for e in root.iter("{http://www.w3.org/2000/svg}text"))
    for word in ("Holes allowed: fast from ", "NO_HOLE: fast from ", "FLUSH", "a MiB", "64M"):
        assert word in words, words
    assert "nan" not in words.lower()


@pytest.mark.timing
def test_probe_tables_fit_80_columns(servers):
    upstream = hidden(servers, *TRUTH["s01"][0])
    done = probe(upstream.uri, "--scratch", "0:16M", "--text")
    assert "Holes allowed: slow" in done.out and "NO_HOLE: slow" in done.out
    assert "Because at" in done.out and "a MiB" in done.out
    assert not [line for line in done.out.splitlines() if len(line) > 100], done.out
    assert not done.err, "a bar where there is no terminal"


@pytest.mark.parametrize("kind", UPSTREAMS)
def test_probe_speaks_every_format(model, kind):
    # Zeroes dearer than writes by far more than a loaded machine's noise in this model's own work.
    costs = kind_of(kind, Costs, has_structured=kind != "simple")
    upstream = model(costs, size=48 * MIB, write_ms=(0.0, 0.2), zero_ms=(0.0, 6.0))
    upstream.disk[:] = pattern(upstream.size)
    done = probe(upstream.uri, "--in-place")
    assert done.json["export"]["format"] == ("extended" if kind == "only_extended" else kind)
    assert [c["verdict"] == "fast" for c in done.json["classes"]] == [False, False]
    assert upstream.disk == pattern(upstream.size)
    assert not upstream.failures


@pytest.mark.timing
@pytest.mark.parametrize("options", MODES.values(), ids=MODES.keys())
def test_probe_keeps_to_what_the_server_takes(model, options):
    """In pieces where a chunk is longer than one message may be, and each piece where it belongs."""
    # Room for another chunk of 16 MiB where the first one was disturbed.
    upstream = model(Costs, size=80 * MIB, block_size=(512, 4096, MIB), has_structured=True, **QUICK)
    upstream.disk[:] = pattern(upstream.size)
    done = probe(upstream.uri, *options, "--max-zero", "2M", "--no-hole", "no")
    assert len(done.one()["levels"]) == 4
    for command in (wire.READ, wire.WRITE):
        longest = max(r.length for r in upstream.requests(command))
        assert longest == MIB or (command == wire.READ and longest < MIB)
    assert max(r.length for r in upstream.requests(wire.WRITE_ZEROES)) == 2 * MIB
    if options == MODES["in-place"]:
        assert upstream.disk == pattern(upstream.size)


class Liar(Costs):
    """Says that it zeroes."""

    def on_write_zeroes(self, c, r):
        self.done(c, r)


@pytest.mark.parametrize("options", MODES.values(), ids=MODES.keys())
def test_probe_reads_back_what_was_zeroed(model, options):
    upstream = model(Liar, size=160 * MIB, write_ms=(0.0, 0.1))
    upstream.disk[:] = pattern(upstream.size)
    done = probe(upstream.uri, *options, code=1)
    assert "does not read as zeroes" in done.err and "does not read as zeroes" in done.json["error"]
    assert done.json["verdicts"] == []
    if options == MODES["in-place"]:
        assert upstream.disk == pattern(upstream.size)
