# SPDX-License-Identifier: BSD-3-Clause
"""The relays that are compared: each stands on loopback TCP in front of the same server."""
import os
import shutil
import time

from nbdtest import paths
from nbdtest.process import accepts, free_port
from nbdtest.proxy import Proxy

HOST = "127.0.0.1"


class NotRun(Exception):
    """This machine lacks what it takes."""


class Relay:
    """A running relay: the URI that clients use, and its process (None: there is none)."""

    def __init__(self, uri, process=None):
        self.uri = uri
        self.process = process

    def cpu(self):
        """CPU seconds so far, user and system, of all its threads, the ended ones included."""
        return cpu_of(self.process.pid) if self.process else 0.0


def cpu_of(pid):
    # The process's CPU clock, in nanoseconds; /proc/PID/stat counts hundredths of a second.
    return time.clock_gettime((~pid << 3) | 2)


def program(name):
    path = paths.find(name)
    if not path:
        raise NotRun(f"{name} is not installed")
    return path


def nbdkit_server(processes, *plugin):
    """The server behind all relays."""
    port = free_port(HOST)
    process = processes.start([program("nbdkit"), "-f", "-i", HOST, "-p", port, *plugin])
    process.wait_ready(lambda: accepts((HOST, port)))
    return Relay(f"nbd://{HOST}:{port}/", process)


def direct(_folder, _processes, server):
    return Relay(server.uri)


def nbdzero(folder, processes, server):
    if not os.access(paths.PROXY, os.X_OK):
        raise NotRun(f"{paths.PROXY} is not built")
    proxy = Proxy(folder, processes, {"main": server.uri}, tcp=HOST, threads=1, log_level="info")
    return Relay(proxy.uri(), proxy.process)


HAPROXY = """
global
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen nbd
    bind {host}:{port}
    server upstream {upstream}
"""


def haproxy(folder, processes, server):
    port = free_port(HOST)
    config = os.path.join(folder, "haproxy.cfg")
    upstream = server.uri.removeprefix("nbd://").rstrip("/")
    with open(config, "w", encoding="ascii") as f:
        f.write(HAPROXY.format(host=HOST, port=port, upstream=upstream))
    process = processes.start([program("haproxy"), "-db", "-f", config])
    process.wait_ready(lambda: accepts((HOST, port)))
    return Relay(f"nbd://{HOST}:{port}/", process)


def nbdkit_nbd(_folder, processes, server):
    if not shutil.which("nbdkit"):
        raise NotRun("nbdkit is not installed")
    return nbdkit_server(processes, "nbd", f"uri={server.uri}")


# In the order of the tables.
RELAYS = {"direct": direct, "nbdzero": nbdzero, "haproxy": haproxy, "nbdkit": nbdkit_nbd}
