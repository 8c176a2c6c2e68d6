# SPDX-License-Identifier: BSD-3-Clause
"""A program on a terminal of a known size: tmux's, which says what is on the screen."""
import os
import shlex
import subprocess

from . import paths
from .process import Timeout, wait_until


class Terminal:
    """Runs argv in columns x rows. Its tmux is a child of the test's, with a socket of its own."""

    def __init__(self, folder, processes, argv, columns=80, rows=24, env=None):
        self.socket = os.path.join(folder, f"tmux{len(processes.started)}")
        tmux = paths.find("tmux")
        assert tmux, "tmux is missing: tools/deps installs it"
        self.tmux = [tmux, "-S", self.socket, "-f", "/dev/null"]
        words = [f"{k}={v}" for k, v in {"LC_ALL": "C.UTF-8", **(env or {})}.items()]
        self.server = processes.start([*self.tmux, "-D"])
        self.server.wait_ready(lambda: os.path.exists(self.socket))
        self._do("new-session", "-d", "-x", str(columns), "-y", str(rows), "cat")
        self._do("set-option", "-g", "remain-on-exit", "on")
        self._status = f"{self.socket}.status"
        command = shlex.join(["env", "-u", "NO_COLOR", *words, *map(str, argv)])
        self._do("respawn-pane", "-k", f"{command}; echo $? >{shlex.quote(self._status)}")

    def _do(self, *command):
        done = subprocess.run([*self.tmux, *command], check=False, capture_output=True, text=True,
                              timeout=30)
        assert done.returncode == 0, f"tmux {command}: {done.stderr}"
        return done.stdout

    def screen(self, colours=False):
        """What is on it, line by line."""
        return self._do("capture-pane", "-p", *(["-e"] if colours else [])).split("\n")

    def press(self, *keys):
        """By tmux's names: "q", "Tab", "Left"."""
        self._do("send-keys", *keys)

    def resize(self, columns, rows):
        self._do("resize-window", "-x", str(columns), "-y", str(rows))

    def shows(self, *words, without=(), timeout=30):
        """Waits until all words are on the screen, and those `without` are not; returns the screen."""
        def look():
            text = "\n".join(self.screen())
            good = all(w in text for w in words) and not any(w in text for w in without)
            return text if good else None
        try:
            return wait_until(look, timeout, f"{words} on the screen", 0.05)
        except Timeout as e:
            raise Timeout(f"{e}; it shows:\n" + "\n".join(self.screen())) from None

    def status(self, timeout=30):
        """Waits for the program's end, and returns its exit status."""
        def ended():
            if not os.path.exists(self._status):
                return None
            with open(self._status, encoding="ascii") as f:
                return f.read().split()
        (code,) = wait_until(ended, timeout, "the program's end", 0.05)
        return int(code)
