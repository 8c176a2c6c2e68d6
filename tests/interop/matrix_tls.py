# SPDX-License-Identifier: BSD-3-Clause
"""The matrix of TLS: servers x keys x versions x clients, with TLS before the proxy, behind it, or both.
Data is compared with the file behind the server."""
import itertools
import json
import os
import shutil

import nbd

import tls_peers
from matrix import CLIENTS as ORDER
from matrix import record_row
from nbdtest import generations
from nbdtest.data import file_bytes, pattern
from nbdtest.generations import GENERATIONS, MACHINE
from nbdtest.process import wait_until
from tls_peers import KINDS, PROGRAM, SERVERS

SIZE = 4 << 20
MIB = 1 << 20
SIDES = ["client", "upstream", "both"]
VERSIONS = ["1.2", "1.3"]
WORDS = {"x509": "certificates", "psk": "PSK"}


def image_of(place):
    """Data, holes and zeroes."""
    data = bytearray(pattern(SIZE, 11))
    data[MIB:2 * MIB] = bytes(MIB)
    data[3 * MIB:3 * MIB + 4096] = bytes(4096)
    data[-(MIB // 2):] = bytes(MIB // 2)
    path = place.path("image")
    with open(path, "wb") as f:
        f.write(data)
    return path


class Cell:
    """A server, a proxy before it, and a client's place; target: as that client is told of the proxy."""

    def __init__(self, upstream, place, target):
        self.upstream = upstream
        self.place = place
        self.target = target

    def stored(self):
        return file_bytes(self.upstream.backing)

    def run(self, *argv, **kwargs):
        return self.place.run(*argv, **kwargs)

    def by_libnbd(self, program, *args, **kwargs):
        return self.run(*self.target.by_libnbd(program, *args), **kwargs)

    def path(self, name):
        """Where a client may write."""
        return os.path.join(self.target.home or self.place.folder, name)

    def dirty(self):
        """What was there before must go: where the image has zeroes, too."""
        with open(self.upstream.backing, "r+b") as f:
            f.write(b"\x77" * SIZE)


# The clients -----------------------------------------------------------------------


def client_qemu_img(cell):
    image, back, there = image_of(cell.place), cell.place.path("back"), cell.target.qemu_options
    keys = cell.target.qemu_object
    here = f"driver=raw,file.driver=file,file.filename={image}"
    cell.dirty()
    cell.run("qemu-img", "convert", *keys, "-n", "--target-image-opts", "-f", "raw", image, there)
    assert cell.stored() == file_bytes(image)
    assert "identical" in cell.run("qemu-img", "compare", *keys, "--image-opts", here, there)
    cell.run("qemu-img", "convert", *keys, "--image-opts", "-O", "raw", there, back)
    assert file_bytes(back) == file_bytes(image)


def client_qemu_io(cell):
    cell.dirty()
    commands = ["write -q -P 1 0 3M", "write -q -z 1M 64k", "write -q -z -u 2M 64k",
                "write -q -f -P 2 3M 512", "flush", "read -q -P 0 1M 64k", "read -q -P 0 2M 64k",
                "read -q -P 2 3M 512", "read -q -P 1 1114112 512"]
    argv = ["qemu-io", *cell.target.qemu_object, "--image-opts"]
    said = cell.run(*argv, *itertools.chain(*(["-c", c] for c in commands)), cell.target.qemu_options)
    assert "failed" not in said, said
    expected = bytearray(b"\1" * (3 * MIB) + b"\2" * 512 + b"\x77" * (SIZE - 3 * MIB - 512))
    for at in (MIB, 2 * MIB):
        expected[at:at + 65536] = bytes(65536)
    assert cell.stored() == expected
    said = cell.run(*argv, "-c", "write -z -n 512k 64k", cell.target.qemu_options, check=False)
    if "wrote 65536/65536" in said:
        expected[MIB // 2:MIB // 2 + 65536] = bytes(65536)
    else:
        assert "not supported" in said.lower(), said
    assert cell.stored() == expected


def client_nbdinfo(cell):
    cell.dirty()
    assert cell.by_libnbd("nbdinfo", "--size", cell.target.uri).strip() == str(SIZE)
    shown = json.loads(cell.by_libnbd("nbdinfo", "--json", cell.target.uri))
    assert shown.get("TLS", bool(cell.target.keys)) == bool(cell.target.keys)
    assert shown["exports"][0]["export-size"] == SIZE
    told = cell.by_libnbd("nbdinfo", "--map", cell.target.uri)
    assert sum(int(line.split()[1]) for line in told.splitlines() if line.strip()) == SIZE


def client_nbdcopy(cell):
    image, back = image_of(cell.place), cell.path("back")
    cell.dirty()
    # Debian 11's takes TRIM for a way to zero, which qemu-nbd does not promise.
    careful = ["--allocated"] if cell.place.generation.number == 11 else []
    cell.by_libnbd("nbdcopy", "--flush", *careful, image, cell.target.uri)
    assert cell.stored() == file_bytes(image)
    cell.by_libnbd("nbdcopy", cell.target.uri, back)
    assert file_bytes(back) == file_bytes(image)


def client_libnbd(cell):
    model = cell.place.path("model")
    facts = ask_libnbd(cell.place, cell.target, model=model)
    assert facts["tls"] == bool(cell.target.keys)
    assert facts["structured"] and facts["extended"] in (True, None) and facts["fast_zero"]
    assert cell.stored() == file_bytes(model)


def client_fio(cell):
    cell.dirty()
    cell.by_libnbd("fio", "--name=v", "--ioengine=nbd", f"--uri={cell.target.uri}", "--rw=randwrite",
                   f"--size={SIZE // 2}", "--bsrange=4k-64k", "--iodepth=16", "--verify=crc32c",
                   "--do_verify=1", "--verify_fatal=1", "--verify_state_save=0", "--randseed=7",
                   f"--aux-path={cell.path('')}", timeout=120)
    assert cell.stored()[SIZE // 2:] == b"\x77" * (SIZE // 2)
    assert cell.stored()[:SIZE // 2].count(b"\x77") < SIZE // 8, "it has not written all of its half"


def ask_libnbd(place, target, **more):
    """tls_libnbd.py with the Python and the libnbd of a generation."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tls_libnbd.py")
    script = place.path("tls_libnbd.py")
    shutil.copy(here, script)
    return json.loads(place.run(
        *target.by_libnbd("/usr/bin/python3", script, json.dumps(target.spec(**more)))))


CLIENTS = {"qemu-img": client_qemu_img, "qemu-io": client_qemu_io, "nbdinfo": client_nbdinfo,
           "nbdcopy": client_nbdcopy, "libnbd": client_libnbd, "fio": client_fio}


# What was spoken ----------------------------------------------------------------------


def check_spoken(proxy, side, version, kind):
    """The version and the keys that the proxy says of a client that is there now, or of its upstream."""
    h = nbd.NBD()
    h.connect_uri(proxy.uri())
    (row,) = proxy.json()["connections"]
    h.shutdown()
    spoken = row[side]
    assert spoken["version"] == f"TLSv{version}", row
    assert spoken["cipher"].startswith("TLS_") == (version == "1.3"), row
    assert ("PSK" in spoken["cipher"]) == (kind == "psk" and version == "1.2"), row


def check_client_spoke(proxy, version, user):
    """The log has a line of each client's TLS."""
    found = wait_until(lambda: [line for line in proxy.lines("debug") if "client: TLS is up:" in line],
                       5, "a client's TLS in the log")
    assert all(f"TLSv{version}," in line and user in line for line in found), found


# Which cells -----------------------------------------------------------------------------


def needs_home(kind, down, client):
    """fio allows its libnbd no files in URIs, and that of Debian 11 knows no certificates there."""
    return kind == "x509" and (client == "fio" or down == 11 and client in ("nbdinfo", "nbdcopy"))


def possible(program, kind):
    return f"{program}-{kind}" not in tls_peers.CANNOT


def clients_of(kind):
    return [(down, client) for client in CLIENTS for down in sorted(GENERATIONS)
            if GENERATIONS[down].offers(client) and possible(client, kind)]


def servers_of(kind):
    return [(up, s) for s in SERVERS for up in sorted(GENERATIONS) if possible(s, kind)]


def everything():
    """(sides, up, server, kind, version, down, client): all that can be."""
    for kind, version in itertools.product(KINDS, VERSIONS):
        for client in clients_of(kind):
            yield "client", MACHINE.number, "plain", kind, version, *client
        for server in servers_of(kind):
            yield "upstream", *server, kind, version, MACHINE.number, "nbdcopy"
            for client in clients_of(kind):
                yield "both", *server, kind, version, *client


def default():
    """Each server with both keys and both versions, each client several times, but not all pairs."""
    for n, (kind, version) in enumerate(itertools.product(KINDS, VERSIONS)):
        servers, clients = servers_of(kind), clients_of(kind)
        for i, server in enumerate(servers):
            yield "both", *server, kind, version, *clients[(i + 3 * n) % len(clients)]
        yield "client", MACHINE.number, "plain", kind, version, *clients[(8 + 3 * n) % len(clients)]
        yield "upstream", *servers[2 * n % len(servers)], kind, version, MACHINE.number, "nbdcopy"


def all_cells():
    return everything() if generations.ALL_PEERS else default()


def name_of(cell):
    sides, up, server, kind, version, down, client = cell
    return f"{sides}-{up}-{server}-{kind}-{version}--{down}-{client}"


def record(cell):
    sides, up, server, kind, version, down, client = cell
    program = PROGRAM.get(server, "nbdkit" if server == "plain" else server)
    where = {"client": "to clients", "upstream": "to upstream", "both": "both sides"}[sides]
    only = ", --tls=on" if server == "nbdkit-on" else ""
    line = [100 + [*SERVERS, "plain"].index(server), SIDES.index(sides), KINDS.index(kind), version]
    record_row(up, program, f"TLS {version}, {WORDS[kind]}{only}, {where}", line,
               down, client, list(ORDER).index(client), "TCP")
