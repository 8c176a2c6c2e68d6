# SPDX-License-Identifier: BSD-3-Clause
"""A client that can say anything: it sends what the test wants and returns what came back."""
import collections
import socket
import ssl
import struct
import time

from . import wire
from .tls import TlsSocket

OptionReply = collections.namedtuple("OptionReply", "option kind payload")
Reply = collections.namedtuple("Reply", "cookie error payload")
Chunk = collections.namedtuple("Chunk", "cookie flags kind payload offset", defaults=[None])
Export = collections.namedtuple("Export", "size flags infos")


class Closed(AssertionError):
    """The other side closed the connection where bytes were expected."""


class RawClient:
    """One connection; every wait ends after `timeout` seconds. tls: a context for start()."""

    def __init__(self, address, timeout=10, receive_buffer=None, tls=None):
        family = socket.AF_UNIX
        if not isinstance(address, str):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.tls = tls
        self.format = "simple"  # what has been agreed: simple, structured or extended
        self.contexts = {}      # of start(): {name: id}
        self.offsets = {}       # extended: what each chunk must repeat, {cookie: offset}
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

    # TLS ------------------------------------------------------------------------

    def starttls(self, context=None, **options):
        """STARTTLS that must succeed; options are those of TlsSocket."""
        assert self.final(wire.STARTTLS) == wire.ACK
        self.secure(context, **options)

    def secure(self, context=None, **options):
        """TLS from here on, whatever was said before. Nothing that was agreed in plaintext holds."""
        self.sock = TlsSocket(self.sock, context or self.tls, **options)
        self.format, self.contexts = "simple", {}
        self.sock.handshake()

    def refused(self, context=None, **options):
        """TLS that the other side must refuse: after STARTTLS, or now that it is up. Its alert's name."""
        try:
            if not isinstance(self.sock, TlsSocket):
                self.starttls(context, **options)
            data = self.sock.recv(1)  # TLS 1.3: a client's handshake ends before it is judged
        except ssl.SSLError as e:
            return e.reason
        except (ConnectionResetError, BrokenPipeError):
            return "RESET"
        assert not data, f"served: {data}"
        return self.sock.ended.upper()

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
        self.format = "structured"

    def extended(self):
        assert self.final(wire.EXTENDED_HEADERS) == wire.ACK
        self.format = "extended"

    def agree(self, fmt):
        """Asks for one of the three formats."""
        if fmt != "simple":
            getattr(self, fmt)()

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

    def start(self, name="", structured=False, queries=(), infos=(), fmt=None):
        """A whole good handshake."""
        self.greet()
        if self.tls:
            self.starttls()
        self.agree(fmt or ("structured" if structured else "simple"))
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
        if self.format == "extended":
            self.offsets[cookie] = offset
            if command == wire.WRITE:
                flags |= wire.PAYLOAD_LEN
            self.send(wire.extended_request(command, offset, length, flags, cookie, payload))
        else:
            self.send(wire.request(command, offset, length, flags, cookie, payload))
        return cookie

    def reply(self, payload=0):
        """A simple reply; `payload` bytes follow where it is a success."""
        magic, error, cookie = struct.unpack(">IIQ", self.receive(16))
        assert magic == wire.SIMPLE, hex(magic)
        return Reply(cookie, error, self.receive(payload) if payload and not error else b"")

    def chunk(self):
        """A chunk of the format that was agreed."""
        assert self.format != "simple"
        if self.format == "structured":
            magic, flags, kind, cookie, length = struct.unpack(">IHHQI", self.receive(20))
            assert magic == wire.STRUCTURED, hex(magic)
            return Chunk(cookie, flags, kind, self.receive(length))
        magic, flags, kind, cookie, offset, length = struct.unpack(">IHHQQQ", self.receive(32))
        assert magic == wire.EXTENDED, hex(magic)
        assert offset == self.offsets.get(cookie, offset), (offset, self.offsets[cookie])
        assert length <= 1 << 27, f"a chunk of {length} bytes"
        return Chunk(cookie, flags, kind, self.receive(length), offset)

    def chunks(self):
        """All chunks of one reply that nothing is interleaved with."""
        got = [self.chunk()]
        while not got[-1].flags & wire.DONE:
            got.append(self.chunk())
            assert got[-1].cookie == got[0].cookie, got
        return got

    def either(self):
        """(error, chunks): of a simple reply without payload, or of all chunks of one reply."""
        if self.format == "simple":
            return self.reply().error, []
        if self.format == "structured" and self.peek(4) == struct.pack(">I", wire.SIMPLE):
            return self.reply().error, []
        chunks = self.chunks()
        errors = [struct.unpack(">I", x.payload[:4])[0] for x in chunks if x.kind & 0x8000]
        return (errors or [0])[-1], chunks

    def peek(self, n):
        """The next n bytes, which stay to be read."""
        while True:
            try:
                data = self.sock.recv(n, socket.MSG_PEEK)
            except ConnectionResetError:
                data = b""
            if len(data) == n:
                return data
            if not data:
                raise Closed("closed where a reply was expected")
            time.sleep(0.001)

    def call(self, command, offset=0, length=0, flags=0, payload=b""):
        """A request whose reply carries nothing, or is not looked at; returns the error."""
        cookie = self.request(command, offset, length, flags, payload)
        if self.format != "simple":
            return self.either()[0]
        reply = self.reply()
        assert reply.cookie == cookie, (reply, cookie)
        return reply.error

    def write(self, offset, data, flags=0):
        return self.call(wire.WRITE, offset, len(data), flags, data)

    def read(self, offset, length, flags=0):
        """READ; the data, or the error as a number."""
        cookie = self.request(wire.READ, offset, length, flags)
        if self.format != "simple":
            error, chunks = self.either()
            return error or assembled(chunks, offset, length)
        reply = self.reply(length)
        assert reply.cookie == cookie
        return reply.error or reply.payload

    def status(self, offset, length, flags=0):
        """BLOCK_STATUS; {context id: [(length, status), ...]}, or the error as a number."""
        self.request(wire.BLOCK_STATUS, offset, length, flags)
        error, chunks = self.either()
        kind = wire.STATUS_EXT if self.format == "extended" else wire.STATUS
        assert all(x.kind == kind for x in chunks if not x.kind & 0x8000 and x.kind), chunks
        found = [wire.status_extents(x) for x in chunks if x.kind == kind]
        assert error or len(dict(found)) == len(found), "a context twice"
        return error or dict(found)

    def disconnect(self):
        self.request(wire.DISC)
        self.expect_close()
        self.close()


def assembled(chunks, offset, length):
    """The data of a READ, every byte of which must have come exactly once."""
    data, seen = bytearray(length), bytearray(length)
    for x in chunks:
        if x.kind == wire.NONE:
            assert not x.payload and x.flags & wire.DONE, x
            continue
        assert x.kind in (wire.OFFSET_DATA, wire.OFFSET_HOLE), x
        at = struct.unpack(">Q", x.payload[:8])[0] - offset
        piece = x.payload[8:] if x.kind == wire.OFFSET_DATA else \
            bytes(struct.unpack(">I", x.payload[8:])[0])
        assert piece and 0 <= at and at + len(piece) <= length, (at, len(piece))
        assert seen.find(1, at, at + len(piece)) < 0, f"bytes at {at} twice"
        data[at:at + len(piece)] = piece
        seen[at:at + len(piece)] = b"\1" * len(piece)
    assert seen.find(0) < 0, f"{seen.count(0)} of {length} bytes never came"
    return bytes(data)
