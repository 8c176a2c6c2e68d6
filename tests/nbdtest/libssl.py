# SPDX-License-Identifier: BSD-3-Clause
"""What Python's ssl cannot do: PSK, KeyUpdate, renegotiation. OpenSSL itself, behind the few calls of an
SSLObject that tls.py needs."""
import ctypes
import ssl

from .pki import shown
from .tls import TLS13

_ssl = ctypes.CDLL("libssl.so.3")
_crypto = ctypes.CDLL("libcrypto.so.3")

P, INT, SIZE, TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p
NUMBER = ctypes.POINTER(SIZE)
_CLIENT_PSK = ctypes.CFUNCTYPE(ctypes.c_uint, P, TEXT, P, ctypes.c_uint, P, ctypes.c_uint)
_SERVER_PSK = ctypes.CFUNCTYPE(ctypes.c_uint, P, TEXT, P, ctypes.c_uint)

for _library, _result, _name, *_arguments in (
        (_ssl, P, "TLS_client_method"), (_ssl, P, "TLS_server_method"), (_ssl, P, "SSL_CTX_new", P),
        (_ssl, None, "SSL_CTX_free", P), (_ssl, ctypes.c_long, "SSL_CTX_ctrl", P, INT, ctypes.c_long, P),
        (_ssl, INT, "SSL_CTX_use_certificate_chain_file", P, TEXT),
        (_ssl, INT, "SSL_CTX_use_PrivateKey_file", P, TEXT, INT),
        (_ssl, INT, "SSL_CTX_set_cipher_list", P, TEXT),
        (_ssl, None, "SSL_CTX_set_psk_client_callback", P, _CLIENT_PSK),
        (_ssl, None, "SSL_CTX_set_psk_server_callback", P, _SERVER_PSK),
        (_ssl, P, "SSL_new", P), (_ssl, None, "SSL_free", P), (_ssl, None, "SSL_set_bio", P, P, P),
        (_ssl, None, "SSL_set_connect_state", P), (_ssl, None, "SSL_set_accept_state", P),
        (_ssl, INT, "SSL_do_handshake", P), (_ssl, INT, "SSL_get_error", P, INT),
        (_ssl, INT, "SSL_read_ex", P, P, SIZE, NUMBER), (_ssl, INT, "SSL_write_ex", P, TEXT, SIZE, NUMBER),
        (_ssl, INT, "SSL_shutdown", P), (_ssl, INT, "SSL_key_update", P, INT),
        (_ssl, INT, "SSL_renegotiate", P), (_ssl, TEXT, "SSL_get_version", P),
        (_crypto, P, "BIO_s_mem"), (_crypto, P, "BIO_new", P), (_crypto, INT, "BIO_read", P, P, INT),
        (_crypto, INT, "BIO_write", P, TEXT, INT),
        (_crypto, ctypes.c_long, "BIO_ctrl", P, INT, ctypes.c_long, P),
        (_crypto, ctypes.c_ulong, "ERR_get_error"), (_crypto, None, "ERR_clear_error"),
        (_crypto, TEXT, "ERR_reason_error_string", ctypes.c_ulong)):
    _function = getattr(_library, _name)
    _function.restype, _function.argtypes = _result, _arguments

ERROR_SSL, WANT_READ, ZERO_RETURN = 1, 2, 6
SET_MIN, SET_MAX = 123, 124  # of SSL_CTX_ctrl
PEM = 1
MEM_EOF_RETURN = 130  # of BIO_ctrl


class Context:
    """psk: (user, key), of both sides; show: an Identity. Whom it speaks with is not verified."""

    def __init__(self, server=False, version=TLS13, show=None, psk=None):
        self.server = server
        self.raw = _ssl.SSL_CTX_new(_ssl.TLS_server_method() if server else _ssl.TLS_client_method())
        for which in SET_MIN, SET_MAX:
            assert _ssl.SSL_CTX_ctrl(self.raw, which, version, None) == 1
        if show:
            assert _ssl.SSL_CTX_use_certificate_chain_file(self.raw, shown(show).encode()) == 1
            assert _ssl.SSL_CTX_use_PrivateKey_file(self.raw, show.key.encode(), PEM) == 1
        if psk:
            self._use_psk(*psk)

    def __del__(self):
        _ssl.SSL_CTX_free(self.raw)

    def _use_psk(self, user, key):
        def write(identity, size, secret):
            if identity:
                ctypes.memmove(identity, user.encode() + b"\0", min(size, len(user) + 1))
            ctypes.memmove(secret, key, len(key))
            return len(key)
        # Referred to for as long as OpenSSL may call it.
        if self.server:
            self.callback = _SERVER_PSK(lambda _ssl, name, secret, _most:
                                        write(None, 0, secret) if name == user.encode() else 0)
            _ssl.SSL_CTX_set_psk_server_callback(self.raw, self.callback)
        else:
            self.callback = _CLIENT_PSK(lambda _ssl, _hint, name, size, secret, _most:
                                        write(name, size, secret))
            _ssl.SSL_CTX_set_psk_client_callback(self.raw, self.callback)
        assert _ssl.SSL_CTX_set_cipher_list(self.raw, b"kECDHEPSK:kDHEPSK:kPSK") == 1

    def wrap_bio(self, incoming, outgoing, server_side=False, _hostname=None, session=None):
        assert server_side == self.server and not session
        return Engine(self, incoming, outgoing)


class Engine:
    """As an SSLObject; and key_update() and renegotiate()."""

    def __init__(self, context, incoming, outgoing):
        self.context = context  # its callbacks
        self.incoming, self.outgoing = incoming, outgoing
        self.raw = _ssl.SSL_new(context.raw)
        self.into, self.out = (_crypto.BIO_new(_crypto.BIO_s_mem()) for _ in range(2))
        _ssl.SSL_set_bio(self.raw, self.into, self.out)
        (_ssl.SSL_set_accept_state if context.server else _ssl.SSL_set_connect_state)(self.raw)

    def __del__(self):
        _ssl.SSL_free(self.raw)

    def do_handshake(self):
        self._do(_ssl.SSL_do_handshake)

    def read(self, n):
        buffer, got = ctypes.create_string_buffer(n), SIZE()
        self._do(_ssl.SSL_read_ex, buffer, n, ctypes.byref(got))
        return buffer.raw[:got.value]

    def write(self, data):
        sent = SIZE()
        self._do(_ssl.SSL_write_ex, bytes(data), len(data), ctypes.byref(sent))
        return sent.value

    def unwrap(self):
        _ssl.SSL_shutdown(self.raw)
        self._pump_out()

    def version(self):
        return _ssl.SSL_get_version(self.raw).decode()

    def key_update(self, ask):
        """New keys of ours from here on; ask: theirs as well. Sent by itself."""
        assert _ssl.SSL_key_update(self.raw, int(ask)) == 1
        self.do_handshake()

    def renegotiate(self):
        """A ClientHello in the midst of TLS 1.2. What comes of it, reading tells."""
        assert _ssl.SSL_renegotiate(self.raw) == 1
        try:
            self.do_handshake()
        except ssl.SSLWantReadError:
            pass

    # ---------------------------------------------------------------------------------

    def _pump_out(self):
        buffer = ctypes.create_string_buffer(1 << 16)
        while (n := _crypto.BIO_read(self.out, buffer, len(buffer))) > 0:
            self.outgoing.write(buffer.raw[:n])

    def _do(self, call, *args):
        data = self.incoming.read()
        if data:
            _crypto.BIO_write(self.into, data, len(data))
        if self.incoming.eof:
            _crypto.BIO_ctrl(self.into, MEM_EOF_RETURN, 0, None)
        _crypto.ERR_clear_error()
        result = call(self.raw, *args)
        error = 0 if result == 1 else _ssl.SSL_get_error(self.raw, result)
        reason = _crypto.ERR_reason_error_string(_crypto.ERR_get_error()) or b"no reason"
        self._pump_out()
        if error == WANT_READ:
            raise ssl.SSLWantReadError
        if error == ZERO_RETURN:
            raise ssl.SSLZeroReturnError
        if error:
            kind = ssl.SSLEOFError if reason == b"unexpected eof while reading" else ssl.SSLError
            e = kind(ERROR_SSL, reason.decode())
            e.reason = reason.decode().upper().replace(" ", "_")
            raise e

