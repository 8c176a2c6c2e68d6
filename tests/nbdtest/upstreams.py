# SPDX-License-Identifier: BSD-3-Clause
"""Real NBD servers as upstreams, on Unix sockets unless told otherwise."""
import os
import signal
import time

from . import paths
from .process import accepts, free_port, wait_until


class Upstream:
    """A running server: its URI, its address, and the file behind it if there is one."""

    def __init__(self, process, address, export="", backing=None, log_file=None):
        self.process = process
        self.address = address
        self.export = export
        self.backing = backing
        self.log_file = log_file

    @property
    def uri(self):
        if isinstance(self.address, str):
            return f"nbd+unix:///{self.export}?socket={self.address}"
        host, port = self.address
        return f"nbd://{f'[{host}]' if ':' in host else host}:{port}/{self.export}"

    def requests(self, kind=None):
        """The requests that nbdkit's log filter saw: lines like 'Zero id=3 offset=0x0 ...'."""
        if not self.log_file or not os.path.exists(self.log_file):
            return []
        with open(self.log_file, encoding="utf-8") as f:
            # 'DATE TIME connection=1 Zero id=2 ...'; replies start with '...'.
            lines = [line.split(" ", 3)[-1].strip() for line in f
                     if " connection=" in line and " id=" in line]
        lines = [line for line in lines if not line.startswith("...")]
        return [line for line in lines if kind is None or line.startswith(kind + " ")]


class Servers:
    """Starts upstreams for one test."""

    def __init__(self, folder, processes):
        self.folder = folder
        self.processes = processes
        self.count = 0
        self.daemons = []

    def _path(self, ending):
        self.count += 1
        return os.path.join(self.folder, f"u{self.count}.{ending}")

    def _address(self, tcp):
        if not tcp:
            return self._path("sock")
        host = "127.0.0.1" if tcp is True else tcp
        return (host, free_port(host))

    def file(self, size=0, data=b"", folder=None):
        """A sparse file of `size` bytes that begins with `data`."""
        path = os.path.join(folder or self.folder, os.path.basename(self._path("img")))
        with open(path, "wb") as f:
            f.write(data)
            f.truncate(max(size, len(data)))
        return path

    def nbdkit(self, *plugin, filters=(), tcp=None, options=(), export="", log=False, backing=None):
        """nbdkit with a plugin and its parameters; filters are given from the outside in.
        log: the log filter goes innermost of those given, or where filters name it."""
        argv = ["nbdkit", "-f", "--exit-with-parent", *options]
        address = self._address(tcp)
        if isinstance(address, str):
            argv += ["-U", address]
        else:
            argv += ["-i", address[0], "-p", address[1]]
        if export:
            argv += ["-e", export]
        filters = list(filters)
        if log and "log" not in filters:
            filters.append("log")
        argv += [f"--filter={name}" for name in filters] + list(plugin)
        log_file = None
        if "log" in filters:
            log_file = self._path("log")
            argv.append(f"logfile={log_file}")
        process = self.processes.start(argv)
        # nbdkit's own readiness is its PID file, but a connect would count for `limit` and `log`:
        # a listening Unix socket is there as soon as its path is.
        if isinstance(address, str):
            process.wait_ready(lambda: os.path.exists(address))
        else:
            process.wait_ready(lambda: accepts(address))
        return Upstream(process, address, export, backing, log_file)

    def qemu_nbd(self, image, fmt="raw", options=(), tcp=None, export=""):
        address = self._address(tcp)
        argv = ["qemu-nbd", "-t", "-e", 64, "-f", fmt, "-x", export, *options]
        if isinstance(address, str):
            argv += ["-k", address]
        else:
            argv += ["-b", address[0], "-p", address[1]]
        process = self.processes.start(argv + [image])
        process.wait_ready(lambda: accepts(address))
        return Upstream(process, address, export, image)

    def nbd_server(self, exports, tcp=None, settings="", generic=""):
        """nbd-server with {name: file}; the first export is the one that the URI names. generic: further
        lines of its first section, settings: of each export's."""
        address = self._address(tcp)
        conf, pidfile = self._path("conf"), self._path("pid")
        with open(conf, "w", encoding="ascii") as f:
            where = f"unixsock = {address}" if isinstance(address, str) else \
                f"listenaddr = {address[0]}\nport = {address[1]}"
            f.write(f"[generic]\n{where}\nallowlist = true\n{generic}\n")
            for name, path in exports.items():
                f.write(f"[{name}]\nexportname = {path}\nflush = true\nfua = true\n{settings}\n")
        # nbd-server forks a child for each client only as a daemon of its own session: it is found by
        # its PID file, and its group is killed at the end.
        starter = self.processes.start([paths.find("nbd-server"), "-C", conf, "-p", pidfile])
        daemon = Daemon(starter, pidfile)
        self.daemons.append(daemon)
        daemon.wait_ready(address)
        name, path = next(iter(exports.items()))
        return Upstream(daemon, address, name, path)

    def stop_all(self):
        for daemon in self.daemons:
            daemon.kill()


class Daemon:
    """A server that left its parent: known by its PID file."""

    def __init__(self, starter, pidfile):
        self.starter = starter
        self.pidfile = pidfile
        self.pid = None

    def wait_ready(self, address):
        def pid():
            try:
                with open(self.pidfile, encoding="ascii") as f:
                    return int(f.read() or 0)
            except FileNotFoundError:
                return 0
        self.pid = wait_until(pid, 10, "nbd-server's PID file: " + self.starter.log())
        wait_until(lambda: accepts(address), 10, "nbd-server listening")

    def running(self):
        """Not as a zombie: init may take seconds to ask for it."""
        try:
            with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
                return f.read().rpartition(") ")[2][0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def kill(self):
        if not self.running():
            return
        members = [self.pid] + children_of(self.pid)
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        end = time.monotonic() + 5
        while self.running() and time.monotonic() < end:
            time.sleep(0.01)


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            return [int(p) for p in f.read().split()]
    except FileNotFoundError:
        return []
