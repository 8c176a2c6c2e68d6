# SPDX-License-Identifier: BSD-3-Clause
"""A client that can say anything: it sends what the test wants and returns what came back."""
import collections
import socket
import struct

from . import wire

OptionReply = collections.namedtuple("OptionReply", "option kind payload")
Reply = collections.namedtuple("Reply", "cookie error payload")
Chunk = collections.namedtuple("Chunk", "cookie flags kind payload")
Export = collections.namedtuple("Export", "size flags infos")


class Closed(AssertionError):
    """The other side closed the connection where bytes were expected."""


class RawClient:
    """One connection; every wait ends after `timeout` seconds."""

    def __init__(self, address, timeout=10, receive_buffer=None):
        family = socket.AF_UNIX
        if not isinstance(address, str):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.cookie = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Bytes --------------------------------------------------------------------

    def send(self, data):
        self.sock.sendall(data)

    def receive(self, n):
        data = bytearray()
        while len(data) < n:
            try:
                piece = self.sock.recv(min(n - len(data), 1 << 20))
            except ConnectionResetError:
                piece = b""
            if not piece:
                raise Closed(f"closed after {len(data)} of {n} bytes: {bytes(data[:64])!r}")
            data += piece
        return bytes(data)

    def expect_close(self, timeout=5):
        """The other side closes, and says nothing before it."""
        self.sock.settimeout(timeout)
        try:
            data = self.sock.recv(4096)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        except socket.timeout:
            raise AssertionError(f"still open after {timeout} s") from None
        assert data == b"", f"bytes before the close: {data[:64]!r}"

    def drain(self):
        """What still comes until the other side closes."""
        data = bytearray()
        while True:
            try:
                piece = self.sock.recv(1 << 20)
            except ConnectionResetError:
                return bytes(data)
            if not piece:
                return bytes(data)
            data += piece

    def silent(self, seconds):
        """True if nothing comes, and nothing closes, for so long."""
        before = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except socket.timeout:
            return True
        finally:
            self.sock.settimeout(before)
        return False

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes so that the other side gets a reset (TCP only)."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # Handshake ----------------------------------------------------------------

    def greet(self, flags=3):
        """Reads the greeting, answers with client flags; returns the server's."""
        greeting = self.receive(18)
        assert greeting[:16] == wire.NBDMAGIC + wire.IHAVEOPT, greeting
        self.send(struct.pack(">I", flags))
        return struct.unpack(">H", greeting[16:])[0]

    def option_reply(self):
        magic, option, kind, length = struct.unpack(">QIII", self.receive(20))
        assert magic == wire.OPTION_REPLY, hex(magic)
        assert length <= 1 << 20, f"an option reply of {length} bytes"
        return OptionReply(option, kind, self.receive(length))

    def option(self, number, data=b""):
        """Sends an option and returns its replies, the final one last."""
        self.send(wire.option(number, data))
        replies = [self.option_reply()]
        while replies[-1].kind in (wire.SERVER, wire.REP_INFO, wire.META_CONTEXT):
            replies.append(self.option_reply())
        assert all(reply.option == number for reply in replies), replies
        return replies

    def final(self, number, data=b""):
        """The kind of the final reply to an option."""
        return self.option(number, data)[-1].kind

    def structured(self):
        assert self.final(wire.STRUCTURED_REPLY) == wire.ACK

    def set_meta(self, name, queries, number=wire.SET_META):
        """Selects contexts; returns {name: id}."""
        replies = self.option(number, wire.meta_data(name, queries))
        assert replies[-1].kind == wire.ACK, replies
        return {r.payload[4:].decode(): struct.unpack(">I", r.payload[:4])[0]
                for r in replies[:-1]}

    def go(self, name="", infos=(), number=wire.GO):
        """GO that must succeed."""
        replies = self.option(number, wire.info_data(name, infos))
        assert replies[-1].kind == wire.ACK, replies
        got = {}
        for reply in replies[:-1]:
            kind = struct.unpack(">H", reply.payload[:2])[0]
            assert kind not in got, f"information {kind} twice"
            got[kind] = reply.payload[2:]
        size, flags = struct.unpack(">QH", got[wire.INFO_EXPORT])
        return Export(size, flags, got)

    def alive(self):
        """The handshake goes on: an ABORT would be served, and an unknown option is refused."""
        return self.final(0x7FFE) == wire.ERR_UNSUP

    def start(self, name="", structured=False, queries=(), infos=()):
        """A whole good handshake."""
        self.greet()
        if structured:
            self.structured()
        if queries:
            self.contexts = self.set_meta(name, queries)
        return self.go(name, infos)

    def abort(self):
        """ABORT: an ACK, then the end."""
        assert self.final(wire.ABORT) == wire.ACK
        self.expect_close()
        self.close()

    # Transmission ---------------------------------------------------------------

    def request(self, command, offset=0, length=0, flags=0, payload=b"", cookie=None):
        """Sends a request; returns its cookie."""
        if cookie is None:
            self.cookie += 1
            cookie = self.cookie
        self.send(wire.request(command, offset, length, flags, cookie, payload))
        return cookie

    def reply(self, payload=0):
        """A simple reply; `payload` bytes follow where it is a success."""
        magic, error, cookie = struct.unpack(">IIQ", self.receive(16))
        assert magic == wire.SIMPLE, hex(magic)
        return Reply(cookie, error, self.receive(payload) if payload and not error else b"")

    def chunk(self):
        magic, flags, kind, cookie, length = struct.unpack(">IHHQI", self.receive(20))
        assert magic == wire.STRUCTURED, hex(magic)
        return Chunk(cookie, flags, kind, self.receive(length))

    def either(self):
        """(error, chunks): of a simple reply without payload, or of all chunks of one reply."""
        magic = struct.unpack(">I", self.receive(4))[0]
        if magic == wire.SIMPLE:
            error, _ = struct.unpack(">IQ", self.receive(12))
            return error, []
        assert magic == wire.STRUCTURED, hex(magic)
        chunks, error = [], 0
        while True:
            flags, kind, cookie, length = struct.unpack(">HHQI", self.receive(16))
            chunks.append(Chunk(cookie, flags, kind, self.receive(length)))
            if kind & 0x8000:
                error = struct.unpack(">I", chunks[-1].payload[:4])[0]
            if flags & wire.DONE:
                return error, chunks
            assert struct.unpack(">I", self.receive(4))[0] == wire.STRUCTURED

    def call(self, command, offset=0, length=0, flags=0, payload=b""):
        """A request and its simple reply; returns the error."""
        cookie = self.request(command, offset, length, flags, payload)
        reply = self.reply()
        assert reply.cookie == cookie, (reply, cookie)
        return reply.error

    def write(self, offset, data, flags=0):
        return self.call(wire.WRITE, offset, len(data), flags, data)

    def read(self, offset, length):
        """READ over simple replies; the data, or the error as a number."""
        cookie = self.request(wire.READ, offset, length)
        reply = self.reply(length)
        assert reply.cookie == cookie
        return reply.error or reply.payload

    def disconnect(self):
        self.request(wire.DISC)
        self.expect_close()
        self.close()
