# SPDX-License-Identifier: BSD-3-Clause
"""Bash completion of the three programs: what bash offers, and that it knows every option there is."""
import os
import re
import shlex
import subprocess

import pytest

from nbdtest import paths
from nbdtest.proxy import SANITIZER_ENV

FOLDER = os.path.join(paths.TREE, "conf", "bash-completion")
PROGRAMS = {"nbdzero-proxy": paths.PROXY, "nbdzero-stat": paths.STAT, "nbdzero-probe": paths.PROBE}


def offers(*words, cwd="/"):
    """What is offered for the last of the words, the cursor behind it."""
    program = os.path.basename(words[0])
    script = f"""
        source {shlex.quote(os.path.join(FOLDER, program))} || exit 1
        function=$(complete -p {program} | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
        COMP_WORDS=({' '.join(map(shlex.quote, words))})
        COMP_CWORD={len(words) - 1}
        "$function" {program}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", script], check=False, capture_output=True, text=True,
                          timeout=60, cwd=cwd, env=dict(os.environ, **SANITIZER_ENV))
    assert done.returncode == 0 and not done.stderr, done
    return done.stdout.split("\n")[:-1] if done.stdout != "\n" else []


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option(program):
    done = subprocess.run([PROGRAMS[program], "--help"], check=True, capture_output=True, text=True)
    known = set(re.findall(r"^ +(?:-\w, +)?(--[a-z-]+)", done.stdout, re.M))
    assert "--help" in known and set(offers(program, "-")) == known


def test_every_command():
    done = subprocess.run([paths.STAT, "--help"], check=True, capture_output=True, text=True)
    known = set(re.findall(r"^  ([a-z][a-z-]+)", done.stdout, re.M))
    assert len(known) == 12 and set(offers("nbdzero-stat", "")) == known
    assert offers("nbdzero-stat", "--watch", "=", "5", "con") == ["connections"]


def test_words():
    assert offers("nbdzero-proxy", "--log-level", "") == ["error", "warn", "info", "debug"]
    assert offers("nbdzero-proxy", "--log-level", "=", "w") == ["warn"]
    assert offers("nbdzero-stat", "log-level", "d") == ["debug"]
    assert offers("nbdzero-stat", "verdict", "x", "f") == ["fast", "forget"]
    assert not offers("nbdzero-stat", "reload", "")
    assert offers("nbdzero-probe", "--no-hole", "") == ["yes", "no", "both"]
    assert "nbd+unix:///" in offers("nbdzero-probe", "n")


def test_files(tmp_path):
    (tmp_path / "proxy.conf").touch()
    (tmp_path / "folder").mkdir()
    assert offers("nbdzero-proxy", "-c", "pro", cwd=tmp_path) == ["proxy.conf"]
    assert offers("nbdzero-proxy", "--config", "=", "pro", cwd=tmp_path) == ["proxy.conf"]
    assert offers("nbdzero-stat", "-s", "pro", cwd=tmp_path) == ["proxy.conf"]
    assert offers("nbdzero-stat", "--socket", "=", "pro", cwd=tmp_path) == ["proxy.conf"]
    assert offers("nbdzero-probe", "--state-dir", "", cwd=tmp_path) == ["folder"]
    assert offers("nbdzero-probe", "--plot", "", cwd=tmp_path) in (["folder", "proxy.conf"],
                                                                  ["proxy.conf", "folder"])


def test_exports_of_the_running_proxy(start_proxy):
    """Names that are at two upstreams need the upstream's; odd ones are left out."""
    nowhere = "nbd+unix:///?socket=/nonexistent"
    proxy = start_proxy({"main": nowhere, "good": nowhere}, exports={
        "disk": {"upstream": "main"}, "vm one": {"upstream": "main"}, "both": {"upstream": "main"},
        "second": {"upstream": "good", "listen": "good", "name": "both"},
        "odd": {"upstream": "main", "name": "a%5Cb%3Ac%22"}})
    ask = [paths.STAT, "-s", proxy.control, "verdict"]
    assert sorted(offers(*ask, "")) == sorted([
        "main/disk", "disk", r"main/vm\ one", r"vm\ one", "main/both", "good/both"])
    assert offers(*ask, "main/d") == ["main/disk"]
    with_equals = [paths.STAT, "--socket", "=", proxy.control, "verdict"]
    assert offers(*with_equals, "dis") == ["disk"]
    proxy.stop()
    assert not offers(*ask, "")
