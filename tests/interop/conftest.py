# SPDX-License-Identifier: BSD-3-Clause
"""Every kind of real upstream, each with the file behind it where there is one."""
import pytest

from nbdtest.data import pattern
from nbdtest.disks import run
from nbdtest.generations import GENERATIONS, Inside, Place
from tls_keys import KeyRing

# Whose asserts shall say what they compared.
pytest.register_assert_rewrite("matrix", "matrix_tls", "interop_helpers")

SIZE = 16 << 20
NAMES = ["nbd-server", "nbdkit-memory", "nbdkit-file", "nbdkit-nozero", "nbdkit-emulate",
         "nbdkit-delay", "nbdkit-blocksize", "qemu-raw", "qemu-qcow2"]
NBDKIT = {
    "nbdkit-nozero": (["nozero"], []),
    "nbdkit-emulate": (["nozero"], ["zeromode=emulate"]),
    "nbdkit-delay": (["delay"], ["delay-read=1ms", "delay-write=1ms"]),
    "nbdkit-blocksize": (["blocksize"], ["minblock=512", "maxdata=64K"]),
}


def make_upstream(servers, name, size=SIZE):
    if name == "nbd-server":
        return servers.nbd_server({"disk": servers.file(size)})
    if name == "nbdkit-memory":
        return servers.nbdkit("memory", size, log=True)
    if name == "qemu-raw":
        return servers.qemu_nbd(servers.file(size))
    if name == "qemu-qcow2":
        image = servers.file()
        run("qemu-img", "create", "-q", "-f", "qcow2", image, size)
        return servers.qemu_nbd(image, "qcow2")
    image = servers.file(size)
    filters, parameters = NBDKIT.get(name, ([], []))
    return servers.nbdkit("file", image, *parameters, filters=filters, log=True, backing=image)


@pytest.fixture(params=NAMES)
def upstream(request, servers):
    """One of every kind of upstream, all zeroes at first."""
    server = make_upstream(servers, request.param)
    server.kind = request.param
    return server


@pytest.fixture
def image(servers):
    """A file with data, holes and zeroes in it."""
    data = bytearray(pattern(SIZE, 11))
    data[1 << 20:3 << 20] = bytes(2 << 20)
    data[5 << 20:(5 << 20) + 4096] = bytes(4096)
    data[-(2 << 20):] = bytes(2 << 20)
    return servers.file(data=bytes(data))


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """keys(name): certificates or a PSK, right or wrong; see tls_keys.py."""
    return KeyRing(str(tmp_path_factory.mktemp("keys")))


@pytest.fixture
def place_in(folder, processes):
    """place_in(number): where a generation's programs run in this test. beside: in the folder of another
    place if this generation sees it."""
    places = []

    def find(number, beside=None):
        generation = GENERATIONS[number]
        if beside and (generation is beside.generation or not generation.root):
            place = Place(generation, beside.folder, processes)
        elif generation.root:
            place = Inside(generation, processes)
        else:
            place = Place(generation, folder, processes)
        places.append(place)
        return place

    yield find
    for place in reversed(places):
        place.close()
