# SPDX-License-Identifier: BSD-3-Clause
"""The matrix: kinds of upstreams, clients that exercise them, and which pairs are run when."""
import json
import os
import shutil

from interop_helpers import stored
from nbdtest import generations
from nbdtest.data import file_bytes, pattern
from nbdtest.generations import GENERATIONS

SIZE = 8 << 20
MIB = 1 << 20

# Server options of nbdkit's kinds: none of these handshakes is today's.
NBDKIT = {
    "nbdkit-file": [],
    "nbdkit-mask0": ["--mask-handshake=0"],
    "nbdkit-mask1": ["--mask-handshake=1"],
    "nbdkit-mask2": ["--mask-handshake=2"],
    "nbdkit-mask3": ["--mask-handshake=3"],
    "nbdkit-no-sr": ["--no-sr"],
    "nbdkit-oldstyle": ["-o"],
}
QEMU = ["qemu-raw", "qemu-qcow2"]
UPSTREAMS = [*QEMU, "nbdkit-memory", *NBDKIT, "nbd-server"]
PROGRAM = {"qemu-raw": "qemu-nbd", "qemu-qcow2": "qemu-nbd", "nbd-server": "nbd-server"}


def start_upstream(place, kind, tcp=None, size=SIZE, export=""):
    """Any kind in its place; what it stores is read by stored()."""
    servers = place.servers
    if kind == "nbd-server":
        server = servers.nbd_server({"disk": servers.file(size)}, tcp=tcp)
    elif kind == "qemu-raw":
        server = servers.qemu_nbd(servers.file(size), tcp=tcp, export=export)
    elif kind == "qemu-qcow2":
        image = servers.file()
        place.run("qemu-img", "create", "-q", "-f", "qcow2", image, size)
        server = servers.qemu_nbd(image, "qcow2", tcp=tcp, export=export)
    elif kind == "nbdkit-memory":
        server = servers.nbdkit("memory", size, tcp=tcp)
    else:
        image = servers.file(size)
        server = servers.nbdkit("file", image, tcp=tcp, options=NBDKIT[kind], backing=image)
    server.kind = kind
    return server


# The clients: each leaves data behind that is checked without the proxy -----------


class Cell:
    """An upstream, a proxy before it, and a place where the client runs."""

    def __init__(self, upstream, proxy, place):
        self.upstream = upstream
        self.uri = proxy.uri(upstream.export)
        self.proxy = proxy
        self.place = place
        self.run = place.run

    def image(self):
        """Data, holes and zeroes."""
        data = bytearray(pattern(SIZE, 11))
        data[MIB:2 * MIB] = bytes(MIB)
        data[5 * MIB:5 * MIB + 4096] = bytes(4096)
        data[-MIB:] = bytes(MIB)
        path = self.place.path("image")
        with open(path, "wb") as f:
            f.write(data)
        return path

    def stored(self):
        return stored(self.upstream, SIZE)

    def libnbd(self, verb, *args):
        """Runs matrix_libnbd.py with the Python and the libnbd of the client's generation."""
        here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "matrix_libnbd.py")
        script = self.place.path("matrix_libnbd.py")
        shutil.copy(here, script)
        return json.loads(self.run("python3", script, verb, *args))


def client_qemu_img(cell):
    image, back = cell.image(), cell.place.path("back.qcow2")
    cell.run("qemu-io", "-f", "raw", "-c", f"write -q -P 0x77 0 {SIZE}", cell.uri)
    cell.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, cell.uri)
    assert cell.stored() == file_bytes(image)
    assert "identical" in cell.run("qemu-img", "compare", "-f", "raw", "-F", "raw", image, cell.uri)
    shown = [cell.run("qemu-img", "map", "--output=json", "-f", "raw", uri)
             for uri in (cell.uri, cell.upstream.uri)]
    assert shown[0] == shown[1]
    cell.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", cell.uri, back)
    assert "identical" in cell.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", image, back)


def client_qemu_io(cell):
    cell.run("qemu-io", "-f", "raw", "-c", "write -q -P 1 0 4M", "-c", "write -q -z 1M 64k",
             "-c", "write -q -z -u 2M 64k", "-c", "write -q -f -P 2 3M 512", "-c", "flush",
             "-c", "read -q -P 0 1M 64k", "-c", "read -q -P 0 2M 64k", "-c", "read -q -P 2 3M 512",
             "-c", "read -q -P 1 1114112 512", "-c", "discard -q 6M 1M", cell.uri)
    expected = bytearray(b"\1" * (4 * MIB))
    expected[MIB:MIB + 65536] = expected[2 * MIB:2 * MIB + 65536] = bytes(65536)
    expected[3 * MIB:3 * MIB + 512] = b"\2" * 512
    assert cell.stored()[:4 * MIB] == expected
    # A zero that must be fast: done, or refused and nothing has changed.
    said = cell.run("qemu-io", "-f", "raw", "-c", "write -z -n 512k 64k", cell.uri, check=False)
    done = "wrote 65536/65536" in said
    assert done or "not supported" in said.lower(), said
    if done:
        expected[MIB // 2:MIB // 2 + 65536] = bytes(65536)
    assert cell.stored()[:4 * MIB] == expected


def client_nbdcopy(cell):
    image, back = cell.image(), cell.place.path("back")
    cell.run("qemu-io", "-f", "raw", "-c", f"write -q -P 0x77 0 {SIZE}", cell.uri)
    # Debian 11's takes TRIM for a way to zero, which qemu-nbd does not promise: told to keep it all
    # allocated it zeroes.
    careful = ["--allocated"] if cell.place.generation.number == 11 else []
    flush = ["--flush"] if cell.upstream.kind != "nbdkit-oldstyle" else []  # it refuses every FLUSH
    cell.run("nbdcopy", *flush, *careful, image, cell.uri)
    assert cell.stored() == file_bytes(image)
    cell.run("nbdcopy", cell.uri, back)
    assert file_bytes(back) == file_bytes(image)


def client_fio(cell):
    cell.run("fio", "--name=v", "--ioengine=nbd", f"--uri={cell.uri}", "--rw=randwrite",
             f"--size={SIZE // 2}", "--bsrange=4k-64k", "--iodepth=16", "--verify=crc32c",
             "--do_verify=1", "--verify_fatal=1", "--verify_state_save=0", "--randseed=7",
             f"--aux-path={cell.place.folder}", timeout=120)
    assert any(cell.stored()[:SIZE // 2]), "nothing was written"


def client_libnbd(cell):
    """Every command, and what the proxy promises over any upstream."""
    model = cell.place.path("model")
    facts = cell.libnbd("exercise", cell.uri, model)
    assert facts["size"] == SIZE
    assert cell.stored() == file_bytes(model)
    check_modern(facts)
    assert facts["listed"] == [cell.upstream.export]
    assert facts["errors"] == {"read beyond": "EINVAL", "write beyond": "ENOSPC",
                               "zero beyond": "ENOSPC"}


def check_modern(facts):
    """What any client sees through the proxy, whatever is behind it."""
    assert facts["protocol"] == "newstyle-fixed"
    assert facts["structured"]
    assert facts["extended"] in (True, None)  # None: this libnbd knows nothing of it
    assert facts["contexts"] == ["base:allocation"]
    assert facts["can"]["zero"] and facts["can"]["fast_zero"]
    assert facts["can"]["df"]
    assert facts["can"]["fua"] or not facts["can"]["flush"]
    assert facts["info_size"] == facts["size"]


def client_nbdinfo(cell):
    cell.run("qemu-io", "-f", "raw", "-c", "write -q -P 7 1M 1M", cell.uri)
    direct = shown_by_nbdinfo(cell, cell.upstream.uri)
    assert shown_by_nbdinfo(cell, cell.uri) == as_promised(direct, cell.upstream)
    listed = json.loads(cell.run("nbdinfo", "--list", "--json", cell.proxy.uri()))
    assert [e["export-name"] for e in listed["exports"]] == [cell.upstream.export]
    assert cell.run("nbdinfo", "--size", cell.uri).strip() == str(SIZE)
    told = sum(int(line.split()[1]) for line in
               cell.run("nbdinfo", "--map", cell.uri).splitlines() if line.strip())
    assert told == SIZE
    # nbdkit without structured replies lists the context, but does not grant it.
    extents = cell.run("nbdinfo", "--map", cell.upstream.uri, check=False)
    assert cell.run("nbdinfo", "--map", cell.uri) == extents or not extents


# By nature or on purpose different: where it is; what the proxy is for; zeroes are split here, whatever
# the maximum; what file(1) takes the content for.
MAY_DIFFER = {"uri", "can_fast_zero", "can_zero", "block_size_maximum", "content",
              "export-size-str"}  # the size in words


def shown_by_nbdinfo(cell, uri):
    shown = json.loads(cell.run("nbdinfo", "--json", uri))
    for export in shown["exports"]:
        for key in MAY_DIFFER:
            export.pop(key, None)
    return shown


def as_promised(direct, upstream):
    """What nbdinfo shows through the proxy, given what it shows directly."""
    promised = json.loads(json.dumps(direct))
    promised["protocol"] = "newstyle-fixed"
    promised.update({key: True for key in ("structured", "extended") if key in direct})
    export = promised["exports"][0]
    export["can_df"] = True
    if upstream.kind == "nbdkit-oldstyle":  # what it advertises and refuses with EINVAL is not told
        export.update({key: False for key in ("can_cache", "can_flush", "can_fua", "can_trim")
                       if key in export})
    if export["can_flush"]:
        export["can_fua"] = True
    if "can_block_status_payload" in export:  # a filter of contexts: each request is answered for all
        export["can_block_status_payload"] = False
    if not export.get("contexts"):
        export["contexts"] = ["base:allocation"]
    if upstream.kind == "nbd-server":  # its INFO says size 0: it opens the export at GO only
        assert export["export-size"] in (0, SIZE)
        export["export-size"] = SIZE
    return promised


CLIENTS = {"qemu-img": client_qemu_img, "qemu-io": client_qemu_io, "nbdinfo": client_nbdinfo,
           "nbdcopy": client_nbdcopy, "libnbd": client_libnbd, "fio": client_fio}


# Which pairs -----------------------------------------------------------------------


def chosen(kind, client, tcp):
    """The default run: every pair that is here, by one of the two transports."""
    return tcp == bool((UPSTREAMS.index(kind) + list(CLIENTS).index(client)) % 2)


def all_cells():
    numbers = sorted(GENERATIONS)
    for down in numbers:
        clients = [c for c in CLIENTS if GENERATIONS[down].offers(c)]
        for up in numbers:
            for kind in UPSTREAMS:
                for client in clients:
                    for tcp in (False, True):
                        if generations.ALL_PEERS or chosen(kind, client, tcp):
                            yield up, kind, down, client, tcp


def name_of(cell):
    up, kind, down, client, tcp = cell
    return f"{up}-{kind}--{down}-{client}-{'tcp' if tcp else 'unix'}"


def record_row(up, program, what, line, down, client, column, transport):
    """A line for the table of what was run; see matrix_table.py."""
    path = os.environ.get("NBDTEST_MATRIX")
    if not path:
        return
    row = {"up": up, "server": f"{program} {GENERATIONS[up].version(program)}", "kind": what,
           "down": down, "client": f"{client} {GENERATIONS[down].version(client)}",
           "transport": transport, "line": [up, *line], "column": [down, column]}
    with open(path, "a", encoding="utf-8") as f:
        f.write(json.dumps(row) + "\n")


def record(up, kind, down, client, tcp):
    program, _, what = kind.partition("-")
    program = PROGRAM.get(kind, program)
    record_row(up, program, "" if program == kind else what, [UPSTREAMS.index(kind)],
               down, client, list(CLIENTS).index(client), "TCP" if tcp else "Unix")
