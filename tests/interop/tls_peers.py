# SPDX-License-Identifier: BSD-3-Clause
"""Real peers that speak TLS: how each program is told which keys, which version, whom to expect."""
import os
import shutil

# qemu takes GnuTLS's words itself, nbd-server in its configuration; nbdkit and libnbd have the words of
# the system's policy, which is a file. Without 1.2 alone GnuTLS would come down to 1.1.
PRIORITY = {"1.2": "NORMAL:-VERS-ALL:+VERS-TLS1.2", "1.3": "NORMAL:-VERS-ALL:+VERS-TLS1.3"}
POLICY = {"1.2": ["tls1.0", "tls1.1", "tls1.3"], "1.3": ["tls1.0", "tls1.1", "tls1.2"]}
SERVERS = ["nbdkit", "nbdkit-on", "qemu-nbd", "nbd-server"]
PROGRAM = {"nbdkit-on": "nbdkit"}
KINDS = ["x509", "psk"]

NOBODY = 65534

# A line each, for the account.
CANNOT = {
    "nbd-server-psk": "nbd-server has certificates only, no PSK",
    "fio-psk": "its libnbd opens no file that a URI names; certificates it finds at home",
    "nbd-client": "it hands its socket to the kernel: needs an nbd device",
}


class Keys:
    """One side's certificates, or its PSK file, in a folder as all of these programs want it."""

    def __init__(self, kind, folder, user="alice"):
        self.kind = kind
        self.folder = folder
        self.user = user

    @property
    def psk_file(self):
        return os.path.join(self.folder, "keys.psk")

    def copied(self, place):
        """The same where the programs of a place can read them."""
        to = place.path(f"{self.kind}-{os.path.basename(self.folder)}")
        if not os.path.exists(to):
            shutil.copytree(self.folder, to)
        return Keys(self.kind, to, self.user)

    # As the programs are told ------------------------------------------------

    def qemu_object(self, endpoint, version=None):
        words = f"id=tls0,endpoint={endpoint},dir={self.folder}"
        if version:
            words += f",priority={PRIORITY[version]}"
        if self.kind == "psk":
            user = f",username={self.user}" if endpoint == "client" else ""
            return ["--object", f"tls-creds-psk,{words}{user}"]
        return ["--object", f"tls-creds-x509,{words},verify-peer=yes"]

    def nbdkit_options(self, how="require"):
        if self.kind == "psk":
            return [f"--tls={how}", f"--tls-psk={self.psk_file}"]
        return [f"--tls={how}", f"--tls-certificates={self.folder}", "--tls-verify-peer"]

    def nbd_server_lines(self, version=None):
        names = {"certfile": "server-cert.pem", "keyfile": "server-key.pem", "cacertfile": "ca-cert.pem"}
        lines = [f"{key} = {os.path.join(self.folder, name)}" for key, name in names.items()]
        if version:
            lines.append(f"tlsprio = {PRIORITY[version]}")
        return "\n".join([*lines, "force_tls = true"])

    def uri_parameters(self):
        if self.kind == "psk":
            return f"tls-psk-file={self.psk_file}"
        return f"tls-certificates={self.folder}"

    def of_listener(self, **more):
        """Keys of a [listen] section that demands them."""
        if self.kind == "psk":
            return {"tls": "require", "tls_psk_file": self.psk_file, **more}
        return {"tls": "require", "tls_certificates": self.folder, "tls_verify_peer": "yes", **more}

    def of_upstream(self, **more):
        """Keys of an [upstream] section."""
        if self.kind == "psk":
            return {"tls_psk_file": self.psk_file, **more}
        return {"tls_certificates": self.folder, **more}


def environment(place, version):
    """What makes GnuTLS speak only one version, whatever the program asks it for."""
    if not version:
        return {}
    path = place.path(f"only-{version}")
    with open(path, "w", encoding="ascii") as f:
        f.write("[overrides]\n" + "".join(f"disabled-version = {v}\n" for v in POLICY[version]))
    return {"GNUTLS_SYSTEM_PRIORITY_FILE": path}


class WithEnvironment:
    """What Servers start their processes with."""

    def __init__(self, place, env):
        self.place = place
        self.env = env

    def start(self, argv, **kwargs):
        return self.place.start(argv, env=self.env, **kwargs)


def start_server(place, kind, keys, version=None, size=4 << 20, tcp="127.0.0.1", options=()):
    """A server that demands the keys ("nbdkit-on": serves without, too); options: its own further ones."""
    servers, keys = place.servers, keys.copied(place)
    image = servers.file(size)
    if kind == "nbd-server":
        return servers.nbd_server({"disk": image}, tcp=tcp, generic=keys.nbd_server_lines(version))
    if kind == "qemu-nbd":
        own = [*keys.qemu_object("server", version), "--tls-creds", "tls0"]
        return servers.qemu_nbd(image, options=[*own, *options], tcp=tcp)
    servers.processes = WithEnvironment(place, environment(place, version))
    how = "on" if kind == "nbdkit-on" else "require"
    return servers.nbdkit("file", image, options=[*keys.nbdkit_options(how), *options], tcp=tcp,
                          backing=image)


def upstream_uri(server, keys, user=""):
    """As the proxy is told."""
    user = f"{user or keys.user}@" if keys.kind == "psk" else ""
    return server.uri.replace("nbd", "nbds", 1).replace("://", f"://{user}", 1)


class Target:
    """Where a client in a place connects to, as each program is told. keys None: in plaintext. at_home: this
    libnbd opens no files that a URI names, but finds certificates in $HOME/.pki/libnbd; of root's home
    it wants to know nothing, so it is then somebody else's."""

    def __init__(self, address, export="", keys=None, version=None, place=None, hostname=None,
                 at_home=False):
        self.address = address
        self.export = export
        self.keys = keys.copied(place) if keys else None
        self.version = version
        self.env = environment(place, version) if keys else {}
        self.hostname = hostname
        self.home = self._make_home(place) if at_home else None

    def _make_home(self, place):
        home = place.path("home")
        shutil.copytree(self.keys.folder, os.path.join(home, ".pki", "libnbd"))
        self.env["HOME"] = home
        if os.geteuid() == 0:
            for folder, _, names in os.walk(home):
                for path in (folder, *(os.path.join(folder, name) for name in names)):
                    os.chown(path, NOBODY, NOBODY)
            os.chmod(place.folder, 0o755)
        return home

    @property
    def uri(self):
        """For libnbd."""
        user = f"{self.keys.user}@" if self.keys and self.keys.kind == "psk" else ""
        scheme = "nbds" if self.keys else "nbd"
        parameters = [self.keys.uri_parameters()] if self.keys and not self.home else []
        if isinstance(self.address, str):
            scheme, where = scheme + "+unix", user
            parameters.insert(0, f"socket={self.address}")
        else:
            where = f"{user}{self.address[0]}:{self.address[1]}"
        return f"{scheme}://{where}/{self.export}" + ("?" if parameters else "") + "&".join(parameters)

    def by_libnbd(self, *argv):
        """argv of a program of libnbd's."""
        argv = ["env", *(f"{key}={value}" for key, value in self.env.items()), *argv]
        if self.home and os.geteuid() == 0:
            return ["/usr/sbin/chroot", f"--userspec={NOBODY}:{NOBODY}", "--groups=", "/", *argv]
        return argv

    @property
    def qemu_object(self):
        return self.keys.qemu_object("client", self.version) if self.keys else []

    @property
    def qemu_options(self):
        """For --image-opts."""
        where = f"unix,file.server.path={self.address}" if isinstance(self.address, str) else \
            f"inet,file.server.host={self.address[0]},file.server.port={self.address[1]}"
        words = f"driver=raw,file.driver=nbd,file.export={self.export},file.server.type={where}"
        if self.keys:
            words += ",file.tls-creds=tls0"
        if self.hostname:
            words += f",file.tls-hostname={self.hostname}"
        return words

    def spec(self, **more):
        """For tls_libnbd.py."""
        keys = {}
        if self.keys and self.keys.kind == "psk":
            keys = {"psk": self.keys.psk_file, "user": self.keys.user}
        elif self.keys:
            keys = {"certificates": self.keys.folder, "verify": True}
        return {"address": self.address, "export": self.export, **keys, **more}
