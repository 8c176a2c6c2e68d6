# SPDX-License-Identifier: BSD-3-Clause
"""The proxy under test: its configuration, its life, what it says about itself."""
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import time

from . import paths
from .process import Process, free_port, wait_until

# What a sanitizer writes when it has found something.
SANITIZER = re.compile(r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|Sanitizer:\s?DEADLYSIGNAL|runtime error: )")
# No halt at the first race: the report at the end of the log is what fails the test.
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=0:second_deadlock_stack=1:suppressions="
                    + os.path.join(paths.TREE, "tests", "tsan.supp"),
}
# What each proxy is started by, if anything: tests/run sets it, for the filters of systemd's unit.
AROUND = shlex.split(os.environ.get("NBDTEST_AROUND", ""))
# 2026-01-31 12:00:00.000 warn what happened
LEVEL = re.compile(r"(?:\S+ \S+ )?(error|warn|info|debug) ")
PROXY_KEYS = {
    "threads", "metrics-listen", "log-level", "max-connections", "max-connections-per-client",
    "handshake-timeout", "io-timeout", "keepalive", "max-in-flight", "max-in-flight-bytes",
    "drain-timeout", "upgrade-timeout", "state-dir", "user", "group",
    "control-socket-mode", "control-socket-group",
}


class Listen:
    """One [listen] section and where to connect to it."""

    def __init__(self, name, address, upstream):
        self.name = name
        self.address = address  # a path, or (host, port)
        self.upstream = upstream

    @property
    def text(self):
        if isinstance(self.address, str):
            return f"unix:{self.address}"
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def uri(self, export=""):
        if isinstance(self.address, str):
            return f"nbd+unix:///{export}?socket={self.address}"
        host, port = self.address
        return f"nbd://{f'[{host}]' if ':' in host else host}:{port}/{export}"


def dashes(keys):
    return {key.replace("_", "-"): value for key, value in keys.items()}


class Proxy:
    """A running nbdzero-proxy with one listener for each upstream.

    upstreams: {name: URI or (URI, {key: value}) or (URI, {key: value}, {key: value} of [listen])};
    tcp: a host for the listeners; keys of [proxy] and, for every upstream, of [upstream] are given with
    underscores: threads=1, fast_zero="never".
    listeners: {name: {key: value}} of further [listen] sections; exports: the same of [export]."""

    def __init__(self, folder, processes, upstreams, tcp=None, extra="", files=None, env=None,
                 listeners=None, exports=None, program=paths.PROXY, **keys):
        self.folder = folder
        keys = dashes(keys)
        self.state_dir = str(keys.get("state-dir", os.path.join(folder, "state")))
        if self.state_dir and not os.path.exists(self.state_dir):  # else it is as the test wants it
            os.makedirs(self.state_dir)
        number = len(processes.started)
        self.control = os.path.join(folder, f"control{number}")
        self.config = os.path.join(folder, f"proxy{number}.conf")
        self.listens = {}
        sections = [self._proxy_section(keys)]
        common = {k: v for k, v in keys.items() if k not in PROXY_KEYS}
        for name, upstream in upstreams.items():
            given = upstream if isinstance(upstream, tuple) else (upstream,)
            uri, own, listen = (*given, {}, {})[:3]
            sections.append(self._listen_section(name, tcp, {"upstream": name, **dashes(listen)}))
            sections.append(section(f"upstream {name}", {"uri": uri, **common, **dashes(own)}))
        sections += [self._listen_section(name, tcp, dashes(own))
                     for name, own in (listeners or {}).items()]
        sections += [section(f"export {name}", dashes(own))
                     for name, own in (exports or {}).items()]
        with open(self.config, "w", encoding="utf-8") as f:
            f.write("\n".join(sections) + "\n" + extra)
        self.listen = next(iter(self.listens.values()))
        self.process = processes.start([*AROUND, program, "-c", self.config], files=files,
                                       name=os.path.basename(program),
                                       env=dict(SANITIZER_ENV, **(env or {})))
        self.process.wait_ready(self.ready)

    def _proxy_section(self, keys):
        values = {"threads": 2, "log-level": "debug", "drain-timeout": "5s"}
        values.update({k: v for k, v in keys.items() if k in PROXY_KEYS})
        values["control-socket"] = self.control
        values["state-dir"] = self.state_dir
        return section("proxy", values)

    def _listen_section(self, name, tcp, keys):
        address = f"{self.control}-{name}" if not tcp else (tcp, free_port(tcp))
        listen = self.listens[name] = Listen(name, address, keys.get("upstream"))
        return section(f"listen {name}", {"address": listen.text, **keys})

    def ready(self):
        """It answers at its control socket, and its listeners are there."""
        return os.path.exists(self.control) and self.stat("json", check=False).returncode == 0

    # What it says ------------------------------------------------------------

    def stat(self, *command, check=True):
        done = subprocess.run([paths.STAT, "-s", self.control, *command], check=False,
                              capture_output=True, text=True, timeout=20,
                              env=dict(os.environ, **SANITIZER_ENV))
        assert not check or done.returncode == 0, f"nbdzero-stat {command}: {done.stderr}"
        return done

    def json(self):
        return json.loads(self.stat("json").stdout)

    def export(self, name=None):
        """The exports[] object of an export (of the only one, or the first)."""
        exports = self.json()["exports"]
        found = [e for e in exports if name is None or e["export"] == name]
        assert found, f"no export {name!r} in {exports}"
        return found[0]

    def fast_zero(self, name=None):
        return self.export(name)["fast_zero"]

    def verdict(self, length, no_hole=False, name=None):
        """The verdict for a size: 'fast', 'slow' or 'unknown'."""
        for row in self.export(name)["verdicts"]:
            last = row["bytes_to"]
            if row["no_hole"] == no_hole and row["bytes_from"] <= length and \
                    (last is None or length <= last):
                return row["verdict"]
        return "unknown"

    def endings(self):
        return {name: n for name, n in self.json()["endings"].items() if n}

    def active(self):
        return sum(listener["active"] for listener in self.json()["listeners"])

    @contextlib.contextmanager
    def ends(self, *names, timeout=10):
        """Sessions end inside the `with` exactly so: ends("client-breach", "client-disc")."""
        before = self.endings()
        yield
        expected = {name: names.count(name) for name in names}

        def so_far():
            now = self.endings()
            return {k: n - before.get(k, 0) for k, n in now.items() if n != before.get(k, 0)}
        end = time.monotonic() + timeout
        while sum(so_far().values()) < len(names) and time.monotonic() < end:
            time.sleep(0.02)
        assert so_far() == expected, f"{so_far()}, not {expected}"

    def log(self):
        """All that it has had to say so far: lines that a thread of its own writes have been written."""
        end = time.monotonic() + 2
        while self._is_writing() and time.monotonic() < end:
            time.sleep(0.001)
        return self.process.log()

    def _is_writing(self):
        """Is the log's thread at work, or about to be?"""
        tasks = f"/proc/{self.process.popen.pid}/task"
        try:
            for task in os.listdir(tasks):
                with open(f"{tasks}/{task}/stat", encoding="utf-8") as f:
                    _, name, rest = re.split(r"[()]", f.read(), maxsplit=2)
                if name == "log":
                    return rest.split()[0] != "S"
        except (OSError, ValueError):  # it ends
            pass
        return False

    def lines(self, level):
        """The log lines of one level."""
        return [line for line in self.log().splitlines() if LEVEL.match(line)
                and LEVEL.match(line).group(1) == level]

    # Its life -----------------------------------------------------------------

    def uri(self, export=""):
        return self.listen.uri(export)

    @property
    def address(self):
        return self.listen.address

    def stop(self, timeout=20):
        """SIGTERM: it must end well, and no sanitizer may have found anything."""
        status = self.process.terminate(signal.SIGTERM, timeout)
        self.process.kill()
        self.check_log()
        assert status == 0, f"exit status {status} after SIGTERM\n{self.log()[-3000:]}"

    def check_end(self):
        """It has ended before: by itself, or killed by its test, and not by a crash."""
        status = self.process.popen.returncode
        assert status >= 0 or status == -signal.SIGKILL, f"killed by signal {-status}\n{self.log()[-3000:]}"
        self.check_log()

    def check_log(self):
        assert "a worker thread is stuck" not in self.log(), self.log()[-3000:]
        found = SANITIZER.search(self.log())
        if found:
            raise AssertionError(f"sanitizer report:\n{self.log()[found.start():][:6000]}")


def section(name, keys):
    return "\n".join([f"[{name}]"] + [f"{key} = {value}" for key, value in keys.items()])


def run_proxy(*args, timeout=20, stdin=None, **kwargs):
    """One that is expected to end by itself, like --check. Returns the completed process."""
    return subprocess.run([paths.PROXY, *map(str, args)], check=False, capture_output=True,
                          text=True, timeout=timeout, stdin=stdin or subprocess.DEVNULL,
                          env=dict(os.environ, **SANITIZER_ENV), **kwargs)


def wait_idle(proxy, others=0, timeout=10):
    """Until no session but `others` is left. A worker that is so busy closing them that it does not answer
    for statistics in time has some left."""
    def is_idle():
        done = proxy.stat("json", check=False)
        if done.returncode:
            assert "does not answer" in done.stderr, done.stderr
            return False
        return sum(row["active"] for row in json.loads(done.stdout)["listeners"]) <= others

    wait_until(is_idle, timeout, "sessions gone", 0.02)


__all__ = ["Process", "Proxy", "run_proxy", "wait_idle"]
