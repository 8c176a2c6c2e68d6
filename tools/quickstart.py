# SPDX-License-Identifier: BSD-3-Clause
"""What tools/quickstart shows. Every fact printed is measured here and now; what the text claims is
checked, and the exit code says whether it held."""
import contextlib
import os
import re
import shutil
import statistics
import sys
import tempfile
import time

TREE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TREE, "tests"))

# pylint: disable=wrong-import-position
from nbdtest import paths  # noqa: E402
from nbdtest.data import connected, fast_zero, pattern  # noqa: E402
from nbdtest.disks import settle  # noqa: E402
from nbdtest.process import Processes  # noqa: E402
from nbdtest.proxy import Proxy  # noqa: E402
from nbdtest.upstreams import Servers  # noqa: E402

MIB = 1 << 20
WIDTH = 46
ATTEMPTS = 5


class Show:
    """Rows on the screen, and what did not hold."""

    def __init__(self):
        self.broken = []

    @staticmethod
    def title(text):
        print(f"\n{text}")

    @staticmethod
    def row(what, fact):
        print(f"  {what:{WIDTH}}  {fact}")

    def claim(self, what, fact, holds):
        self.row(what, fact if holds else f"{fact}   <-- not what was expected")
        if not holds:
            self.broken.append(what)


def seconds(value):
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"


def nonzero(path, offset, length):
    """How many bytes of a range are not zero."""
    count = 0
    with open(path, "rb") as f:
        f.seek(offset)
        while length:
            piece = f.read(min(8 * MIB, length))
            if not piece:
                raise EOFError(path)
            count += len(piece) - piece.count(0)
            length -= len(piece)
    return count


class Stage:
    """Servers, proxies and their files, all gone afterwards."""

    def __init__(self, stack, images):
        self.folder = tempfile.mkdtemp(prefix="nz-")
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.images = images
        self.processes = Processes(self.folder)
        stack.callback(self.processes.kill_all)
        self.servers = Servers(self.folder, self.processes)
        stack.callback(self.servers.stop_all)

    def image(self, size):
        """A file full of data, on disk before anything is measured."""
        data = pattern(8 * MIB)
        path = self.servers.file(folder=self.images)
        with open(path, "wb") as f:
            for _ in range(size // len(data)):
                f.write(data)
            f.flush()
            os.fsync(f.fileno())
        return path

    def proxy(self, upstream):
        return Proxy(self.folder, self.processes, {"main": upstream.uri}, log_level="info")


def costs(proxy, export):
    """What the proxy measured: the ratio that decided, and the costs as its log has them."""
    ratios = [row["ratio"] for row in proxy.export(export)["verdicts"]
              if row["verdict"] == "slow" and row["source"] == "probe"]
    found = re.findall(r"probe.*: slow: (write .*), (zero .*), ratio", proxy.log())
    return (ratios[0], *found[0]) if ratios and found else None


def refused_by_truth(show, stage):
    show.title("(a) nbd-server on a file: it zeroes by writing, and does not say so")
    path = stage.image(64 * MIB)
    upstream = stage.servers.nbd_server({"disk": path})
    proxy = stage.proxy(upstream)
    with connected(upstream.uri) as h:
        offered = h.can_fast_zero()
    show.claim("directly: fast zero", "offered" if offered else "not offered", not offered)
    with connected(proxy.uri("disk")) as h:
        offered = h.can_fast_zero()
        show.claim("through the proxy: fast zero", "offered" if offered else "not offered", offered)
        settle()
        for n in range(3):  # one that other work disturbs is refused, too, but says nothing
            begin = time.monotonic()
            answer = fast_zero(h, 16 * MIB, n * 16 * MIB)
            took = time.monotonic() - begin
            if answer or costs(proxy, "disk"):
                break
        show.claim("a fast zero of 16 MiB", f"{'done' if answer else 'ENOTSUP'} after {seconds(took)}"
                   ", with its measuring", not answer)
        begin = time.monotonic()
        answer = fast_zero(h, 16 * MIB, 48 * MIB)
        show.claim("the next one", f"{'done' if answer else 'ENOTSUP'} after "
                   f"{seconds(time.monotonic() - begin)}", not answer)
    measured = costs(proxy, "disk")
    if measured is None:
        show.claim("the measured costs behind it", "none", False)
    else:
        ratio, write, zero = measured
        show.row("measured, each with its flush", write)
        show.row("", zero)
        show.claim("so a zeroed byte costs, of a written one", f"{ratio:.0%}  (fast: below 30%)",
                   ratio >= 0.3)
    touched = 64 * MIB - nonzero(path, 0, 64 * MIB)
    show.claim("bytes that the refused requests changed", str(touched), touched == 0)
    proxy.stop()


def fast_and_silent(show, stage):
    show.title("(b) nbdkit's file plugin: it zeroes in no time, and never says so")
    size, piece = 1024 * MIB, 64 * MIB
    path = stage.image(size)
    upstream = stage.servers.nbdkit("file", path)
    with connected(upstream.uri) as h:
        offered = h.can_fast_zero()
    show.claim("directly: fast zero", "offered" if offered else "not offered", not offered)
    # A measurement that other work disturbs is answered ENOTSUP, which is legal: so ask afresh.
    for attempt in range(1, ATTEMPTS + 1):
        settle()
        times = ask_until_refused(stage.proxy(upstream), size, piece)
        if len(times) * piece == size or attempt == ATTEMPTS:
            break
        show.row(f"attempt {attempt}", f"request {len(times) + 1} refused: disturbed by other work")
        refill(path, len(times) * piece)
    done = len(times) * piece == size
    show.claim("through the proxy: 16 fast zeroes of 64 MiB", "all done" if done
               else f"refused after {len(times)}", done)
    if not done:
        return
    show.claim("the first, with its measuring", seconds(times[0]), times[0] < 1)
    others = statistics.median(times[1:])
    show.claim("the others, median", seconds(others), others < 0.05)
    left = nonzero(path, 0, size)
    show.claim("bytes of 1 GiB that are not zero now", str(left), left == 0)


def ask_until_refused(proxy, size, piece):
    """Fast zeroes from the beginning on; how long each took that was done."""
    times = []
    with connected(proxy.uri()) as h:
        for offset in range(0, size, piece):
            begin = time.monotonic()
            if not fast_zero(h, piece, offset):
                break
            times.append(time.monotonic() - begin)
        h.flush()
    proxy.stop()
    return times


def refill(path, size):
    data = pattern(8 * MIB)
    with open(path, "r+b") as f:
        for _ in range(size // len(data)):
            f.write(data)
        os.fsync(f.fileno())


def long_zero(show, stage):
    show.title("(c) a plain zero of 192 MiB over data on nbd-server")
    for through in False, True:
        path = stage.image(200 * MIB)
        upstream = stage.servers.nbd_server({"disk": path})
        proxy = stage.proxy(upstream) if through else None
        with connected(proxy.uri("disk") if through else upstream.uri) as h:
            h.zero(192 * MIB, 0)
        left = nonzero(path, 0, 192 * MIB)
        kept = nonzero(path, 192 * MIB, 8 * MIB)
        where = "through the proxy" if through else "directly"
        if through:
            show.claim(f"{where}: answered success; data left", f"{left} bytes", left == 0)
            proxy.stop()
        else:
            beyond = nonzero(path, 64 * MIB, 128 * MIB)
            show.claim(f"{where}: answered success; data left",
                       f"{left / MIB:.0f} MiB, all past the first 64", left == beyond > 0)
        show.claim(f"{where}: data behind the range", "intact" if kept == 8 * MIB else "damaged",
                   kept == 8 * MIB)
        os.unlink(path)


ADVICE = """
In front of a server of your own:

    [listen main]
    address = 127.0.0.1:10809
    upstream = mine

    [upstream mine]
    uri = nbd://HOST:PORT

    {proxy} -c FILE
    {stat} verdicts

As another user than root also set control-socket and state-dir in a section [proxy]."""


def main():
    show = Show()
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        images = tempfile.mkdtemp(prefix="quickstart-", dir=paths.BUILD)
        stack.callback(shutil.rmtree, images, ignore_errors=True)
        for part in (refused_by_truth, fast_and_silent, long_zero):
            with contextlib.ExitStack() as inner:
                part(show, Stage(inner, images))
    print(ADVICE.format(proxy=paths.PROXY, stat=paths.STAT))
    print(f"\nMeasured in {time.monotonic() - begin:.0f} s.")
    if show.broken:
        print("Not as claimed: " + "; ".join(show.broken), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
