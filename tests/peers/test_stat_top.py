# SPDX-License-Identifier: BSD-3-Clause
"""nbdzero-stat top, and tables on a terminal: what is on a screen of 80x24, and of others."""
import re
import signal

import pytest

from nbdtest import paths
from nbdtest.process import wait_until
from nbdtest.proxy import SANITIZER_ENV
from nbdtest.terminal import Terminal

LONG = "an-export-whose-name-" + "is-long-" * 12 + "indeed"


@pytest.fixture
def terminal(folder, processes):
    """terminal(proxy, *command, columns, rows, **env): nbdzero-stat on a terminal."""
    def run(proxy, *command, columns=80, rows=24, **env):
        return Terminal(folder, processes, [paths.STAT, "-s", proxy.control, *command], columns,
                        rows, dict(SANITIZER_ENV, **env))
    return run


def rows_of(screen, heading):
    """The lines of a table, heading first."""
    lines = [line.rstrip() for line in screen.split("\n")]
    at = next(i for i, line in enumerate(lines) if line.split()[:1] == [heading])
    return lines[at:lines.index("", at)] if "" in lines[at:] else lines[at:]


def test_80_columns(stage, terminal):
    """The bystander of the second listener gives it something to count."""
    s = stage()
    c = s.client()
    c.start()
    t = terminal(s.proxy, "top")
    # Once there are rates: more than nothing of "good", nothing of the other.
    screen = t.shows("nbdzero-proxy", "good/\"\"", "main/\"\"", " requests/s", "q quit", "COMMAND",
                     "REASON", without=["- requests/s"])
    assert all(len(line) <= 80 for line in screen.split("\n")), screen
    assert "2 of 10000 connections" in screen or re.search(r"2 of \d+ connections", screen)
    table = rows_of(screen, "EXPORT")
    assert table[0].split() == ["EXPORT", "CONN", "OPS/s", "READ/s", "WRITE/s", "ZERO/s", "P50", "P99",
                                "VERDICT", "AGE"]
    assert table[1].startswith("good/") and table[2].startswith("main/"), table  # by OPS/s, downwards
    assert float(table[1].split()[2].rstrip("k")) > 0
    assert re.search(r"\d(us|ms|s)\b", table[1]), table  # percentiles
    commands = rows_of(screen, "COMMAND")
    assert commands[0].split() == ["COMMAND", "OPS/s", "BYTES/s", "ERRORS", "P50", "P90", "P99",
                                   "P999", "MAX"]
    assert [line.split()[0] for line in commands[1:3]] == ["read", "write"]
    t.press("q")
    assert t.status() == 0


def test_sorting(stage, terminal):
    s = stage()
    s.client().start()
    t = terminal(s.proxy, "top")
    t.shows("sorted by OPS/s downwards", "main/")
    t.press("1")
    screen = t.shows("sorted by EXPORT upwards")
    assert rows_of(screen, "EXPORT")[1].startswith("good/")
    t.press("r")
    screen = t.shows("sorted by EXPORT downwards")
    assert rows_of(screen, "EXPORT")[1].startswith("main/")
    t.press("Right")
    t.shows("sorted by CONN downwards")
    t.press("Left", "Left")
    t.shows("sorted by REASON upwards", " REASON")
    # The heading that sorts is shown in reverse; and nothing of a colour on request.
    wait_until(lambda: any(re.search(r"\x1b\[[0-9;]*7m *REASON", line) for line in t.screen(True)),
               30, "the heading in reverse")
    t.press("q")
    assert t.status() == 0


def test_connections_help_and_keys(stage, terminal):
    s = stage()
    s.client().start()
    t = terminal(s.proxy, "top")
    t.shows(" CONN ")
    t.press("Tab")
    screen = t.shows("CLIENT", "sorted by IN/s downwards", "Connection ", "unix:pid")
    assert len(rows_of(screen, "ID")) == 3
    t.press("h")
    t.shows("reverse the order", "Any key goes back")
    t.press("x")
    t.shows("CLIENT", without=["Any key goes back"])
    t.press("d")
    t.shows("CLIENT", without=["Connection "])
    t.press("e", "d", "l")
    t.shows("latency of read", "COMMAND")
    t.press("q")
    assert t.status() == 0


def test_resize_to_wide_and_tiny(stage, terminal):
    s = stage()
    t = terminal(s.proxy, "top", rows=30, columns=160)
    screen = t.shows("EXPORT", "P90", "P999", "MAX", "REASON")
    assert any(len(line) > 80 for line in screen.split("\n"))
    t.resize(80, 24)
    wait_until(lambda: "P90" not in rows_of(t.shows("EXPORT"), "EXPORT")[0], 30, "columns less")
    for columns, rows in ((20, 6), (5, 2), (1, 1)):
        t.resize(columns, rows)
        t.press("Down", "Tab", "Tab", ">", "<", "h", "h")
    t.resize(100, 40)
    t.shows("EXPORT", "q quit", "COMMAND")
    t.press("q")
    assert t.status() == 0


def test_daemon_gone_and_back(stage, terminal, processes):
    s = stage(watch=False)
    t = terminal(s.proxy, "top")
    t.shows("0 requests/s")
    s.proxy.stop()
    t.shows("No answer for", "trying again", "0 requests/s")
    t.press("1")
    t.shows("sorted by EXPORT")  # it listens to keys all the while
    again = processes.start(s.proxy.process.argv, name="again", env=SANITIZER_ENV)
    t.shows("0 requests/s", without=["No answer for"])
    assert again.terminate() == 0
    t.press("q")
    assert t.status() == 0


def test_daemon_that_does_not_answer(stage, terminal):
    """Keys are obeyed while an answer is awaited."""
    s = stage(watch=False)
    t = terminal(s.proxy, "top")
    t.shows("0 requests/s")
    s.proxy.process.popen.send_signal(signal.SIGSTOP)
    try:
        t.press("h")
        t.shows("Any key goes back")
        t.press("q")
        assert t.status() == 0
    finally:
        s.proxy.process.popen.send_signal(signal.SIGCONT)


def test_ended_by_a_signal(stage, terminal):
    s = stage(watch=False)
    t = terminal(s.proxy, "top")
    t.shows("0 requests/s")
    t.press("C-c")
    assert t.status() == 0


def test_no_terminal_and_no_such(stage, terminal):
    s = stage(watch=False)
    done = s.proxy.stat("top", check=False)
    assert done.returncode == 1 and "needs a terminal" in done.stderr and "show --watch" in done.stderr
    t = terminal(s.proxy, "top", TERM="nonsense")
    t.shows("nonsense", "set TERM")
    assert t.status() == 1


def test_tables_on_a_terminal(stage, terminal):
    """They fit it, what is cut ends in an ellipsis, and there are colours unless they are unwanted."""
    s = stage()
    c = s.client()
    c.start(LONG)
    show = terminal(s.proxy, rows=40)
    screen = show.shows("EXPORT", "OUT")
    assert "\u2026" in screen and "an-export" in screen, screen
    assert any("\x1b[" in line for line in show.screen(True))
    assert show.status() == 0
    wide = terminal(s.proxy, columns=200, rows=40)
    assert LONG in wide.shows("EXPORT", "OUT")
    for command, env in ((["--no-colour"], {}), ([], {"NO_COLOR": "1"}), ([], {"LANG": "C"})):
        t = terminal(s.proxy, *command, rows=40, **env)
        t.shows("EXPORT", "OUT")
        assert t.status() == 0
        coloured = any("\x1b[" in line for line in t.screen(True)[:30])
        assert coloured == (env == {"LANG": "C"}), t.screen(True)


def test_watch_on_a_terminal(stage, terminal):
    """Redrawn in place, and cut to the screen."""
    s = stage(watch=False)
    t = terminal(s.proxy, "show", "--watch=0.3", rows=10)
    screen = t.shows("nbdzero-proxy", "0 requests/s", "LISTENER")
    assert screen.count("nbdzero-proxy") == 1
    assert "ID" not in screen  # what is below the tenth row
    t.resize(80, 40)
    t.shows("nbdzero-proxy", "OPS/s", "IN/s")
    s.proxy.stop()
    t.shows("No such file", "Trying again", without=["LISTENER"])
    t.press("C-c")
