# SPDX-License-Identifier: BSD-3-Clause
"""docs/grafana.json, docs/alerts.yml and docs/metrics.md name metrics: each is one that a real proxy shows."""
import json
import os
import re
import shutil
import subprocess
import urllib.request

import pytest

from nbdtest import wire
from nbdtest.process import free_port, wait_until
from nbdtest.rawclient import RawClient

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs")
METRIC = re.compile(r"\bnbdzero_[a-z_]+[a-z]\b")
PARTS = re.compile(r"_(bucket|sum|count)$")


def doc(name):
    with open(os.path.join(DOCS, name), encoding="utf-8") as f:
        return f.read()


def fetch_metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as reply:
        return reply.read().decode()


@pytest.fixture(name="shown")
def shown_by_a_real_proxy(servers, start_proxy):
    """{metric: {its labels}} of a proxy that has served a little; None: it has nothing to show there yet."""
    upstream = servers.nbdkit("memory", 64 << 20)
    port = free_port()
    proxy = start_proxy(upstream.uri, metrics_listen=f"127.0.0.1:{port}")
    c = RawClient(proxy.address)
    c.start()
    assert c.write(0, bytes(65536)) == 0
    assert c.read(0, 4096)
    c.request(wire.DISC)
    c.close()
    wait_until(lambda: 'nbdzero_session_endings_total{ending="client-disc"} 1' in fetch_metrics(port), 20,
               "the session's end is counted")
    text = fetch_metrics(port)
    found = dict.fromkeys(re.findall(r"^# TYPE (\S+) ", text, re.M))
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", text, re.M):
        name = family(name, found)
        found[name] = (found[name] or set()) | set(re.findall(r'(\w+)="', labels))
    return found


def family(name, shown):
    return name if name in shown else PARTS.sub("", name)


def expressions():
    """All PromQL of the dashboard."""
    board = json.loads(doc("grafana.json"))
    for p in board["panels"]:
        for t in p.get("targets", []):
            yield p["title"], t["expr"], t["legendFormat"]
    for v in board["templating"]["list"]:
        if v["type"] == "query":
            yield v["name"], v["query"]["query"], ""


def test_the_dashboard_shows_what_there_is(shown):
    used = set()
    for title, expr, legend in expressions():
        names = {family(n, shown) for n in METRIC.findall(expr)}
        assert names and names <= set(shown), f"{title}: {names - set(shown)}"
        used |= names
        if any(shown[n] is None for n in names):
            continue  # this proxy has no certificate, and no verdict yet
        labels = {"instance", "le"}.union(*(shown[n] for n in names))
        asked = set(re.findall(r"(\w+)=~?\"", expr)) | set(re.findall(r"\{\{(\w+)\}\}", legend))
        for by in re.findall(r"by \(([^)]*)\)", expr):
            asked |= set(by.split(", "))
        assert asked <= labels, (title, asked - labels)
    unused = set(shown) - used - {"nbdzero_uptime_seconds", "nbdzero_threads", "nbdzero_export_size_bytes"}
    assert not unused, f"nobody sees {unused}"


def test_the_alerts_are_about_what_there_is(shown):
    names = {family(n, shown) for n in METRIC.findall(doc("alerts.yml"))}
    assert len(names) >= 10 and names <= set(shown), names - set(shown)


def test_the_page_lists_all_metrics(shown):
    listed = set(re.findall(r"^\| `(nbdzero_[a-z_]+)`", doc("metrics.md"), re.M))
    assert listed == set(shown), (listed ^ set(shown))


@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool")
@pytest.mark.parametrize("what", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
                         ids=("syntax", "behaviour"))
def test_the_alerts_work(what):
    done = subprocess.run(["promtool", *what], cwd=DOCS, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool")
def test_each_alert_has_a_test():
    rules = set(re.findall(r"- alert: (\w+)", doc("alerts.yml")))
    tested = set(re.findall(r'alertname="(\w+)"', doc("alerts_test.yml")))
    assert rules == tested, rules ^ tested


@pytest.mark.skipif(not shutil.which("promtool"), reason="there is no promtool")
def test_expressions_of_the_dashboard_are_promql(tmp_path):
    """As recording rules, with Grafana's own variables filled in."""
    rules = []
    for i, (_, expr, _) in enumerate(expressions()):
        if not expr.startswith("label_values("):
            expr = re.sub(r"\$__rate_interval", "5m", expr)
            rules.append({"record": f"panel:{i}", "expr": re.sub(r"\$\w+", ".*", expr)})
    assert len(rules) > 20
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False,
                          timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
