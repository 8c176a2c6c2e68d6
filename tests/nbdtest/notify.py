# SPDX-License-Identifier: BSD-3-Clause
"""A NOTIFY_SOCKET, as systemd has one: what the daemon says of itself."""
import array
import os
import socket
import struct
import time

from .process import Timeout


class Message(dict):
    """{"READY": "1", ...}; `sender`: the PID that the kernel vouches for; `at`: when it was read."""

    def __init__(self, text, sender):
        super().__init__(line.split("=", 1) for line in text.splitlines())
        self.sender = sender
        self.at = time.monotonic()


class NotifySocket:
    """Bound at a path, or at an abstract name: "@name"."""

    def __init__(self, path):
        self.path = path
        self.seen = []
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind("\0" + path[1:] if path.startswith("@") else path)

    @property
    def env(self):
        return {"NOTIFY_SOCKET": self.path}

    def next(self, timeout=20):
        """The next message; a Timeout if there is none in time."""
        self.sock.settimeout(max(timeout, 0.001))
        try:
            data, control, _, _ = self.sock.recvmsg(4096, 256)
        except (socket.timeout, BlockingIOError):
            raise Timeout(f"no message within {timeout} s; so far: {self.seen}") from None
        sender = None
        for level, kind, value in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                sender = struct.unpack("3i", value)[0]
            elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):  # a barrier: closed is answered
                fds = array.array("i", value[:len(value) // 4 * 4])
                for fd in fds:
                    os.close(fd)
        self.seen.append(Message(data.decode(), sender))
        return self.seen[-1]

    def until(self, *keys, timeout=20, but=("WATCHDOG", "STATUS", "EXTEND_TIMEOUT_USEC")):
        """The next message with all these keys. What comes before it may only be of the kinds in `but`."""
        end = time.monotonic() + timeout
        while True:
            message = self.next(end - time.monotonic())
            if all(key in message for key in keys):
                return message
            assert set(message) <= set(but), f"{message} before {keys}"

    def skip(self):
        """Reads what has come already."""
        try:
            while self.next(0):
                pass
        except Timeout:
            pass

    def none(self, key, for_s):
        """No message with this key for so long; what else has come is returned."""
        end, others = time.monotonic() + for_s, []
        while time.monotonic() < end:
            try:
                others.append(self.next(end - time.monotonic()))
            except Timeout:
                break
            assert key not in others[-1], f"{others[-1]} after {for_s - end + time.monotonic():.2f} s"
        return others

    def close(self):
        self.sock.close()
        if not self.path.startswith("@"):
            os.unlink(self.path)
