# SPDX-License-Identifier: BSD-3-Clause
"""Manual pages: what programs take and files say is in them, and formatters have nothing to complain of."""
import os
import re
import subprocess

import pytest

from nbdtest import paths
from nbdtest.disks import run
from nbdtest.proxy import SANITIZER_ENV

FOLDER = os.path.join(paths.TREE, "docs", "man")
PAGES = sorted(name.removesuffix(".pod") for name in os.listdir(FOLDER) if name.endswith(".pod"))
PROGRAMS = {"nbdzero-proxy": paths.PROXY, "nbdzero-stat": paths.STAT, "nbdzero-probe": paths.PROBE}
FORMAT = {"LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}


def source(page):
    with open(os.path.join(FOLDER, page + ".pod"), encoding="utf-8") as f:
        return f.read()


def complaints(*argv):
    """What a formatter says beside the page."""
    done = subprocess.run(argv, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, timeout=60, env=dict(os.environ, **FORMAT))
    return done.returncode, done.stderr


def page_of(program):
    (page,) = [page for page in PAGES if page[:-2] == program]
    return source(page)


def test_every_program_has_a_page_and_so_have_file_and_protocol():
    assert {page[:-2] for page in PAGES} >= {*PROGRAMS, "nbdzero.conf", "nbdzero-control"}


@pytest.mark.parametrize("page", PAGES)
def test_formatters_find_no_fault(page):
    pod = os.path.join(FOLDER, page + ".pod")
    code, text = complaints("podchecker", "-warnings", pod)
    assert code == 0 and "WARNING" not in text, text
    built = os.path.join(paths.BUILD, "docs", "man", page)
    assert complaints("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", built) == (0, "")
    assert complaints("groff", "-man", "-ww", "-Kutf8", "-Tutf8", "-z", built) == (0, "")


@pytest.mark.parametrize("page", PAGES)
def test_no_page_refers_to_what_is_not_there(page):
    text = source(page)
    if page[:-2] in PROGRAMS:  # values of keys are refused by name; commands are there or are not
        assert "not yet supported" not in " ".join(text.lower().split())
    for name, section in re.findall(r"L<(nbdzero[a-z.-]*)\((\d)\)>", text):
        assert f"{name}.{section}" in PAGES, f"a link to {name}({section}), which is no page"


def help_of(program):
    done = subprocess.run([PROGRAMS[program], "--help"], check=True, capture_output=True, text=True,
                          timeout=20, env=dict(os.environ, **SANITIZER_ENV))
    return done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_of_the_help_is_in_the_page(program):
    text, page = help_of(program), page_of(program)
    options = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*|-[A-Za-z])\b", text))
    assert {"--help", "--version"} <= options
    missing = [option for option in sorted(options) if f"B<{option}>" not in page]
    assert not missing, f"{program}'s page lacks {missing}"


def test_every_command_of_nbdzero_stat_is_in_its_page():
    commands = re.findall(r"^ {2}([a-z][a-z-]*)\b", help_of("nbdzero-stat"), re.M)
    assert {"show", "check", "json"} <= set(commands)
    page = page_of("nbdzero-stat")
    missing = [command for command in commands if f"B<{command}>" not in page]
    assert not missing, f"the page lacks {missing}"


def test_every_key_of_the_sample_is_in_the_page():
    with open(os.path.join(paths.TREE, "conf", "nbdzero.conf"), encoding="utf-8") as f:
        keys = set(re.findall(r"^#?([a-z][a-z-]*) =", f.read(), re.M))
    assert {"threads", "address", "uri", "fast-zero"} <= keys
    items = set(re.findall(r"^=item B<([a-z-]+)> =", source("nbdzero.conf.5"), re.M))
    assert keys == items


def test_apropos_finds_them():
    """The NAME line is what whatis and lintian read."""
    for page in PAGES:
        found = run("lexgrog", os.path.join(paths.BUILD, "docs", "man", page))
        assert f'"{page[:-2]} - ' in found, found
