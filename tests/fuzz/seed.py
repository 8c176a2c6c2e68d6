#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the hand-made part of the corpora: corpus/TARGET/NAME, one file a conversation."""

import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
CUT = 2
OFF, ALLOW, REQUIRE = 0, 1 << 6, 2 << 6  # TLS of the client's side, with the cut

INIT_MAGIC = 0x4E42444D41474943
OPTION_MAGIC = 0x49484156454F5054
OLDSTYLE_MAGIC = 0x00420281861253
REPLY_MAGIC = 0x3E889045565A9
EXPORT_NAME, ABORT, LIST, PEEK, STARTTLS, INFO, GO, STRUCTURED, LIST_META, SET_META, EXTENDED = range(1, 12)
ACK, SERVER, REP_INFO, META = 1, 2, 3, 4
ERROR = 1 << 31


def save(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def string(s):
    return struct.pack(">I", len(s)) + s


# What clients send.

def option(number, data=b"", length=None):
    return struct.pack(">QII", OPTION_MAGIC, number, len(data) if length is None else length) + data


def info(number, name, *infos):
    return option(number, string(name) + struct.pack(f">H{len(infos)}H", len(infos), *infos))


def meta(number, name, *queries):
    return option(number, string(name) + struct.pack(">I", len(queries)) + b"".join(map(string, queries)))


def client(name, *options, flags=3, tls=OFF):
    save("client_handshake", name, bytes([CUT | tls]) + struct.pack(">I", flags) + b"".join(options))


client("go", info(GO, b"disk", 0, 1, 3), b"transmission")
client("qemu", option(EXTENDED), option(STRUCTURED), meta(SET_META, b"", b"base:allocation"),
       info(GO, b"", 3), b"transmission")
client("extended", option(STRUCTURED), option(EXTENDED), meta(SET_META, b"", b"base:allocation"),
       info(GO, b"", 3), b"transmission")
client("extended-then-structured", option(EXTENDED), option(STRUCTURED), option(STRUCTURED, b"x"), option(ABORT))
client("extended-twice", option(EXTENDED, b"x"), option(EXTENDED), option(EXTENDED), option(ABORT))
client("extended-then-export-name", option(EXTENDED), option(EXPORT_NAME, b"disk"), b"transmission")
client("nbdinfo-list", option(STRUCTURED), option(LIST), meta(LIST_META, b"disk"), info(INFO, b"disk", 0, 1, 2, 3),
       option(ABORT))
client("export-name", option(EXPORT_NAME, b"disk"), b"transmission")
client("export-name-not-fixed", option(EXPORT_NAME, b"disk"), b"transmission", flags=0)
client("export-name-with-nul", option(EXPORT_NAME, b"di\0sk"))
client("export-name-too-long", option(EXPORT_NAME, b"d" * 4097))
client("list-not-fixed", option(LIST), flags=2)
client("unknown-flags", option(LIST), flags=7)
client("wrong-magic", b"GET / HTTP/1.0\r\n\r\n")
client("data-where-none-belong", option(LIST, b"x"), option(STRUCTURED, b"x"), option(STARTTLS, b"x"),
       option(ABORT, b"ignored"))
client("refused-by-nature", option(STARTTLS), option(PEEK, b"name"), option(EXTENDED), option(0x7FFF, b"y" * 100),
       option(ABORT))
client("structured-twice", option(STRUCTURED), option(STRUCTURED), option(ABORT))
client("meta-before-structured", meta(SET_META, b"", b"base:allocation"), meta(LIST_META, b""), option(ABORT))
client("meta-malformed", option(STRUCTURED),
       option(SET_META, string(b"disk") + struct.pack(">I", 0xFFFFFFFF)),
       option(SET_META, string(b"disk") + struct.pack(">II", 1, 0xFFFFFFFF)),
       option(SET_META, string(b"disk") + struct.pack(">I", 1) + string(b"base:allocation") + b"trailing"),
       option(LIST_META, b"\0\0"), meta(SET_META, b"n" * 4097), meta(SET_META, b"n", b"q" * 4097), option(ABORT))
client("go-malformed",
       option(GO, struct.pack(">IH", 0xFFFFFFFF, 0)),
       option(GO, struct.pack(">I", 5) + b"disk" + b"\0\0"),
       option(GO, string(b"disk") + struct.pack(">HH", 65535, 3)),
       option(GO, string(b"disk") + struct.pack(">H", 0) + b"trailing"),
       option(GO, b""), info(GO, b"n" * 4097), info(GO, b"d\0sk"),
       info(GO, b"xunknown"), info(GO, b"disk", 3, 3, 0x7777, 0, 3))
client("too-long-to-parse", option(INFO, b"z" * 4, length=(256 << 10) + 1))
client("too-long-to-drain", option(INFO, b"", length=0xFFFFFFFF))
client("too-many", *[option(0x1234)] * 65)
client("cut-short", info(GO, b"disk", 0)[:-3])
client("tls", option(STARTTLS), option(STRUCTURED), meta(SET_META, b"", b"base:allocation"), info(GO, b"", 3),
       b"transmission", tls=REQUIRE)
client("tls-forgets", option(LIST), option(EXTENDED), meta(SET_META, b"disk", b"base:allocation"), option(STARTTLS),
       meta(SET_META, b"disk", b"base:allocation"), option(STRUCTURED), option(EXTENDED), info(GO, b"disk"),
       b"transmission", tls=ALLOW)
client("tls-forgets-extended", option(EXTENDED), option(STARTTLS), option(EXPORT_NAME, b"disk"), b"transmission",
       tls=ALLOW)
client("tls-twice", option(STARTTLS, b"x"), option(STARTTLS), option(STARTTLS), option(STARTTLS, b"x"), option(ABORT),
       tls=ALLOW)
client("tls-declined", option(STRUCTURED), info(GO, b"disk"), b"transmission", tls=ALLOW)
client("tls-first", option(LIST), info(INFO, b"disk", 3), info(GO, b"disk"), option(STRUCTURED), option(EXTENDED),
       meta(SET_META, b"", b"base:allocation"), meta(LIST_META, b""), option(PEEK, b"name"), option(0x7FFF, b"y" * 100),
       option(STARTTLS, b"data"), option(STARTTLS), option(LIST), option(ABORT), tls=REQUIRE)
client("tls-first-too-long", option(INFO, b"z" * 4, length=(256 << 10) + 1), tls=REQUIRE)
client("tls-first-export-name", option(EXPORT_NAME, b"disk"), b"transmission", tls=REQUIRE)
client("tls-export-name", option(STARTTLS), option(EXPORT_NAME, b"disk"), b"transmission", tls=REQUIRE, flags=1)
client("tls-not-fixed", option(STARTTLS), flags=2, tls=REQUIRE)
client("tls-aborted", option(ABORT, b"never mind"), tls=REQUIRE)


# What upstreams send. The questions as drive_upstream.c numbers them.

Q_STRUCTURED, Q_LIST, Q_INFO, Q_GO, Q_LIST_META, Q_SET_META, Q_EXPORT_NAME, Q_ABORT, Q_EXTENDED = range(9)
Q_STARTTLS = 16


def reply(to, kind, data=b"", length=None):
    return struct.pack(">QIII", REPLY_MAGIC, to, kind, len(data) if length is None else length) + data


def greeting(flags=3):
    return struct.pack(">QQH", INIT_MAGIC, OPTION_MAGIC, flags)


def oldstyle(size=1 << 20, flags=0x6D, padding=bytes(124)):
    return struct.pack(">QQQI", INIT_MAGIC, OLDSTYLE_MAGIC, size, flags) + padding


def upstream(name, questions, *replies, hello=None, tls=False):
    hello = greeting() if hello is None else hello
    head = bytes([CUT, len(questions) | tls << 4, *questions])
    save("upstream_handshake", name, head + hello + b"".join(replies))


def info_export(to, size=1 << 20, flags=0x6D):
    return reply(to, REP_INFO, struct.pack(">HQH", 0, size, flags))


def info_block_size(to, minimum, preferred, maximum):
    return reply(to, REP_INFO, struct.pack(">HIII", 3, minimum, preferred, maximum))


upstream("go", [Q_STRUCTURED, Q_SET_META, Q_GO], reply(STRUCTURED, ACK),
         reply(SET_META, META, struct.pack(">I", 1) + b"base:allocation"), reply(SET_META, ACK),
         info_export(GO), reply(GO, REP_INFO, b"\0\1disk"), reply(GO, REP_INFO, b"\0\2a disk\0"),
         info_block_size(GO, 1, 4096, 32 << 20), reply(GO, ACK), b"transmission")
upstream("list", [Q_LIST, Q_ABORT], reply(LIST, SERVER, string(b"one") + b"a description"),
         reply(LIST, SERVER, string(b"")), reply(LIST, ACK))
upstream("info-then-go", [Q_INFO, Q_GO], info_export(INFO), reply(INFO, ACK), info_export(GO), reply(GO, ACK))
upstream("list-meta", [Q_LIST_META], reply(LIST_META, META, b"\0\0\0\0qemu:dirty-bitmap:b"), reply(LIST_META, ACK))
upstream("export-name", [Q_EXPORT_NAME], struct.pack(">QH", 1 << 20, 0x6D), b"transmission")
upstream("export-name-zeroes", [Q_EXPORT_NAME], struct.pack(">QH", 1 << 20, 0x6D), bytes(124), hello=greeting(1))
upstream("refusals", [Q_GO, Q_LIST, Q_STRUCTURED, Q_SET_META],
         reply(GO, ERROR + 6, b"no such export"), reply(LIST, ERROR + 2, b"e" * 5000),
         reply(STRUCTURED, ERROR + 1), reply(SET_META, ERROR + 77, b"\x1b[2J of tomorrow"))
upstream("oldstyle", [Q_GO, Q_EXPORT_NAME], b"transmission", hello=oldstyle())
upstream("oldstyle-high-flags", [], hello=oldstyle(flags=0xFFFFFFFF, padding=b"p" * 124))
upstream("oldstyle-too-large", [], hello=oldstyle(size=1 << 63))
upstream("oldstyle-cut-short", [], hello=oldstyle()[:-1])
upstream("not-fixed", [Q_GO, Q_ABORT, Q_EXPORT_NAME], struct.pack(">QH", 1 << 20, 0x6D), b"transmission",
         hello=greeting(2))
upstream("not-fixed-zeroes", [Q_EXTENDED, Q_EXPORT_NAME], struct.pack(">QH", 1 << 20, 0x6D), bytes(124),
         b"transmission", hello=greeting(0))
upstream("not-fixed-unasked", [Q_LIST], reply(LIST, ACK), hello=greeting(0))
upstream("extended", [Q_EXTENDED, Q_STRUCTURED, Q_EXPORT_NAME, Q_GO], reply(EXTENDED, ACK),
         reply(STRUCTURED, ERROR + 10), info_export(GO), reply(GO, ACK), b"transmission")
upstream("extended-refused", [Q_EXTENDED, Q_STRUCTURED, Q_GO], reply(EXTENDED, ERROR + 1), reply(STRUCTURED, ACK),
         info_export(GO), reply(GO, ACK))
upstream("extended-required", [Q_GO, Q_EXTENDED, Q_GO], reply(GO, ERROR + 10, b"64 bits, please"),
         reply(EXTENDED, ACK), info_export(GO), reply(GO, ACK))
upstream("extended-without-go", [Q_EXTENDED, Q_GO], reply(EXTENDED, ACK), reply(GO, ERROR + 1))
upstream("extended-ack-with-data", [Q_EXTENDED], reply(EXTENDED, ACK, b"data"))
upstream("all-flags", [Q_ABORT], hello=greeting(0xFFFF))
upstream("not-nbd", [Q_GO], hello=b"SSH-2.0-OpenSSH_9.2\r\n")
upstream("unasked", [], reply(GO, ACK))
upstream("wrong-magic", [Q_GO], bytes(20))
upstream("wrong-echo", [Q_GO], reply(INFO, ACK))
upstream("unknown-type", [Q_GO], reply(GO, 5))
upstream("server-to-go", [Q_GO], reply(GO, SERVER, string(b"disk")))
upstream("ack-with-data", [Q_STRUCTURED], reply(STRUCTURED, ACK, b"data"))
upstream("ack-without-export", [Q_GO], reply(GO, ACK))
upstream("two-exports", [Q_GO], info_export(GO), info_export(GO, size=2 << 20), reply(GO, ACK))
upstream("same-export-twice", [Q_GO], info_export(GO), info_export(GO), reply(GO, ACK))
upstream("export-too-large", [Q_GO], info_export(GO, size=1 << 63))
upstream("export-too-short", [Q_GO], reply(GO, REP_INFO, b"\0\0\0"))
upstream("block-size-zero", [Q_INFO], info_block_size(INFO, 0, 4096, 1 << 25))
upstream("block-size-huge", [Q_INFO], info_block_size(INFO, 1 << 31, 1 << 31, 1 << 31))
upstream("block-size-upside-down", [Q_INFO], info_block_size(INFO, 512, 4096, 512))
upstream("server-inner-length", [Q_LIST], reply(LIST, SERVER, struct.pack(">I", 99) + b"disk"))
upstream("reply-too-long", [Q_LIST], reply(LIST, SERVER, string(b"disk"), length=0xFFFFFFFF))
upstream("error-too-long", [Q_LIST], reply(LIST, ERROR + 2, b"e", length=(32 << 20) + 1))
upstream("tls", [Q_STARTTLS, Q_EXTENDED, Q_SET_META, Q_GO], reply(STARTTLS, ACK), reply(EXTENDED, ACK),
         reply(SET_META, ERROR + 1), info_export(GO), reply(GO, ACK), b"transmission", tls=True)
upstream("tls-first", [Q_GO, Q_EXPORT_NAME, Q_ABORT, Q_LIST, Q_STARTTLS, Q_LIST], reply(STARTTLS, ACK),
         reply(LIST, SERVER, string(b"disk")), reply(LIST, ACK), tls=True)
upstream("tls-refused", [Q_STARTTLS, Q_GO], reply(STARTTLS, ERROR + 2, b"no TLS"), info_export(GO), reply(GO, ACK),
         tls=True)
upstream("tls-ack-with-data", [Q_STARTTLS], reply(STARTTLS, ACK, b"data"), tls=True)
upstream("tls-other-ack", [Q_STARTTLS], reply(GO, ACK), tls=True)
upstream("tls-injected", [Q_STARTTLS], reply(STARTTLS, ACK), info_export(GO), reply(GO, ACK), tls=True)
upstream("tls-unasked", [Q_GO], reply(STARTTLS, ACK), tls=True)
upstream("tls-oldstyle", [Q_STARTTLS, Q_GO], hello=oldstyle(), tls=True)
upstream("tls-not-fixed", [Q_STARTTLS, Q_EXPORT_NAME], struct.pack(">QH", 1 << 20, 0x6D), hello=greeting(2), tls=True)
upstream("tls-needless", [Q_STARTTLS, Q_STARTTLS, Q_GO], reply(STARTTLS, ACK), reply(STARTTLS, ERROR + 3),
         info_export(GO), reply(GO, ACK))


# Chunks, in the form of fuzz_chunks.c.

READ, WRITE, FLUSH, ZEROES, BLOCK_STATUS = 0, 1, 3, 6, 7
NONE, DATA, HOLE, STATUS, STATUS_EXT, CHUNK_ERROR, ERROR_OFFSET = 0, 1, 2, 5, 6, 0x8001, 0x8002
DONE, DF, REQ_ONE = 1, 4, 8


def chunk(kind, head=b"", flags=0, length=None):
    return struct.pack(">HHI", kind, flags, len(head) if length is None else length) + head


def data(offset, length, flags=0):
    return chunk(DATA, struct.pack(">Q", offset), flags, 8 + length)


def hole(offset, length, flags=0):
    return chunk(HOLE, struct.pack(">QI", offset, length), flags)


def status(context, *extents, flags=0):
    body = b"".join(struct.pack(">II", *e) for e in extents)
    return chunk(STATUS, struct.pack(">I", context), flags, 4 + len(body)) + body


def error(code, text=b"", flags=0, extra=b"", kind=CHUNK_ERROR):
    return chunk(kind, struct.pack(">IH", code, len(text)) + text + extra, flags)


def chunks(name, request, *parts, ids=()):
    offset, length, command, flags = request
    save("chunks", name, struct.pack(">QIHHB", offset, length, command, flags, len(ids)) +
         struct.pack(f">{len(ids)}I", *ids) + b"".join(parts))


R = (1 << 40, 4096, READ, 0)
AT = 1 << 40
chunks("read", R, data(AT, 4096, DONE))
chunks("read-in-parts", R, data(AT + 2048, 1024), hole(AT, 512), data(AT + 3072, 1024), data(AT + 512, 1536),
       chunk(NONE, flags=DONE))
chunks("read-many-gaps", R, *[data(AT + i, 1) for i in range(0, 64, 2)], data(AT + 64, 4032), data(AT + 1, 1, DONE))
chunks("read-overlap", R, data(AT, 2048), data(AT + 2047, 2))
chunks("read-outside", R, data(AT - 1, 2))
chunks("read-behind", R, hole(AT + 4095, 2))
chunks("read-not-all", R, data(AT, 4095, DONE))
chunks("read-too-long", R, data(AT, 4097))
chunks("read-hole-of-nothing", R, hole(AT, 0))
chunks("read-df-twice", (AT, 4096, READ, DF), data(AT, 2048), data(AT + 2048, 2048, DONE))
chunks("read-failed", R, data(AT, 1024), error(5, b"disk on fire"), hole(AT + 1024, 1024), chunk(NONE, flags=DONE))
chunks("read-failed-at", R, error(5, b"here", 0, struct.pack(">Q", AT + 99), ERROR_OFFSET), data(AT, 4096))
chunks("read-failed-outside", R, error(5, b"", 0, struct.pack(">Q", AT + 4096), ERROR_OFFSET))
chunks("error-zero", R, error(0, b"", DONE))
chunks("error-of-tomorrow", R, error(22, b"new", DONE, b"fields", 0x8765))
chunks("error-text-too-long", R, chunk(CHUNK_ERROR, struct.pack(">IH", 5, 9) + b"four", DONE))
chunks("write", (0, 512, WRITE, 1), chunk(NONE, flags=DONE))
chunks("write-with-data", (0, 512, WRITE, 0), data(0, 512, DONE))
chunks("flush-error-offset", (0, 0, FLUSH, 0), error(5, b"", DONE, bytes(8), ERROR_OFFSET))
chunks("none-not-done", (0, 0, FLUSH, 0), chunk(NONE))
chunks("unknown-type", R, chunk(0x7FFE, b"12345678"))
S = (AT, 1 << 20, BLOCK_STATUS, 0)
chunks("status", S, status(7, (65536, 3), (1 << 20, 0)), status(9, (1 << 20, 1)), chunk(NONE, flags=DONE), ids=(7, 9))
chunks("status-one", (AT, 1 << 20, BLOCK_STATUS, REQ_ONE), status(7, (65536, 3), flags=DONE), ids=(7,))
chunks("status-one-too-long", (AT, 512, BLOCK_STATUS, REQ_ONE), status(7, (513, 3), flags=DONE), ids=(7,))
chunks("status-unknown-context", S, status(8, (512, 0)), ids=(7, 9))
chunks("status-twice", S, status(7, (512, 0)), status(7, (512, 0)), ids=(7, 9))
chunks("status-missing", S, status(7, (512, 0), flags=DONE), ids=(7, 9))
chunks("status-of-nothing", S, status(7, (512, 0), (0, 0)), ids=(7,))
chunks("status-goes-on", S, status(7, (1 << 20, 0), (1, 0)), ids=(7,))


# The same in the extended format: the top bit of the number of ids.

def wide(kind, head=b"", flags=0, length=None, at=AT):
    return struct.pack(">HHQQ", kind, flags, at, len(head) if length is None else length) + head


def wide_status(context, *extents, count=None, kind=STATUS_EXT):
    body = b"".join(struct.pack(">QQ", *e) for e in extents)
    head = struct.pack(">II", context, len(extents) if count is None else count)
    return wide(kind, head, 0, 8 + len(body)) + body


def extended(name, request, *parts, ids=()):
    offset, length, command, flags = request
    save("chunks", "extended-" + name,
         struct.pack(">QIHHB", offset, length & 0xFFFFFFFF, command, flags, 0x80 | len(ids)) +
         struct.pack(f">{len(ids)}I", *ids) +
         (b"" if command == READ else struct.pack(">I", length >> 32)) + b"".join(parts))


T = (AT, 1 << 42, BLOCK_STATUS, 0)
LAST = wide(NONE, flags=DONE)
extended("read", R, wide(DATA, struct.pack(">Q", AT), 0, 8 + 2048), wide(HOLE, struct.pack(">QI", AT + 2048, 2048)), LAST)
extended("other-offset", R, wide(DATA, struct.pack(">Q", AT + 512), 0, 8 + 512, at=AT + 512))
extended("length-of-64-bits", R, wide(DATA, struct.pack(">Q", AT), 0, (1 << 32) + 8 + 4096))
extended("error-of-64-bits", R, wide(CHUNK_ERROR, struct.pack(">IH", 5, 0), DONE, (1 << 32) + 6))
extended("zeroes", (AT, 1 << 42, ZEROES, 0), wide(NONE, flags=DONE))
extended("zeroes-failed-at", (AT, 1 << 42, ZEROES, 0),
         wide(ERROR_OFFSET, struct.pack(">IHQ", 5, 0, AT + (1 << 41)), DONE))
extended("status", T, wide_status(7, (1 << 41, 3), (1 << 41, 0)), wide_status(9, (1 << 42, 1 << 63)), LAST, ids=(7, 9))
extended("status-of-compact-kind", T, wide_status(7, (4096, 3), kind=STATUS), ids=(7,))
extended("status-counts-more", T, wide_status(7, (4096, 3), count=2), ids=(7,))
extended("status-counts-none", T, wide_status(7, (4096, 3), count=0), ids=(7,))
extended("status-too-many", T, wide(STATUS_EXT, struct.pack(">II", 7, (1 << 20) + 1), 0, 8 + 16 * ((1 << 20) + 1)), ids=(7,))
extended("status-past-63-bits", T, wide_status(7, (4096, 3), ((1 << 63) - 4096, 0)), ids=(7,))
extended("status-wraps", T, wide_status(7, (4096, 3), ((1 << 64) - 4096, 0), (4096, 0)), ids=(7,))
extended("status-goes-on", T, wide_status(7, (1 << 42, 0), (1, 0)), ids=(7,))
chunks("status-of-extended-kind", S, chunk(STATUS_EXT, struct.pack(">IIQQ", 7, 1, 4096, 0)), ids=(7,))
