# SPDX-License-Identifier: BSD-3-Clause
"""The keys of the TLS interop tests: right ones, and every wrong kind; each a folder as the programs want it."""
import functools
import os
import shutil

from nbdtest.disks import run
from nbdtest.pki import Pki
from tls_peers import Keys

HERE = ("DNS:localhost", "IP:127.0.0.1")


class KeyRing:
    """keys(name), made once: x509 and psk are good; the others are wrong beside one of these."""

    def __init__(self, folder):
        self.folder = folder
        self.pki = Pki(folder)

    @functools.lru_cache(maxsize=None)
    def __call__(self, name):
        folder = os.path.join(self.folder, name)
        os.mkdir(folder)
        return getattr(self, name.replace("-", "_"))(folder)

    @functools.lru_cache(maxsize=None)
    def authority(self, name, key):
        return self.pki.ca(f"{name} CA", key=key)

    def fill(self, folder, authority, key, names=HERE):
        """What a server and a client show, and whom they trust."""
        ca = self.authority(authority, key)
        self.pki.directory(path=folder, ca=ca, server=ca.issue("server", san=names, key=key, usage="server"),
                           client=ca.issue("alice", key=key, usage="client"))
        return Keys("x509", folder)

    def x509(self, folder):
        return self.fill(folder, "ours", "rsa")

    def elsewhere(self, folder):
        """Of ours, for a server of another name."""
        return self.fill(folder, "ours", "rsa", ("DNS:storage.example",))

    def other(self, folder):
        """Of an authority that nobody else knows."""
        return self.fill(folder, "other", "ec")

    def bare(self, folder):
        """Trusts ours, and has nothing to show."""
        shutil.copy(os.path.join(self("x509").folder, "ca-cert.pem"), folder)
        return Keys("x509", folder)

    def mixed(self, folder):
        """Trusts ours, and shows what the other authority has signed."""
        shutil.copytree(self("other").folder, folder, dirs_exist_ok=True)
        return self.bare(folder)

    def psk(self, folder, user="alice"):
        run("psktool", "-u", user, "-p", os.path.join(folder, "keys.psk"))
        return Keys("psk", folder, user)

    wrong_psk = psk

    def unknown_psk(self, folder):
        return self.psk(folder, "mallory")
