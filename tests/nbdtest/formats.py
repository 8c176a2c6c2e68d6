# SPDX-License-Identifier: BSD-3-Clause
"""The formats of the transmission phase on both sides of the proxy, and which meets which."""
import pytest

from .rawserver import ModelUpstream

# Scripted upstreams by what they can do.
UPSTREAMS = {
    "simple": {"has_structured": False},
    "structured": {},
    "extended": {"has_extended": True},
    "only_extended": {"has_extended": True, "requires_extended": True},
}
CLIENTS = ["simple", "structured", "extended"]


def agreed(client, upstream):
    """What the proxy must agree on upstream for a client of this format: no more than the client has, unless
    upstream insists."""
    if upstream == "only_extended":
        return "extended"
    return min(client, upstream, key=CLIENTS.index)


pairs = pytest.mark.parametrize("client, upstream", [(c, u) for c in CLIENTS for u in UPSTREAMS],
                                ids=lambda v: v)
chunked_clients = pytest.mark.parametrize("client", CLIENTS[1:])
all_clients = pytest.mark.parametrize("client", CLIENTS)
# Pairs in which upstream answers in chunks.
chunked_pairs = pytest.mark.parametrize("client, upstream", [
    (c, u) for c in CLIENTS for u in UPSTREAMS if agreed(c, u) != "simple"], ids=lambda v: v)


def kind_of(upstream, base=ModelUpstream, **members):
    """A scripted upstream's class that can do what UPSTREAMS says."""
    return type("Upstream", (base,), {**UPSTREAMS[upstream], **members})
