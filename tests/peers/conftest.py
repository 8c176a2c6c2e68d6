# SPDX-License-Identifier: BSD-3-Clause
"""The stage of the peers tests: one proxy with one worker, somebody who misbehaves, somebody who
does not, and who must be served all the time."""
import os

import pytest

from nbdtest import forge, wire
from nbdtest.proxy import PROXY_KEYS
from nbdtest.rawserver import ModelUpstream
from tls_world import World


class Stage:
    """`proxy`, the scripted `upstream` of its first listener, and how to get at both."""

    def __init__(self, proxy, upstream, good, raw):
        self.proxy = proxy
        self.upstream = upstream
        self.good = good
        self._raw = raw

    @property
    def address(self):
        return self.proxy.address

    def client(self, **kwargs):
        """A raw client of the scripted upstream's listener."""
        return self._raw(self.address, **kwargs)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Certificates, right and wrong: see tls_world.py."""
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def keys(world, folder):
    """A listener's folder of certificates that a test may change."""
    return world.directory(path=os.path.join(folder, "keys"), ca=world.ours, server=world.server)


@pytest.fixture
def stage(model, servers, start_proxy, bystander, raw):
    """stage(Kind, ...): misbehaviour goes by the first listener, the bystander by the second. With
    one worker both live on the same thread, which is the strictest neighbourhood. Keys of [proxy] are
    for both, those of [upstream] and `listen` for the scripted one."""
    def set_up(kind=ModelUpstream, overrides=None, watch=True, files=None, listen=None, tcp=None,
               env=None, **keys):
        upstream = model(kind, **(overrides or {}))
        good = servers.nbdkit("memory", "1M")
        own = {k: v for k, v in keys.items() if k.replace("_", "-") not in PROXY_KEYS}
        common = {k: v for k, v in keys.items() if k not in own}
        proxy = start_proxy({"main": (upstream.uri, own, listen or {}), "good": good.uri},
                            files=files, tcp=tcp, env=env, **{"threads": 1, **common})
        if watch:
            bystander(proxy.listens["good"].address)
        return Stage(proxy, upstream, good, raw)
    return set_up


@pytest.fixture
def forger(stage, world, folder):
    """forger(version): a stage, and a client of it in transmission whose TLS records are made by hand."""
    def make(version, **settings):
        s = stage(listen=world.listen(), **settings)
        c = s.client()
        c.greet()
        assert c.final(wire.STARTTLS) == wire.ACK
        c.sock = forge.Forger(c.sock, forge.context(version, f"{folder}/keylog"))
        c.sock.handshake()
        c.go()
        return s, c
    return make
