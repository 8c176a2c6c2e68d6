# SPDX-License-Identifier: BSD-3-Clause
"""The control socket as a program sees it: lines of JSON, with nothing of nbdzero-stat between; and the same
as another user."""
import json
import os
import socket
import subprocess
import sys

import pytest

# Asks as somebody else, and prints what came back: "refused", or the reply's line.
ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
try:
    s.connect(sys.argv[1])
except PermissionError:
    print("refused")
    sys.exit()
s.sendall(sys.argv[2].encode() + b"\\n")
with s.makefile("rb") as f:
    sys.stdout.buffer.write(f.readline())
"""


def request(command, **arguments):
    return json.dumps({"version": 1, "command": command, **arguments})


class Control:
    """One connection."""

    def __init__(self, path, timeout=20):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def reply(self):
        """The next reply, without its version; None at the end."""
        line = self.file.readline()
        if not line:
            return None
        reply = json.loads(line)
        assert reply.pop("version") == 1 and line.endswith(b"\n"), line
        return reply

    def ask(self, command, **arguments):
        self.send(request(command, **arguments) + "\n")
        return self.reply()

    def close(self):
        self.file.close()
        self.sock.close()


def ask(path, command, **arguments):
    with Control(path) as c:
        return c.ask(command, **arguments)


def result(path, command, **arguments):
    reply = ask(path, command, **arguments)
    assert "result" in reply, reply
    return reply["result"]


def error(path, command, **arguments):
    reply = ask(path, command, **arguments)
    assert "error" in reply, reply
    return reply["error"]


def ask_as(uid, path, command, groups=(), **arguments):
    """The reply to another user, whose first group has his own number; "refused" if he may not connect. The
    folder is opened for him."""
    if os.geteuid() != 0:
        pytest.skip("to be another user needs root")
    os.chmod(os.path.dirname(path), 0o711)
    done = subprocess.run([sys.executable, "-I", "-c", ASK, path, request(command, **arguments)], check=True,
                          capture_output=True, text=True, timeout=60, user=uid, group=uid,
                          extra_groups=list(groups))
    return "refused" if done.stdout == "refused\n" else json.loads(done.stdout)
