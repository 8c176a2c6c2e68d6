# SPDX-License-Identifier: BSD-3-Clause
"""Who is who in the TLS tests: an authority that the proxy trusts, good people of its, and bad ones of every
kind. Made when they are first asked for, once for all tests."""
import functools

from nbdtest import wire
from nbdtest.pki import Pki, client_context, server_context
from nbdtest.process import wait_until
from nbdtest.tls import TLS12, TLS13

HOSTS = ["DNS:localhost", "IP:127.0.0.1", "IP:::1"]
GREETED = b"\0\0\0\3"  # a client's flags
STARTTLS = wire.option(wire.STARTTLS)
both_versions = {"argvalues": [TLS12, TLS13], "ids": ["tls12", "tls13"]}


class World(Pki):
    @functools.cached_property
    def ours(self):
        return self.ca("ours")

    @functools.cached_property
    def foreign(self):
        """Nobody knows it."""
        return self.ca("foreign")

    @functools.cached_property
    def between(self):
        return self.ca("between", issuer=self.ours)

    @functools.cached_property
    def server(self):
        return self.ours.issue("server", san=HOSTS, usage="server")

    @functools.cached_property
    def alice(self):
        return self.ours.issue("alice", san=["DNS:alice.example.org"], usage="client")

    @functools.cached_property
    def mallory(self):
        """Was one of ours."""
        who = self.ours.issue("mallory", san=HOSTS)
        self.ours.revoke(who)
        return who

    @functools.cached_property
    def stranger(self):
        return self.foreign.issue("stranger", san=HOSTS)

    @functools.cached_property
    def signed_by_a_leaf(self):
        """A chain of ours whose middle is no CA, but a client."""
        middle = self.ours.issue("middle")
        return self.sign_with(middle, "forged", san=HOSTS)

    @functools.lru_cache(maxsize=None)
    def once(self, _name, make):
        """make(self), for the first who asks by that name."""
        return make(self)

    # Folders ------------------------------------------------------------------------

    @functools.cached_property
    def keys(self):
        """What a listener has; an upstream finds alice there."""
        return self.directory("keys", ca=self.ours, server=self.server, client=self.alice)

    @functools.cached_property
    def trust(self):
        """An upstream's that has nothing to show."""
        return self.directory("trust", ca=self.ours)

    @functools.cached_property
    def wary(self):
        """The same with a list of whom not to believe any more."""
        assert self.mallory
        return self.directory("wary", ca=self.ours, server=self.server, crl=self.ours.crl())

    @functools.cached_property
    def alice_is_out(self):
        """Another list, which she is on."""
        with self.ours.without_trace():
            self.ours.revoke(self.alice)
            return self.directory("alice-is-out", ca=self.ours, server=self.server, crl=self.ours.crl())

    @functools.cached_property
    def overdue(self):
        """The list should have been renewed yesterday."""
        return self.directory("overdue", ca=self.ours, server=self.server, crl=self.ours.crl(-1))

    # Keys of the configuration ---------------------------------------------------------

    def listen(self, tls="require", **more):
        return {"tls": tls, "tls_certificates": self.keys, **more}

    def strict(self, **more):
        """Clients have to show a certificate."""
        return self.listen(**{"tls_verify_peer": "yes", **more})

    def upstream(self, **more):
        return {"tls_certificates": self.trust, "tls_hostname": "localhost", **more}

    # Python's side ------------------------------------------------------------------------

    @functools.cached_property
    def client(self):
        """Of somebody who has no name."""
        return client_context(self.ours)

    @functools.cached_property
    def as_alice(self):
        return client_context(self.ours, self.alice)

    @functools.cached_property
    def serving(self):
        return server_context(self.server)

    def context_that_notes(self, names):
        """Serving, and what each client calls us (None: nothing) is appended to names."""
        context = server_context(self.server)
        context.sni_callback = lambda _engine, name, _context: names.append(name)
        return context


def lines_with(proxy, *words):
    """All that an operator sees, who has not turned debugging on."""
    shown = [line for level in ("info", "warn", "error") for line in proxy.lines(level)]
    return [line for line in shown if all(word in line for word in words)]


def the_line(proxy, *words):
    """The one log line that tells the operator."""
    (line,) = wait_until(lambda: lines_with(proxy, *words), 5, f"a line with {words} in the log")
    return line
