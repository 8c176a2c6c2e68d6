# SPDX-License-Identifier: BSD-3-Clause
"""The relays that are compared: each stands on loopback TCP in front of the same server, or, where it has TLS to
upstream, of one that is the same but for TLS."""
import os
import time

from nbdtest import paths
from nbdtest.pki import Pki
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


def scheme(tls):
    return "nbds:" if tls else "nbd:"


class Ground:
    """What all relays of a run stand on: a folder, the servers, and the certificates of the whole bench."""

    def __init__(self, folder, processes, *plugin):
        self.folder = folder
        self.processes = processes
        self.plugin = plugin
        self.servers = {}  # by whether they have TLS
        self.folder_of_keys = None

    def server(self, tls=False):
        if tls not in self.servers:
            self.servers[tls] = self.nbdkit(tls, *self.plugin)
        return self.servers[tls]

    def cpu(self):
        """CPU seconds of the servers."""
        return sum(server.cpu() for server in self.servers.values())

    def nbdkit(self, tls, *plugin):
        """One of these processes, with or without TLS for its clients."""
        port = free_port(HOST)
        argv = [program("nbdkit"), "-f", "-i", HOST, "-p", port]
        argv += ["--tls=require", f"--tls-certificates={self.keys()}"] if tls else []
        process = self.processes.start([*argv, *plugin])
        process.wait_ready(lambda: accepts((HOST, port)))
        return Relay(f"{scheme(tls)}//{HOST}:{port}/", process)

    def keys(self):
        """One for everybody: a CA, and a certificate for loopback. Where libnbd looks for it under $HOME."""
        if not self.folder_of_keys:
            pki = Pki(self.folder)
            ca = pki.ca("bench")
            server = ca.issue("bench", san=["DNS:localhost", f"IP:{HOST}"])
            path = os.path.join(self.home, ".pki", "libnbd")
            self.folder_of_keys = pki.directory(path=path, ca=ca, server=server)
            os.chmod(f"{path}/ca-cert.pem", 0o644)  # clients are somebody else
        return self.folder_of_keys

    @property
    def home(self):
        return os.path.join(self.folder, "home")


def direct(ground, tls):
    return Relay(ground.server(tls).uri)


def nbdzero_proxy(ground, client_tls, upstream_tls, **options):
    if not os.access(paths.PROXY, os.X_OK):
        raise NotRun(f"{paths.PROXY} is not built")
    upstream = {"tls_certificates": ground.keys()} if upstream_tls else {}
    listen = {"tls": "require", "tls_certificates": ground.keys()} if client_tls else {}
    return Proxy(ground.folder, ground.processes,
                 {"main": (ground.server(upstream_tls).uri, upstream, listen)}, tcp=HOST, threads=1,
                 **options)


def nbdzero(ground, client_tls, upstream_tls):
    proxy = nbdzero_proxy(ground, client_tls, upstream_tls, log_level="info")
    return Relay(proxy.uri().replace("nbd:", scheme(client_tls)), proxy.process)


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


def haproxy(ground):
    port = free_port(HOST)
    config = os.path.join(ground.folder, "haproxy.cfg")
    upstream = ground.server().uri.removeprefix("nbd://").rstrip("/")
    with open(config, "w", encoding="ascii") as f:
        f.write(HAPROXY.format(host=HOST, port=port, upstream=upstream))
    process = ground.processes.start([program("haproxy"), "-db", "-f", config])
    process.wait_ready(lambda: accepts((HOST, port)))
    return Relay(f"nbd://{HOST}:{port}/", process)


def nbdkit_nbd(ground, client_tls, upstream_tls):
    uri = ground.server(upstream_tls).uri
    certificates = [f"tls-certificates={ground.keys()}"] if upstream_tls else []
    return ground.nbdkit(client_tls, "nbd", f"uri={uri}", *certificates)


# How a relay is started, in the order of the tables. Those with TLS are named by the side that has it; haproxy knows
# no STARTTLS.
PLAIN = {
    "direct": lambda ground: direct(ground, False),
    "nbdzero": lambda ground: nbdzero(ground, False, False),
    "haproxy": haproxy,
    "nbdkit": lambda ground: nbdkit_nbd(ground, False, False),
}
TLS = {
    "direct-tls": lambda ground: direct(ground, True),
    "nbdzero-tls-client": lambda ground: nbdzero(ground, True, False),
    "nbdkit-tls-client": lambda ground: nbdkit_nbd(ground, True, False),
    "nbdzero-tls-upstream": lambda ground: nbdzero(ground, False, True),
    "nbdkit-tls-upstream": lambda ground: nbdkit_nbd(ground, False, True),
    "nbdzero-tls-both": lambda ground: nbdzero(ground, True, True),
    "nbdkit-tls-both": lambda ground: nbdkit_nbd(ground, True, True),
}
RELAYS = {**PLAIN, **TLS}


def counterpart(name):
    """Which one of ours a relay is compared with; None: with none."""
    base, _, side = name.partition("-")
    if base == "nbdzero" or side == "tls":
        return None
    return f"nbdzero-{side}" if side else "nbdzero"
