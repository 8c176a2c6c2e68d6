#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A client of libnbd 1.6 and later that is told of TLS call by call, not by URI; it prints JSON.

  tls_libnbd.py SPEC   {"address": PATH or [HOST, PORT], "export": NAME, "certificates": FOLDER or
                       "psk": FILE and "user": NAME, "verify": BOOL, "model": FILE}
Leaves in `model` what must be stored. {"error": WORDS} where it does not get through."""
import json
import sys

import nbd

MIB = 1 << 20


def connect(spec):
    h = nbd.NBD()
    h.set_export_name(spec["export"])
    if "psk" in spec or "certificates" in spec:
        h.set_tls(nbd.TLS_REQUIRE)
    if "psk" in spec:
        h.set_tls_psk_file(spec["psk"])
        h.set_tls_username(spec["user"])
    elif "certificates" in spec:
        h.set_tls_certificates(spec["certificates"])
        h.set_tls_verify_peer(spec["verify"])
    h.add_meta_context("base:allocation")
    if isinstance(spec["address"], str):
        h.connect_unix(spec["address"])
    else:
        h.connect_tcp(spec["address"][0], str(spec["address"][1]))
    return h


def exercise(h, size):
    """Writes of all sizes around that of a TLS record, zeroes, reads; what must be stored."""
    model = bytearray(size)
    at = 0
    for n, length in enumerate((1, 511, 16383, 16384, 16385, 65536, 300001, MIB)):
        piece = bytes((n + i) % 255 + 1 for i in range(256)) * (length // 256 + 1)
        h.pwrite(piece[:length], at)
        model[at:at + length] = piece[:length]
        at += length
    h.zero(100000, 5000)
    model[5000:105000] = bytes(100000)
    try:
        h.zero(65536, MIB, nbd.CMD_FLAG_FAST_ZERO)
        model[MIB:MIB + 65536] = bytes(65536)
    except nbd.Error as e:
        assert e.errno in ("ENOTSUP", "EOPNOTSUPP"), e
    if h.can_flush():
        h.flush()
    for length in (1, 16384, 16385, MIB):
        assert h.pread(length, 77) == model[77:77 + length], length
    told = []
    h.block_status(size, 0, lambda name, offset, entries, error: told.extend(entries[::2]) or 0)
    assert told and sum(told) >= size, told
    return model


def main(spec):
    try:
        h = connect(spec)
    except nbd.Error as e:
        return {"error": e.string}
    extended = getattr(h, "get_extended_headers_negotiated", None)
    said = {"tls": h.get_tls_negotiated(), "structured": h.get_structured_replies_negotiated(),
            "extended": extended() if extended else None, "size": h.get_size(),
            "fast_zero": h.can_fast_zero(), "multi_conn": h.can_multi_conn()}
    if "model" in spec:
        with open(spec["model"], "wb") as f:
            f.write(exercise(h, said["size"]))
    h.shutdown()
    return said


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
