# SPDX-License-Identifier: BSD-3-Clause
"""Certificates of every kind, right and wrong, made with the openssl program; and folders of them as the
proxy, nbdkit and qemu want them. EC keys, because they are quick."""
import collections
import contextlib
import datetime
import os
import shutil
import ssl
import subprocess

from .tls import TLS12, TLS13

# A certificate with its key; chain: what a peer needs besides its root to verify it.
Identity = collections.namedtuple("Identity", "cert key chain cn", defaults=[(), ""])

USAGE = {"server": "serverAuth", "client": "clientAuth", "both": "serverAuth,clientAuth"}
KEYS = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"]}
CONFIG = """
[ca]
default_ca = here
[here]
new_certs_dir = {folder}
database = {folder}/index
serial = {folder}/serial
crlnumber = {folder}/crlnumber
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
[any]
commonName = supplied
"""


def openssl(*argv, data=None):
    """Runs it; returns its standard output."""
    argv = ["openssl", *map(str, argv)]
    done = subprocess.run(argv, input=data, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}:\n{done.stderr.decode()[-2000:]}"
    return done.stdout


def moment(days):
    """So many days from now, as openssl writes it."""
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return when.strftime("%Y%m%d%H%M%SZ")


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


def write(path, text, mode=0o600):
    with open(path, "w", encoding="ascii", opener=lambda p, f: os.open(p, f, mode)) as f:
        f.write(text)


class Authority:
    """A CA with its books in a folder: it issues, revokes, and lists what it has revoked."""

    def __init__(self, folder, cn, issuer=None, key="ec", not_before=-1, not_after=365):
        os.mkdir(folder)
        self.folder = folder
        self.cn = cn
        self.issuer = issuer
        self.count = 0
        for name, text in (("index", ""), ("serial", "1000\n"), ("crlnumber", "01\n"),
                           ("config", CONFIG.format(folder=folder))):
            write(self._path(name), text)
        self._request("ca", cn, key)
        extensions = ["basicConstraints = critical,CA:TRUE", "keyUsage = critical,keyCertSign,cRLSign"]
        signer = issuer or self
        signer.sign(self._path("ca.csr"), self.cert, extensions, not_before, not_after, issuer is None)

    def _path(self, name):
        return os.path.join(self.folder, name)

    @property
    def cert(self):
        return self._path("ca.pem")

    @property
    def chain(self):
        """The certificates that those it issues are shown with: none of a root."""
        return (self.cert, *self.issuer.chain) if self.issuer else ()

    def _request(self, name, cn, key):
        openssl("req", "-new", "-newkey", *KEYS[key], "-nodes", "-keyout", self._path(f"{name}.key"),
                "-out", self._path(f"{name}.csr"), "-subj", f"/CN={cn}", "-config", "/dev/null",
                "-batch")

    def sign(self, request, cert, extensions, not_before, not_after, itself=False):
        lines = self._path("extensions")
        write(lines, "\n".join([*extensions, "subjectKeyIdentifier = hash",
                                "authorityKeyIdentifier = keyid"]) + "\n")
        openssl("ca", "-batch", "-notext", "-config", self._path("config"), "-in", request, "-out", cert,
                "-startdate", moment(not_before), "-enddate", moment(not_after), "-extfile", lines,
                *(["-selfsign"] if itself else []))

    def issue(self, name, *, cn=None, san=(), days=30, not_before=-1, not_after=None, usage="both",
              key="ec"):
        """A certificate: valid from not_before to not_after (days from now); san like "DNS:a", "IP:::1"."""
        cn = name if cn is None else cn
        self.count += 1
        stem = f"{self.count}-{name}"
        extensions = ["basicConstraints = CA:FALSE", f"extendedKeyUsage = {USAGE[usage]}",
                      "keyUsage = critical,digitalSignature,keyEncipherment"]
        if san:
            extensions.append(f"subjectAltName = {','.join(san)}")
        self._request(stem, cn, key)
        cert = self._path(f"{stem}.pem")
        self.sign(self._path(f"{stem}.csr"), cert, extensions, not_before,
                  days if not_after is None else not_after)
        return Identity(cert, self._path(f"{stem}.key"), self.chain, cn)

    def revoke(self, identity):
        openssl("ca", "-config", self._path("config"), "-revoke", identity.cert)

    @contextlib.contextmanager
    def without_trace(self):
        """What is revoked inside the `with` is not, afterwards."""
        books = read(self._path("index"))
        yield
        write(self._path("index"), books)

    def crl(self, days=30):
        """The list of what has been revoked so far, due again in so many days: a path. Negative: overdue."""
        self.count += 1
        path = self._path(f"{self.count}-crl.pem")
        when = ["-crl_lastupdate", moment(min(days, 0) - 1), "-crl_nextupdate", moment(days)]
        openssl("ca", "-gencrl", "-config", self._path("config"), "-out", path, *when)
        return path


class Pki:
    """A folder of authorities, and of certificates that nobody but themselves has signed."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.count = 0

    def _path(self, name):
        self.count += 1
        return os.path.join(self.folder, f"{self.count}-{name}")

    def ca(self, name, issuer=None, **options):
        return Authority(self._path(name), name, issuer, **options)

    def self_signed(self, name, *, cn=None, san=(), usage="both"):
        """As its own CA, of which nobody knows."""
        key, cert = self._path(f"{name}.key"), self._path(f"{name}.pem")
        extensions = [f"extendedKeyUsage={USAGE[usage]}"]
        if san:
            extensions.append(f"subjectAltName={','.join(san)}")
        openssl("req", "-x509", "-newkey", *KEYS["ec"], "-nodes", "-keyout", key, "-out", cert, "-days",
                30, "-subj", f"/CN={cn or name}", "-config", "/dev/null", "-batch",
                *(word for line in extensions for word in ("-addext", line)))
        return Identity(cert, key, (), cn or name)

    def sign_with(self, issuer, name, *, san=()):
        """A certificate that another one has signed, which has no right to."""
        key, cert, request = (self._path(f"{name}.{end}") for end in ("key", "pem", "csr"))
        openssl("req", "-new", "-newkey", *KEYS["ec"], "-nodes", "-keyout", key, "-out", request, "-subj",
                f"/CN={name}", "-config", "/dev/null", "-batch")
        write(lines := self._path("extensions"), f"subjectAltName = {','.join(san)}\n" if san else "")
        openssl("x509", "-req", "-in", request, "-CA", issuer.cert, "-CAkey", issuer.key, "-CAcreateserial",
                "-days", 30, "-out", cert, "-extfile", lines)
        return Identity(cert, key, (issuer.cert, *issuer.chain), name)

    def directory(self, name=None, *, path=None, ca=None, server=None, client=None, crl=None):
        """A folder of the names that nbdkit, qemu and the proxy know; ca: one, or several."""
        path = path or self._path(name or "keys")
        os.makedirs(path, exist_ok=True)
        if ca:
            many = ca if isinstance(ca, (list, tuple)) else [ca]
            write(f"{path}/ca-cert.pem", "".join(read(one.cert) for one in many))
        if crl:
            many = crl if isinstance(crl, (list, tuple)) else [crl]
            write(f"{path}/ca-crl.pem", "".join(map(read, many)))
        for side, one in (("server", server), ("client", client)):
            if one:
                write(f"{path}/{side}-cert.pem", "".join(map(read, (one.cert, *one.chain))))
                shutil.copy(one.key, f"{path}/{side}-key.pem")
        return path

    def psk_file(self, users, path=None):
        """{user: key in bytes}, as psktool writes it."""
        path = path or self._path("keys.psk")
        write(path, "".join(f"{user}:{key.hex()}\n" for user, key in users.items()))
        return path


# Contexts of Python's ssl, for raw peers -----------------------------------------------


def client_context(ca=None, show=None, versions=(TLS12, TLS13), ciphers=None):
    """A client's: without ca it trusts everybody; show: an Identity."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if ca:
        context.load_verify_locations(ca.cert)
    else:
        context.verify_mode = ssl.CERT_NONE
    return _finish(context, show, versions, ciphers)


def server_context(show, ca=None, versions=(TLS12, TLS13), ciphers=None):
    """A server's: with ca it demands a certificate that this has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if ca:
        context.load_verify_locations(ca.cert)
        context.verify_mode = ssl.CERT_REQUIRED
    return _finish(context, show, versions, ciphers)


def _finish(context, show, versions, ciphers):
    context.minimum_version, context.maximum_version = versions
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # Python's default: an end is an end
    if show:
        context.load_cert_chain(shown(show), show.key)
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def shown(identity):
    """A file of a certificate and its chain."""
    path = f"{identity.cert}.chain"
    if not os.path.exists(path):
        write(path, "".join(map(read, (identity.cert, *identity.chain))))
    return path
