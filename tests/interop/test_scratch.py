# SPDX-License-Identifier: BSD-3-Clause
"""scratch and scratch-export: verdicts are there before anybody asks, and nothing outside the range is touched."""
import os

import pytest

from interop_helpers import hidden
from nbdtest.data import MIB, connected, fast_zero, file_bytes, pattern
from nbdtest.process import wait_until

FAST = ["maxdata=256K", "maxlen=2G", "delay-write=1ms", "delay-zero=1ms"]
SLOW = ["maxdata=256K", "maxlen=256K", "delay-write=1ms", "delay-zero=1ms"]


def known(proxy, name="", no_hole=False):
    """The verdict of 16 MiB, as measured; "" while there is none."""
    for e in proxy.json()["exports"]:
        for row in e["verdicts"] if e["export"] == name else []:
            if row["no_hole"] == no_hole and row["source"] == "probe" and row["verdict"] != "unknown" \
                    and row["bytes_from"] <= 16 * MIB <= (row["bytes_to"] or 16 * MIB):
                return row["verdict"]
    return ""


@pytest.mark.timing
@pytest.mark.parametrize("parameters, verdict", [(FAST, "fast"), (SLOW, "slow")], ids=["fast", "slow"])
def test_known_before_the_first_client(servers, start_proxy, parameters, verdict):
    upstream = hidden(servers, *parameters)
    data = pattern(16 * MIB, 3)
    with connected(upstream.uri) as h:
        h.pwrite(data, 0)
        h.pwrite(data, 128 * MIB)
    proxy = start_proxy(upstream.uri, probe="off", scratch="64M:64M")
    wait_until(lambda: known(proxy) and known(proxy, no_hole=True), 30, "verdicts")
    assert known(proxy) == known(proxy, no_hole=True) == verdict, proxy.export()["verdicts"]
    with connected(proxy.uri()) as h:
        assert fast_zero(h, 16 * MIB, 0) == (verdict == "fast")
        assert h.pread(16 * MIB, 0) == (bytes(16 * MIB) if verdict == "fast" else data)
        assert h.pread(16 * MIB, 128 * MIB) == data
    with connected(upstream.uri) as h:  # the gaps around the range, too
        assert h.pread(48 * MIB, 16 * MIB) == bytes(48 * MIB)
    probes = proxy.export()["probes"]
    assert probes["run"] == (4 if verdict == "fast" else 2) == probes[verdict]


@pytest.mark.timing
def test_an_export_of_its_own_goes_for_the_others(servers, start_proxy, folder):
    place = os.path.join(folder, "exports")
    os.mkdir(place)
    for name in ("disk", "other", "scratch"):
        with open(os.path.join(place, name), "wb") as f:
            f.write(pattern(MIB, 5) * 96)
    upstream = servers.nbdkit("file", f"dir={place}", "zeromode=plugin", "fastzeromode=none", filters=["nozero"])
    before = {name: file_bytes(os.path.join(place, name), 0, 96 * MIB) for name in ("disk", "other")}
    proxy = start_proxy(upstream.uri, probe="off", scratch="0:64M", scratch_export="scratch")
    with connected(proxy.uri("disk")) as h:  # maybe there before the verdict
        wait_until(lambda: known(proxy, "scratch") and known(proxy, "disk"), 30, "verdicts")
        assert known(proxy, "disk") == known(proxy, "scratch")
        assert fast_zero(h, 16 * MIB, 0) == (known(proxy, "disk") == "fast")
    with connected(proxy.uri("other")):  # and after
        assert known(proxy, "other") == known(proxy, "scratch")
    for name, data in before.items():
        skip = 16 * MIB if name == "disk" else 0
        assert file_bytes(os.path.join(place, name), skip, 96 * MIB - skip) == data[skip:]
    with open(os.path.join(place, "scratch"), "rb") as f:
        assert f.read(64 * MIB) != (pattern(MIB, 5) * 64)[:64 * MIB]
        assert f.read() == pattern(MIB, 5) * 32
