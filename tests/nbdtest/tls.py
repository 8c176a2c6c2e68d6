# SPDX-License-Identifier: BSD-3-Clause
"""TLS over a socket, in the hands of the test: it sees every byte that goes out, and may cut, delay, add to
or keep it. In all else this is a socket, and raw clients and servers take it for one."""
import array
import fcntl
import os
import socket
import ssl
import termios
import time

CHANGE_CIPHER, ALERT, HANDSHAKE, DATA = range(20, 24)  # types of records
WARNING, FATAL = 1, 2
CLOSE_NOTIFY = 0

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = [TLS12, TLS13]


class TlsSocket:
    """engine: of a context's wrap_bio(), between two memory BIOs. out: what sends bytes of records."""

    def __init__(self, sock, context, server_side=False, hostname=None, session=None, out=None):
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.engine = context.wrap_bio(self.incoming, self.outgoing, server_side, hostname, session)
        self.out = out or sock.sendall
        self.peeked = b""
        self.heard = b""  # the beginning of what came
        self.ended = ""  # how the other side ended TLS: "farewell", or "cut" without one

    # As a socket -----------------------------------------------------------------

    def sendall(self, data):
        view = memoryview(data)
        while len(view):
            view = view[self._turn(self.engine.write, view[:1 << 20]):]

    def recv(self, n, flags=0):
        if not self.peeked or (flags & socket.MSG_PEEK and len(self.peeked) < n):
            self.peeked += self._read(n - len(self.peeked))
        data = self.peeked[:n]
        if not flags & socket.MSG_PEEK:
            self.peeked = self.peeked[n:]
        return data

    def _read(self, n):
        data = b""
        try:
            data = self._turn(self.engine.read, n)
            self.ended = "" if data else "farewell"
        except ssl.SSLZeroReturnError:
            self.ended = "farewell"
        except ConnectionResetError:
            self.ended = "cut"
        except ssl.SSLError as e:
            if e.reason != "UNEXPECTED_EOF_WHILE_READING":
                raise
            self.ended = "cut"
        return data

    def __getattr__(self, name):
        """settimeout(), setsockopt(), shutdown(), close(), ...: none of TLS's business."""
        return getattr(self.sock, name)

    # As TLS ------------------------------------------------------------------------

    def handshake(self):
        self._turn(self.engine.do_handshake)

    def hello(self):
        """The first flight of a client, which is not sent."""
        try:
            self.engine.do_handshake()
        except ssl.SSLWantReadError:
            return self.outgoing.read()
        raise AssertionError("TLS is up already")

    def say_farewell(self):
        """close_notify."""
        try:
            self.engine.unwrap()
        except ssl.SSLError:
            pass  # their own has not come yet
        self.flush()

    def flush(self):
        data = self.outgoing.read()
        if data:
            self.out(data)

    def _turn(self, call, *args):
        """call(*args), again and again while it lacks bytes. Even when it fails, alerts are sent."""
        while True:
            try:
                result = call(*args)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                self._feed()
            except ssl.SSLError:
                try:
                    self.flush()
                except OSError:
                    pass  # nobody hears it
                raise

    def _feed(self):
        data = self.sock.recv(1 << 16)
        self.heard += data[:256 - len(self.heard)]
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()


# How bytes are sent ----------------------------------------------------------------------


def read_away(sock, timeout=5):
    """Until the other side has taken all that was sent. (Unix sockets: over TCP its kernel has.)"""
    left = array.array("i", [0])
    end = time.monotonic() + timeout
    while True:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, left)
        if not left[0]:
            return
        assert time.monotonic() < end, "nobody reads"
        os.sched_yield()


class Pieces:
    """Sends what comes in pieces of one size, each when the one before has been taken."""

    def __init__(self, sock, size):
        self.sock = sock
        self.size = size

    def __call__(self, data):
        for at in range(0, len(data), self.size):
            self.sock.sendall(data[at:at + self.size])
            read_away(self.sock)


class CutAt:
    """Sends everything in two parts, with the cut behind so many bytes of the whole connection."""

    def __init__(self, sock, cut):
        self.sock = sock
        self.cut = cut
        self.sent = 0

    def __call__(self, data):
        head = max(0, min(self.cut - self.sent, len(data)))
        for part in data[:head], data[head:]:
            if part:
                self.sock.sendall(part)
                read_away(self.sock)
        self.sent += len(data)


class StopAt:
    """Sends so many bytes, and nothing more."""

    def __init__(self, sock, most):
        self.sock = sock
        self.left = most

    def __call__(self, data):
        if self.left:
            self.sock.sendall(data[:self.left])
        self.left -= min(self.left, len(data))
