# SPDX-License-Identifier: BSD-3-Clause
"""Child processes that never outlive the test which started them."""
import ctypes
import itertools
import os
import resource
import signal
import socket
import subprocess
import time

_libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


class Timeout(AssertionError):
    """Something did not happen in time."""


def wait_until(condition, timeout=10, what="a condition", pause=0.01):
    """Polls until condition() is true, and returns what it returned."""
    end = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise Timeout(f"{what}: not within {timeout} s")
        time.sleep(pause)


# Below the ports that the kernel hands out, and from a block of this process's own: a port that the kernel
# chose for a bind to 0 may be anybody's again before its server has begun to listen.
_ports = itertools.cycle(range(20000 + os.getpid() % 120 * 100, 20100 + os.getpid() % 120 * 100))


def free_port(host="127.0.0.1"):
    """A TCP port nobody listens on at the moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in itertools.islice(_ports, 100):
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((host, port))
                return port
            except OSError:
                continue
    raise AssertionError("no TCP port is free")


def accepts(address):
    """True if somebody accepts connections at a path or a (host, port)."""
    family = socket.AF_UNIX
    if not isinstance(address, str):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(1)
        return s.connect_ex(address) == 0


class Process:
    """One child with its output in a log file."""

    def __init__(self, argv, log, env=None, files=None, cwd=None):
        self.argv = [str(a) for a in argv]
        self.log_path = str(log)

        def in_child():
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if files:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        self._log = open(self.log_path, "ab")
        # A process group of its own: what the child forks is killed with it.
        self.popen = subprocess.Popen(
            self.argv, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, cwd=cwd,
            env=dict(os.environ, **(env or {})), preexec_fn=in_child, start_new_session=True)

    @property
    def pid(self):
        return self.popen.pid

    @property
    def name(self):
        return os.path.basename(self.argv[0])

    def log(self):
        with open(self.log_path, "rb") as f:
            return f.read().decode(errors="replace")

    def running(self):
        return self.popen.poll() is None

    def wait_ready(self, ready, timeout=20):
        """Until ready() is true; fails at once when the process has ended."""
        def check():
            if not self.running():
                raise AssertionError(
                    f"{self.argv} ended with {self.popen.returncode}:\n{self.log()[-4000:]}")
            return ready()
        wait_until(check, timeout, f"{self.name} ready")

    def terminate(self, sig=signal.SIGTERM, timeout=20):
        """Sends a signal and returns the exit status (negative: killed by that signal)."""
        if self.running():
            self.popen.send_signal(sig)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Timeout(f"{self.name} did not end within {timeout} s of signal {sig}") from None

    def kill(self):
        """Ends the whole process group, now."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if self.popen.returncode is None:
            self.popen.wait()
        self._log.close()

    # Linux facts ------------------------------------------------------------

    def rss(self):
        """Resident memory in bytes."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) << 10
        raise AssertionError("no VmRSS")

    def cpu(self):
        """CPU seconds used so far, user and system."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Processes:
    """All children of one test."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def start(self, argv, name=None, **kwargs):
        name = name or os.path.basename(str(argv[0]))
        log = os.path.join(self.folder, f"{len(self.started):02}-{name}.log")
        process = Process(argv, log, **kwargs)
        self.started.append(process)
        return process

    def kill_all(self):
        for process in reversed(self.started):
            process.kill()
