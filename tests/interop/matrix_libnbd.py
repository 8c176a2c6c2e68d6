#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A client of libnbd 1.6 and later that runs in any generation's root; it prints JSON.

  exercise URI MODEL         every command; leaves in MODEL what must be stored, says what it saw
  status URI [CONTEXT ...]   {context: [[length, flags], ...]} of the whole export, merged
  extents URI OFFSET LENGTH  [[length, flags], ...] that one request of base:allocation is answered with
  facts URI                  what was negotiated
  zero URI OFFSET LENGTH     one request"""
import errno
import json
import sys

import nbd

MIB = 1 << 20
FLAGS = ["zero", "fast_zero", "df", "fua", "flush", "trim", "cache", "multi_conn"]


def connect(uri, contexts=("base:allocation",)):
    h = nbd.NBD()
    for context in contexts:
        h.add_meta_context(context)
    h.connect_uri(uri)
    return h


def error_of(call, *args):
    try:
        call(*args)
    except nbd.Error as e:
        return errno.errorcode.get(e.errnum, e.errnum) if e.errnum else e.string
    return None


def facts(h):
    extended = getattr(h, "get_extended_headers_negotiated", None)
    return {"protocol": h.get_protocol(), "structured": h.get_structured_replies_negotiated(),
            "extended": extended() if extended else None, "size": h.get_size(),
            "contexts": [c for c in ("base:allocation",) if h.can_meta_context(c)],
            "can": {flag: bool(getattr(h, "can_" + flag)()) for flag in FLAGS}}


def haggle(uri):
    """LIST, INFO, then GO on one connection."""
    h = nbd.NBD()
    h.set_opt_mode(True)
    h.connect_uri(uri)
    listed = []
    h.opt_list(lambda name, description: listed.append(name))
    h.opt_info()
    size = h.get_size()
    h.opt_go()
    assert h.get_size() == size
    h.shutdown()
    return {"listed": listed, "info_size": size}


def data(size, seed):
    return bytes((n * 7 + n // 251 + seed) % 255 + 1 for n in range(min(size, 65536))) * \
        (size // min(size, 65536))


def write_and_zero(h, model):
    """Writes, zeroes and trims; model becomes what must be stored."""
    def put(seed, offset, length, flags=0):
        piece = data(length, seed)
        h.pwrite(piece, offset, flags)
        model[offset:offset + length] = piece

    def zero(offset, length, flags=0):
        h.zero(length, offset, flags)
        model[offset:offset + length] = bytes(length)
    put(1, 0, 3 * MIB)
    put(2, 5 * MIB + 12345, 777)
    zero(MIB, MIB)
    zero(2 * MIB + 7, 1000, nbd.CMD_FLAG_NO_HOLE)
    if h.can_fua():
        put(3, 4 * MIB, 65536, nbd.CMD_FLAG_FUA)
        zero(4 * MIB, 4096, nbd.CMD_FLAG_FUA)
    if h.can_trim():
        h.trim(65536, 6 * MIB)  # whatever is there now: it is written again
        put(4, 6 * MIB, 65536)
    if h.can_cache():
        h.cache(65536, 0)
    if error_of(h.zero, 65536, 0, nbd.CMD_FLAG_FAST_ZERO) is None:
        model[:65536] = bytes(65536)
    if h.can_flush():
        h.flush()


def in_flight(h, model):
    """Many writes, then many reads at once."""
    buffers = []
    for n in range(32):
        piece = data(4096, n)
        offset = 7 * MIB + n * 8192
        buffers.append((h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(piece)), offset), None, 0))
        model[offset:offset + 4096] = piece
    wait(h, buffers)
    buffers = []
    for n in range(32):
        buffer = nbd.Buffer(8192)
        offset = 7 * MIB + n * 8192
        buffers.append((h.aio_pread(buffer, offset), buffer, offset))
    wait(h, buffers)
    for _, buffer, offset in buffers:
        assert buffer.to_bytearray() == model[offset:offset + 8192], offset


def wait(h, commands):
    while h.aio_in_flight():
        h.poll(-1)
    for cookie, _, _ in commands:
        assert h.aio_command_completed(cookie)


def read_back(h, model):
    for offset in range(0, len(model), MIB):
        assert h.pread(MIB, offset) == model[offset:offset + MIB], offset
    chunks = []

    def chunk(buf, offset, kind, error):
        assert not getattr(error, "value", error)
        chunks.append((offset, len(buf)))
    h.pread_structured(MIB, MIB // 2, chunk)
    assert sum(length for _, length in chunks) == MIB
    if h.can_df():
        del chunks[:]
        h.pread_structured(65536, MIB - 4096, chunk, nbd.CMD_FLAG_DF)
        assert chunks == [(MIB - 4096, 65536)], chunks


def ask_status(h, context, at, length, flags=0):
    """The extents that one request is answered with."""
    found = []

    def take(name, offset, entries, error):
        assert not getattr(error, "value", error)
        if name == context:
            assert offset == at
            found.extend(entries)
    if hasattr(h, "block_status_64"):
        h.block_status_64(length, at, take, flags)
    else:
        h.block_status(length, at, take, flags)
        found = list(zip(found[::2], found[1::2]))
    assert found, "no extents for %s" % context
    return [list(e) for e in found]


def status(h, context):
    """All extents, neighbours of one kind merged: how they are cut is not what is asked."""
    at, merged = 0, []
    most = h.get_size()
    if not (hasattr(h, "get_extended_headers_negotiated") and h.get_extended_headers_negotiated()):
        most = (1 << 32) - 65536
    while at < h.get_size():
        for length, flags in ask_status(h, context, at, min(most, h.get_size() - at)):
            length = min(length, h.get_size() - at)
            if merged and merged[-1][1] == flags:
                merged[-1][0] += length
            else:
                merged.append([length, flags])
            at += length
    return merged


def exercise(uri, path):
    h = connect(uri)
    shown = dict(facts(h), **haggle(uri))
    model = bytearray(h.get_size())
    h.pwrite(bytes(65536), 6 * MIB)
    write_and_zero(h, model)
    in_flight(h, model)
    read_back(h, model)
    if shown["contexts"]:
        assert sum(e[0] for e in status(h, "base:allocation")) == len(model)
        one = ask_status(h, "base:allocation", 4096, MIB, nbd.CMD_FLAG_REQ_ONE)
        assert len(one) == 1 and one[0][0] <= MIB, one
    if hasattr(h, "set_strict_mode"):
        h.set_strict_mode(getattr(nbd, "STRICT_AUTO_FLAG", 0))  # what may be wrong, but PAYLOAD_LEN
        shown["errors"] = {"read beyond": error_of(h.pread, 512, len(model)),
                           "write beyond": error_of(h.pwrite, b"x" * 512, len(model)),
                           "zero beyond": error_of(h.zero, 512, len(model) - 256)}
    if h.can_flush():
        h.flush()
    h.shutdown()
    with open(path, "wb") as f:
        f.write(model)
    return shown


def main(verb, uri, *args):
    if verb == "exercise":
        return exercise(uri, *args)
    contexts = args if verb == "status" and args else ("base:allocation",)
    h = connect(uri, contexts)
    if verb == "status":
        said = {c: status(h, c) for c in contexts if h.can_meta_context(c)}
    elif verb == "extents":
        said = ask_status(h, "base:allocation", int(args[0]), int(args[1]))
    elif verb == "zero":
        said = error_of(h.zero, int(args[1]), int(args[0]))
    else:
        said = facts(h)
    h.shutdown()
    return said


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
