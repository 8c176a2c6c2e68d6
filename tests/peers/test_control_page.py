# SPDX-License-Identifier: BSD-3-Clause
"""nbdzero-control(7): every key of a real snapshot is in the page with its unit, and no other; so are the commands
and what they take."""
import os
import re

import pytest

from nbdtest import paths, wire
from nbdtest.control import Control, result

PAGE = os.path.join(paths.TREE, "docs", "man", "nbdzero-control.7.pod")
NAME = re.compile(r"[A-Z]+$")  # a part that stands for names of the daemon's choice


def items(heading):
    """{item's title: its text} of one chapter."""
    with open(PAGE, encoding="utf-8") as f:
        (chapter,) = re.findall(rf"^=head1 {heading}\n(.*?)(?=^=head1 |\Z)", f.read(), re.M | re.S)
    return dict(re.findall(r"^=item (.+)\n((?:(?!=item).*\n)*)", chapter, re.M))


def flatten(value, at=""):
    """Paths of all that is no object and no list of objects: exports[].probes.run"""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flatten(inner, f"{at}.{key}" if at else key)
    elif isinstance(value, list) and any(isinstance(x, dict) for x in value):
        for inner in value:
            yield from flatten(inner, at + "[]")
    else:
        yield at


def documented():
    """{path: its item's text}; each has a unit."""
    found = {}
    for title, text in items("KEYS OF THE SNAPSHOT").items():
        assert re.search(r" \([^()]+\)$", title), f"no unit: {title}"
        for path in re.findall(r"B<([^>]+)>", title):
            assert path not in found, f"twice: {path}"
            found[path] = text
    return found


def entry(path, page):
    """Which entry speaks of a path: its own, or one with names, which must name it."""
    if path in page:
        return path
    parts, text = path.split("."), "".join(page.values())
    for known in page:
        ours = known.split(".")
        if len(ours) == len(parts) and all(a == b or (NAME.match(a) and f"C<{b}>" in text)
                                           for a, b in zip(ours, parts)):
            return known
    return None


@pytest.fixture
def snapshot(stage, world):
    """Of a proxy in which nothing is missing: TLS on both sides, a verdict, a command."""
    s = stage(listen=world.listen("allow"), overrides={"tls": world.serving}, watch=False, **world.upstream())
    result(s.proxy.control, "verdict", upstream="main", export="", verdict="slow")
    c = s.client()
    c.greet()
    c.starttls(world.client)
    c.go()
    assert c.call(wire.WRITE, 0, 512, payload=bytes(512)) == 0
    return s.proxy.json()


@pytest.mark.smoke
def test_every_key_is_in_the_page_and_no_other(snapshot):
    page = documented()
    used = {path: entry(path, page) for path in set(flatten(snapshot))}
    missing = sorted(path for path, known in used.items() if not known)
    assert not missing, f"not in {os.path.basename(PAGE)}: {missing}"
    gone = sorted(set(page) - set(used.values()))
    assert not gone, f"no snapshot has these: {gone}"


def test_every_command_is_in_the_page(stage):
    """With its arguments. What the daemon says of a wrong one is what the page says."""
    s = stage(watch=False)
    commands = {re.search(r"B<([a-z-]+)>", title).group(1): text for title, text in items("COMMANDS").items()
                if title.startswith("B<")}
    with Control(s.proxy.control) as c:
        for command, text in commands.items():
            for argument in re.findall(r"^B<([a-z]+)>(?=: )", text, re.M):
                error = c.ask(command, **{argument: 1})["error"]
                assert f'"{argument}" is not a string' in error or 'the request has no "' in error, error
            assert "unknown command" not in (c.ask(command, nonsense=1).get("error") or "")
    with open(os.path.join(paths.TREE, "proxy", "daemon", "control_command.c"), encoding="utf-8") as f:
        table = f.read().partition("control_commands[]")[2]
    assert set(re.findall(r'\{\.name = "([a-z-]+)",\s+\.(?:changes|run)', table)) == set(commands)
