# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the peers and interop tests, and the account of what was not run."""
import json
import os
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# pylint: disable=wrong-import-position
from nbdtest import paths  # noqa: E402
from nbdtest.bystander import Bystander  # noqa: E402
from nbdtest.process import Processes  # noqa: E402
from nbdtest.proxy import SANITIZER, Proxy  # noqa: E402
from nbdtest.rawclient import RawClient  # noqa: E402
from nbdtest.upstreams import Servers  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "timing: its numbers mean something in a plain build only")
    config.addinivalue_line("markers", "smoke: worth running against every build")
    config.addinivalue_line("markers", "calls: also worth running under the service's system call filter")


def pytest_sessionstart(session):
    if session.config.option.collectonly:
        return
    for program in (paths.PROXY, paths.STAT, paths.PROBE):
        if not os.access(program, os.X_OK):
            pytest.exit(f"{program} is not built: meson compile -C {paths.BUILD}", returncode=2)


@pytest.fixture
def folder():
    """A short path, because Unix socket addresses are short."""
    path = tempfile.mkdtemp(prefix="nz-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def processes(folder, request):
    """Children of this test; killed at its end, their logs shown when it failed."""
    children = Processes(folder)
    request.node.children = children
    yield children
    children.kill_all()


@pytest.fixture
def servers(folder, processes):
    """Real upstreams."""
    running = Servers(folder, processes)
    yield running
    running.stop_all()


@pytest.fixture
def start_proxy(folder, processes):
    """start_proxy({name: uri}, **keys) or start_proxy(uri, **keys): stopped and judged at the end. at: the
    folder of its sockets."""
    proxies = []

    def start(upstreams, at=None, **keys):
        if isinstance(upstreams, str):
            upstreams = {"main": upstreams}
        proxies.append(Proxy(at or folder, processes, upstreams, **keys))
        return proxies[-1]

    yield start
    for proxy in proxies:
        if proxy.process.running():
            proxy.stop()
        else:
            proxy.check_end()


@pytest.fixture
def model(folder):
    """model(ModelUpstream subclass, **overrides): a scripted upstream, judged at the end."""
    running = []

    def start(kind, **overrides):
        running.append(kind(folder, **overrides))
        return running[-1]

    yield start
    for upstream in running:
        upstream.stop()


@pytest.fixture
def raw():
    """raw(address): a client that can say anything; closed at the end."""
    clients = []

    def connect(address, **kwargs):
        clients.append(RawClient(address, **kwargs))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def bystander():
    """bystander(address): a good client that must be served to the end of the test."""
    running = []

    def start(address, **kwargs):
        running.append(Bystander(address, **kwargs))
        return running[-1]

    yield start
    for one in running:
        one.stop()


# The account ------------------------------------------------------------------

_count = {"passed": 0, "failed": 0, "skipped": 0}
_not_run = []
_failures = {}  # node: how often it counts as failed
_damning = []  # nodes where a sanitizer spoke: once is enough


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for process in getattr(getattr(item, "children", None), "started", []):
            if os.path.exists(process.log_path):  # not after the folder's own teardown
                title = f"log of {' '.join(process.argv)[:120]}"
                report.sections.append((title, process.log()[-4000:]))


def pytest_runtest_logreport(report):
    if report.failed:
        _count["failed"] += 1
        _failures[report.nodeid] = _failures.get(report.nodeid, 0) + 1
        if SANITIZER.search(report.longreprtext) or any(SANITIZER.search(text) for _, text in report.sections):
            _damning.append(report.nodeid)
    elif report.skipped:
        _count["skipped"] += 1
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        name = dict(report.user_properties).get("not_run", report.nodeid.split("::")[-1])
        _not_run.append(f"{name}: {why.replace('Skipped: ', '')}")
    elif report.when == "call":
        _count["passed"] += 1


def pytest_collectreport(report):
    if report.failed:  # a file that cannot be read: with it all of its tests are missing
        _count["failed"] += 1
        _failures[report.nodeid] = 1
        _damning.append(report.nodeid)


def pytest_terminal_summary(terminalreporter):
    for line in _not_run:
        terminalreporter.write_line(f"not run: {line}")


def pytest_sessionfinish(session):
    account = os.environ.get("NBDTEST_ACCOUNT")
    if account and not hasattr(session.config, "workerinput"):  # not in xdist's workers
        with open(account, "w", encoding="utf-8") as f:
            json.dump(dict(_count, not_run=_not_run, failures=_failures, damning=_damning), f)
