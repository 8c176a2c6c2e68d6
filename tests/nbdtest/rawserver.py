# SPDX-License-Identifier: BSD-3-Clause
"""A small upstream that behaves well until a test overrides the one thing it does badly.

Each misbehaviour is a subclass in its test's file; `events` records everything that arrived."""
import collections
import socket
import ssl
import struct
import threading
import time

from . import wire
from .process import free_port, wait_until
from .tls import TlsSocket

Request = collections.namedtuple("Request", "command flags cookie offset length payload")

NAMES = ["read", "write", "disc", "flush", "trim", "cache", "write_zeroes", "block_status"]


class Gone(Exception):
    """The proxy closed the connection."""


class Connection:
    """The server's side of one connection."""

    def __init__(self, sock, number):
        self.sock = sock
        self.number = number
        self.format = "simple"  # or structured, or extended
        self.no_zeroes = False
        self.contexts = {}
        self.secure = False
        self.plain = bytearray()  # what was received before TLS

    @property
    def chunked(self):
        return self.format != "simple"

    def chunk(self, r, kind, payload=b"", flags=wire.DONE, length=None, cookie=None, offset=None):
        """A chunk that answers `r`, in this connection's format unless told otherwise."""
        cookie = r.cookie if cookie is None else cookie
        if self.format == "extended":
            return wire.extended_chunk(cookie, r.offset if offset is None else offset, kind,
                                       payload, flags, length)
        return wire.chunk(cookie, kind, payload, flags, length)

    def status(self, r, context, extents, flags=wire.DONE):
        """A block status chunk."""
        extended = self.format == "extended"
        return self.chunk(r, wire.STATUS_EXT if extended else wire.STATUS,
                          wire.status_payload(extended, context, extents), flags)

    def receive(self, n):
        data = bytearray()
        while len(data) < n:
            try:
                piece = self.sock.recv(min(n - len(data), 1 << 20))
            except OSError:
                piece = b""
            if not piece:
                raise Gone
            data += piece
            if not self.secure:
                self.plain += piece
        return bytes(data)

    def send(self, *parts):
        try:
            self.sock.sendall(b"".join(parts))
        except OSError:
            raise Gone from None

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def starttls(self, context, **options):
        """TLS from here on, and as if the connection had just begun; options are those of TlsSocket."""
        self.sock = TlsSocket(self.sock, context, server_side=True, **options)
        self.secure, self.format, self.contexts = True, "simple", {}
        self.sock.handshake()

    def wait_closed(self):
        """Reads and forgets until the proxy closes."""
        while True:
            self.receive(1)


class ModelUpstream:
    """Serves `disk` under every name; structured replies and base:allocation are agreed to.

    What it can do is set by the attributes; a size above 1 GiB has no disk behind it and reads zero."""

    size = 1 << 20
    flags = (wire.HAS_FLAGS | wire.SEND_FLUSH | wire.SEND_FUA | wire.SEND_TRIM
             | wire.SEND_WRITE_ZEROES | wire.SEND_CACHE)
    oldstyle = False           # greets in the style of before 2011
    oldstyle_reserved = 0      # the upper 16 bits of its flags
    handshake_flags = 3        # without bit 0 it is newstyle, but not fixed
    lacks = ()                 # options that it does not know
    has_structured = True
    has_extended = False
    requires_extended = False  # refuses whoever does not use extended headers
    exports = None             # {name: description}; None: every name, and "" is listed
    known_contexts = {"base:allocation": 7}
    block_size = None  # (minimum, preferred, maximum)
    tls = None         # a context: STARTTLS is demanded
    tcp = None         # a host to listen at, instead of a Unix socket

    def __init__(self, folder, **overrides):
        for name, value in overrides.items():
            assert hasattr(self, name), name
            setattr(self, name, value)
        self.disk = bytearray(self.size if self.size <= 1 << 30 else 0)
        self.events = []       # ("flags", number, None), ("option", number, data) and Requests, in order
        self.formats = []      # of each transmission that began
        self.failures = []
        self.open_connections = []
        self.connections = []  # all there ever were
        self.tls_failures = []  # what TLS has said of each that failed
        self.accepted = 0
        if self.tcp:
            self.listener = socket.create_server(
                (self.tcp, free_port(self.tcp)), backlog=64,
                family=socket.AF_INET6 if ":" in self.tcp else socket.AF_INET)
        else:
            self.path = f"{folder}/model{id(self):x}"
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.listener.bind(self.path)
            self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def uri(self):
        scheme = "nbds" if self.tls else "nbd"
        if not self.tcp:
            return f"{scheme}+unix:///?socket={self.path}"
        host, port = self.listener.getsockname()[:2]
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    def requests(self, command=None):
        return [e for e in self.events
                if isinstance(e, Request) and command in (None, e.command)]

    def options(self, number):
        return [e[2] for e in self.events if e[0] == "option" and e[1] == number]

    def wait_requests(self, n, command=None, timeout=5):
        wait_until(lambda: len(self.requests(command)) >= n, timeout, f"{n} requests upstream")
        return self.requests(command)

    def wait_no_connection(self, timeout=5):
        wait_until(lambda: not self.open_connections, timeout, "upstream connections closed")

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for c in list(self.open_connections):
            c.close()
        assert not self.failures, self.failures

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            c = Connection(sock, self.accepted)
            self.open_connections.append(c)
            self.connections.append(c)
            threading.Thread(target=self._run, args=(c,), daemon=True).start()

    def _run(self, c):
        try:
            self.session(c)
        except Gone:
            pass
        except ssl.SSLError as e:
            self.tls_failures.append(e.reason)
        except Exception as e:  # pylint: disable=broad-except
            self.failures.append(repr(e))
        finally:
            c.close()
            self.open_connections.remove(c)

    # A session, step by step: override what is to go wrong -------------------

    def session(self, c):
        self.greet(c)
        if not self.oldstyle:
            self.haggle(c)
        self.formats.append(c.format)
        self.transmit(c)

    def greet(self, c):
        if self.oldstyle:
            c.send(self.old_greeting())
            return
        c.send(wire.NBDMAGIC, wire.IHAVEOPT, struct.pack(">H", self.handshake_flags))
        answer = struct.unpack(">I", c.receive(4))[0]
        self.events.append(("flags", answer, None))
        assert answer & ~self.handshake_flags == 0, f"client flags {answer:#x}"
        c.no_zeroes = bool(answer & 2)

    def old_greeting(self):
        return wire.NBDMAGIC + struct.pack(
            ">QQI", wire.OLDSTYLE, self.size, self.oldstyle_reserved << 16 | self.flags) + bytes(124)

    def haggle(self, c):
        done = False
        while not done:
            magic, number, length = struct.unpack(">8sII", c.receive(16))
            assert magic == wire.IHAVEOPT, magic
            data = c.receive(length)
            self.events.append(("option", number, data))
            if not self.handshake_flags & 1:
                assert number == wire.EXPORT_NAME, f"option {number} to a server that is not fixed"
            done = self.option(c, number, data)

    def option(self, c, number, data):
        """Answers one option; true when transmission begins."""
        if number == wire.STARTTLS and self.tls and not c.secure:
            assert not data and c.format == "simple", "STARTTLS is not the first option"
            self.starttls(c)
        elif self.tls and not c.secure:
            self.refuse(c, number, wire.ERR_TLS_REQD)
        elif number in self.lacks:
            self.refuse(c, number, wire.ERR_UNSUP)
        elif number == wire.EXTENDED_HEADERS and self.has_extended:
            c.format = "extended"
            self.ack(c, number)
        elif number == wire.STRUCTURED_REPLY and c.format == "extended":
            self.refuse(c, number, wire.ERR_EXT_HEADER_REQD)
        elif number == wire.STRUCTURED_REPLY and self.has_structured:
            c.format = "structured"
            self.ack(c, number)
        elif number == wire.ABORT:
            self.ack(c, number)
            raise Gone
        elif number == wire.EXPORT_NAME:
            return self.answer_export_name(c, data)
        elif self.requires_extended and c.format != "extended":
            self.refuse(c, number, wire.ERR_EXT_HEADER_REQD)
        elif number in (wire.GO, wire.INFO):
            if not self.knows(data[4:4 + struct.unpack_from(">I", data)[0]]):
                self.refuse(c, number, wire.ERR_UNKNOWN, b"no such export")
                return False
            self.answer_go(c, number, data)
            return number == wire.GO
        elif number == wire.LIST:
            self.answer_list(c, number)
        elif number in (wire.SET_META, wire.LIST_META) and c.chunked:
            self.answer_meta(c, number, data)
        else:
            self.refuse(c, number, wire.ERR_UNSUP)
        return False

    def starttls(self, c):
        self.ack(c, wire.STARTTLS)
        c.starttls(self.tls)

    def knows(self, name):
        return self.exports is None or name.decode() in self.exports

    def answer_export_name(self, c, name):
        if not self.knows(name) or self.requires_extended:
            raise Gone
        assert c.format != "extended", "EXPORT_NAME after EXTENDED_HEADERS"
        c.send(struct.pack(">QH", self.size, self.transmission_flags(c)),
               b"" if c.no_zeroes else bytes(124))
        return True

    def answer_list(self, c, number):
        for name, text in ({"": ""} if self.exports is None else self.exports).items():
            c.send(wire.option_reply(number, wire.SERVER, wire.string(name) + text.encode()))
        self.ack(c, number)

    def transmission_flags(self, c):
        return self.flags | (wire.SEND_DF if c.chunked else 0)

    def answer_go(self, c, number, data):
        self.info_export(c, number)
        if self.block_size and struct.pack(">H", wire.INFO_BLOCK_SIZE) in data[-8:]:
            c.send(wire.option_reply(number, wire.REP_INFO,
                                     struct.pack(">HIII", wire.INFO_BLOCK_SIZE, *self.block_size)))
        self.ack(c, number)

    def info_export(self, c, number):
        c.send(wire.option_reply(number, wire.REP_INFO, struct.pack(
            ">HQH", wire.INFO_EXPORT, self.size, self.transmission_flags(c))))

    def answer_meta(self, c, number, data):
        name_length = struct.unpack_from(">I", data)[0]
        at = 4 + name_length
        n = struct.unpack_from(">I", data, at)[0]
        at += 4
        queries = set()
        for _ in range(n):
            length = struct.unpack_from(">I", data, at)[0]
            queries.add(data[at + 4:at + 4 + length].decode())
            at += 4 + length
        if number == wire.LIST_META and not n:  # "what is there?"
            queries = set(self.known_contexts)
        found = {q: self.known_contexts[q] for q in sorted(queries) if q in self.known_contexts}
        if number == wire.SET_META:
            c.contexts = found
        for name, context in found.items():
            c.send(wire.option_reply(number, wire.META_CONTEXT,
                                     struct.pack(">I", context) + name.encode()))
        self.ack(c, number)

    @staticmethod
    def ack(c, number):
        c.send(wire.option_reply(number, wire.ACK))

    @staticmethod
    def refuse(c, number, error, text=b""):
        c.send(wire.option_reply(number, error, text))

    def receive_request(self, c):
        """PAYLOAD_LEN is checked, and then not among the flags."""
        if c.format != "extended":
            magic, flags, command, cookie, offset, length = struct.unpack(
                ">IHHQQI", c.receive(28))
            assert magic == wire.REQUEST, hex(magic)
        else:
            magic, flags, command, cookie, offset, length = struct.unpack(
                ">IHHQQQ", c.receive(32))
            assert magic == wire.EXTENDED_REQUEST, hex(magic)
            assert bool(flags & wire.PAYLOAD_LEN) == (command == wire.WRITE), (command, flags)
            flags &= ~wire.PAYLOAD_LEN
        payload = c.receive(length) if command == wire.WRITE else b""
        return Request(command, flags, cookie, offset, length, payload)

    def transmit(self, c):
        while True:
            r = self.receive_request(c)
            self.events.append(r)
            if r.command == wire.DISC:
                raise Gone
            self.serve(c, r)

    def serve(self, c, r):
        """Serves one request: on_read(), on_write(), ... where a test defines it, else well."""
        special = getattr(self, "on_" + NAMES[r.command], None)
        if special:
            special(c, r)
        else:
            self.good(c, r)

    def good(self, c, r):
        if r.command == wire.READ:
            data = bytes(self.disk[r.offset:r.offset + r.length]) if self.disk else bytes(r.length)
            if c.chunked:
                c.send(c.chunk(r, wire.OFFSET_DATA, struct.pack(">Q", r.offset) + data))
            else:
                c.send(wire.simple_reply(r.cookie, 0, data))
        elif r.command == wire.BLOCK_STATUS:
            self.answer_status(c, r)
        else:
            if r.command == wire.WRITE and self.disk:
                self.disk[r.offset:r.offset + r.length] = r.payload
            if r.command in (wire.WRITE_ZEROES, wire.TRIM) and self.disk:
                self.disk[r.offset:r.offset + r.length] = bytes(r.length)
            self.done(c, r)

    def answer_status(self, c, r):
        """Everything is data."""
        ids = list(c.contexts.values())
        for n, number in enumerate(ids):
            c.send(c.status(r, number, [(r.length, 0)], wire.DONE if n == len(ids) - 1 else 0))

    @staticmethod
    def done(c, r, error=0):
        """A reply without payload."""
        if error and c.chunked:
            c.send(c.chunk(r, wire.CHUNK_ERROR, struct.pack(">IH", error, 0)))
        elif c.format == "extended":
            c.send(c.chunk(r, wire.NONE))
        else:
            c.send(wire.simple_reply(r.cookie, error))


def pause(seconds):
    """Part of a script: a server that takes its time."""
    time.sleep(seconds)
