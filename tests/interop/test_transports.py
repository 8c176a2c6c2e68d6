# SPDX-License-Identifier: BSD-3-Clause
"""TCP over v4 and v6, Unix sockets, on both sides; several clients, several threads."""
import threading

import pytest

from nbdtest.data import connected, file_bytes, pattern
from nbdtest.disks import run

MIB = 1 << 20


@pytest.mark.parametrize("upstream_tcp", [None, "127.0.0.1", "::1"], ids=["unix", "v4", "v6"])
@pytest.mark.parametrize("tcp", [None, "127.0.0.1", "::1"], ids=["unix", "v4", "v6"])
def test_transport(servers, start_proxy, tcp, upstream_tcp):
    image = servers.file(8 * MIB)
    upstream = servers.nbdkit("file", image, tcp=upstream_tcp)
    proxy = start_proxy(upstream.uri, tcp=tcp)
    data = pattern(8 * MIB)
    with connected(proxy.uri()) as h:
        h.pwrite(data, 0)
        h.flush()
        assert bytes(h.pread(MIB, 3 * MIB)) == data[3 * MIB:4 * MIB]
    assert file_bytes(image) == data


def test_upstream_by_name(servers, start_proxy):
    upstream = servers.nbdkit("memory", "1M", tcp="127.0.0.1")
    proxy = start_proxy(f"nbd://localhost:{upstream.address[1]}")
    assert run("nbdinfo", "--size", proxy.uri()).strip() == str(MIB)


def test_export_part_of_the_uri_replaces_the_empty_name(servers, start_proxy):
    one, two = servers.file(MIB), servers.file(2 * MIB)
    upstream = servers.nbd_server({"one": one, "two": two}, tcp="127.0.0.1")
    proxy = start_proxy(upstream.uri)
    for name, size in ("", MIB), ("one", MIB), ("two", 2 * MIB):
        with connected(proxy.uri(name)) as h:
            assert h.get_size() == size


@pytest.mark.smoke
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_many_clients_at_once(servers, start_proxy, threads):
    image = servers.file(16 * MIB)
    proxy = start_proxy(servers.nbdkit("file", image).uri, threads=threads)
    failures = []

    def work(n):
        try:
            with connected(proxy.uri()) as h:
                for turn in range(20):
                    data = pattern(65536, n * 100 + turn)
                    h.pwrite(data, n * MIB)
                    assert bytes(h.pread(65536, n * MIB)) == data
                h.flush()
        except Exception as e:  # pylint: disable=broad-except
            failures.append(repr(e))
    workers = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert not failures
    for n in range(16):
        assert file_bytes(image, n * MIB, 65536) == pattern(65536, n * 100 + 19)


def test_multi_conn_nbdcopy(servers, start_proxy):
    source, target = servers.file(data=pattern(32 * MIB)), servers.file(32 * MIB)
    proxy = start_proxy(servers.nbd_server({"disk": target}).uri)
    run("nbdcopy", "--connections=4", "--flush", source, proxy.uri("disk"))
    assert file_bytes(target) == file_bytes(source)


def test_proxy_behind_proxy(servers, start_proxy):
    image = servers.file(8 * MIB)
    inner = start_proxy(servers.nbdkit("file", image).uri)
    outer = start_proxy(inner.uri())
    with connected(outer.uri()) as h:
        assert h.can_fast_zero()
        h.pwrite(pattern(MIB), 0)
        h.zero(4096, 0)
        h.flush()
    assert file_bytes(image, 0, MIB) == bytes(4096) + pattern(MIB)[4096:]


def test_f123_upstream_read_errors(servers, start_proxy, folder):
    """nbdkit's error filter: errors arrive as errors, the connection lives, with any client."""
    upstream = servers.nbdkit("memory", "8M", "error-pread=EIO", "error-pread-rate=50%",
                              filters=["error"])
    proxy = start_proxy(upstream.uri)
    for structured in True, False:
        with connected(proxy.uri(), structured=structured) as h:
            failed = 0
            for n in range(100):
                try:
                    assert bytes(h.pread(4096, n * 4096)) == bytes(4096)
                except OSError:
                    raise
                except Exception as e:  # nbd.Error
                    assert getattr(e, "errnum", None) == 5, e
                    failed += 1
            assert 10 < failed < 90
