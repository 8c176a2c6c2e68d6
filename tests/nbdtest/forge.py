# SPDX-License-Identifier: BSD-3-Clause
"""TLS records that no library would send: of any type and length, rightly encrypted, with AES-256-GCM
(RFC 8446, section 5.2; RFC 5288, section 3)."""
import ctypes
import hashlib
import hmac
import struct

from .pki import client_context, read
from .tls import DATA, TLS12, TLS13, TlsSocket

_crypto = ctypes.CDLL("libcrypto.so.3")
P, INT, TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
LENGTH = ctypes.POINTER(INT)
for _name, _result, *_arguments in (
        ("EVP_aes_256_gcm", P), ("EVP_CIPHER_CTX_new", P),
        ("EVP_CIPHER_CTX_free", None, P), ("EVP_EncryptInit_ex", INT, P, P, P, TEXT, TEXT),
        ("EVP_EncryptUpdate", INT, P, P, LENGTH, TEXT, INT), ("EVP_EncryptFinal_ex", INT, P, P, LENGTH),
        ("EVP_CIPHER_CTX_ctrl", INT, P, INT, INT, P)):
    _function = getattr(_crypto, _name)
    _function.restype, _function.argtypes = _result, _arguments
GET_TAG, TAG = 0x10, 16
CIPHER12 = "ECDHE-ECDSA-AES256-GCM-SHA384"
HASH = hashlib.sha384


def seal(key, nonce, data, extra):
    """AES-256-GCM."""
    ctx, n = _crypto.EVP_CIPHER_CTX_new(), INT()
    out, tag = ctypes.create_string_buffer(len(data) + 16), ctypes.create_string_buffer(TAG)
    assert _crypto.EVP_EncryptInit_ex(ctx, _crypto.EVP_aes_256_gcm(), None, key, nonce) == 1
    assert _crypto.EVP_EncryptUpdate(ctx, None, ctypes.byref(n), extra, len(extra)) == 1
    if data:
        assert _crypto.EVP_EncryptUpdate(ctx, out, ctypes.byref(n), data, len(data)) == 1
    assert _crypto.EVP_EncryptFinal_ex(ctx, None, ctypes.byref(n)) == 1
    assert _crypto.EVP_CIPHER_CTX_ctrl(ctx, GET_TAG, TAG, tag) == 1
    _crypto.EVP_CIPHER_CTX_free(ctx)
    return out.raw[:len(data)] + tag.raw


def expand_label(secret, label, size):
    """RFC 8446, section 7.1, without context."""
    info = struct.pack(">HB", size, len(label) + 6) + b"tls13 " + label + b"\0"
    return expand(secret, info, size)


def expand(secret, info, size):
    """HKDF-Expand."""
    out = block = b""
    n = 1
    while len(out) < size:
        block = hmac.digest(secret, block + info + bytes([n]), HASH)
        out, n = out + block, n + 1
    return out[:size]


def prf(secret, seed, size):
    """P_hash (RFC 5246, section 5)."""
    out, a = b"", seed
    while len(out) < size:
        a = hmac.digest(secret, a, HASH)
        out += hmac.digest(secret, a + seed, HASH)
    return out[:size]


def context(version, keylog):
    """A client's, with the ciphers that can be forged; keylog: where its secrets go."""
    made = client_context(versions=(version, version), ciphers=CIPHER12)
    made.keylog_filename = keylog
    return made


class Forger(TlsSocket):
    """A client's side of a connection. After its handshake all that is sent is made here; what comes is read
    as ever."""

    def __init__(self, sock, made, **options):
        super().__init__(sock, made, **options)
        self.keylog = made.keylog_filename
        self.modern = made.minimum_version == TLS13

    def handshake(self):
        super().handshake()
        assert self.engine.cipher()[0] == ("TLS_AES_256_GCM_SHA384" if self.modern else CIPHER12)
        lines = [line.split() for line in read(self.keylog).splitlines() if line[0] != "#"]
        ours = lines[-1][1]
        secrets = {label: bytes.fromhex(secret) for label, random, secret in lines if random == ours}
        if self.modern:
            self.number = 0
            self._use(secrets["CLIENT_TRAFFIC_SECRET_0"])
        else:
            self.number = 1  # the first was Finished
            # ServerHello: headers of the record and of the message, version, and then this.
            theirs = self.heard[5 + 4 + 2:][:32]
            block = prf(secrets["CLIENT_RANDOM"], b"key expansion" + theirs + bytes.fromhex(ours), 72)
            self.key, self.iv = block[:32], block[64:68]

    def _use(self, secret):
        self.secret = secret
        self.key, self.iv = expand_label(secret, b"key", 32), expand_label(secret, b"iv", 12)

    def rekey(self):
        """What a KeyUpdate of ours does (TLS 1.3)."""
        self._use(expand_label(self.secret, b"traffic upd", HASH().digest_size))
        self.number = 0

    def record(self, data, kind=DATA, padding=0):
        """One record; it is not sent."""
        number = struct.pack(">Q", self.number)
        self.number += 1
        if self.modern:
            inner = data + bytes([kind]) + bytes(padding)
            nonce = (int.from_bytes(self.iv, "big") ^ int.from_bytes(number, "big")).to_bytes(12, "big")
            header = struct.pack(">BHH", DATA, TLS12, len(inner) + TAG)
            return header + seal(self.key, nonce, inner, header)
        extra = number + struct.pack(">BHH", kind, TLS12, len(data))
        sealed = number + seal(self.key, self.iv + number, data, extra)
        return struct.pack(">BHH", kind, TLS12, len(sealed)) + sealed

    def sendall(self, data):
        self.sock.sendall(self.record(data))

