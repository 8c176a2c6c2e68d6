# SPDX-License-Identifier: BSD-3-Clause
"""What nbdinfo shows through the proxy is what it shows directly."""
import json

import pytest

from nbdtest.disks import run

# What may differ: the uri does by nature; the flags are what the proxy is for; long zeroes are split
# here, whatever the maximum.
MAY_DIFFER = {"uri", "can_fast_zero", "can_zero", "block_size_maximum"}


def info(uri, *options):
    shown = json.loads(run("nbdinfo", "--json", *options, uri))
    for export in shown["exports"]:
        for key in MAY_DIFFER:
            export.pop(key, None)
    return shown


@pytest.mark.smoke
def test_nbdinfo_json_equals_the_direct_one(upstream, start_proxy):
    proxy = start_proxy(upstream.uri)
    direct, proxied = info(upstream.uri), info(proxy.uri(upstream.export))
    if upstream.kind == "nbd-server":
        # Its INFO says size 0 (it opens the export at GO only); ours says what GO says.
        for shown in direct, proxied:
            shown["exports"][0].pop("content", None)
        assert direct["exports"][0].pop("export-size") == 0
        assert proxied["exports"][0].pop("export-size") == 16 << 20
        direct["exports"][0].pop("export-size-str", None)
        proxied["exports"][0].pop("export-size-str", None)
    # Structured replies, DF and base:allocation are there whatever upstream lacks.
    (theirs,), (ours,) = direct["exports"], proxied["exports"]
    if not direct["structured"]:
        direct["structured"] = theirs["can_df"] = True
    if not theirs.get("contexts"):
        theirs["contexts"] = ["base:allocation"]
    assert ours == theirs
    assert proxied == direct


def test_fast_zero_is_offered(upstream, start_proxy):
    proxy = start_proxy(upstream.uri)
    assert run("nbdinfo", "--can", "fast-zero", proxy.uri(upstream.export)) == ""
    assert run("nbdinfo", "--can", "zero", proxy.uri(upstream.export)) == ""


def test_nbdinfo_size_map_and_list(upstream, start_proxy):
    proxy = start_proxy(upstream.uri)
    assert run("nbdinfo", "--size", proxy.uri(upstream.export)).strip() == str(16 << 20)
    if "meta" in run("nbdinfo", upstream.uri) or upstream.kind.startswith(("nbdkit", "qemu")):
        assert run("nbdinfo", "--map", proxy.uri(upstream.export)) == \
            run("nbdinfo", "--map", upstream.uri)
    listed = run("nbdinfo", "--list", "--json", "--no-content", proxy.uri(), check=False)
    if listed:
        direct = json.loads(run("nbdinfo", "--list", "--json", "--no-content", upstream.uri))
        assert [e["export-name"] for e in json.loads(listed)["exports"]] == \
            [e["export-name"] for e in direct["exports"]]
