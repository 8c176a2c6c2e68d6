# SPDX-License-Identifier: BSD-3-Clause
"""meson install: what goes where, below each prefix, and that it works from there."""
import os
import re
import shutil
import subprocess

import pytest

from nbdtest import paths
from nbdtest.disks import run
from nbdtest.proxy import SANITIZER_ENV

PROGRAMS = ["nbdzero-probe", "nbdzero-proxy", "nbdzero-stat"]
BUILT = {paths.PROXY, paths.STAT, paths.PROBE}
UNIT_FILES = (".service", ".socket")


def names(folder):
    """What is in a folder of the tree, build rules apart."""
    return sorted(n for n in os.listdir(os.path.join(paths.TREE, folder)) if n != "meson.build")


def tree_of(root):
    """All files below, by their paths in it."""
    return {os.path.relpath(os.path.join(at, name), root)
            for at, _, files in os.walk(root) for name in files}


def pages():
    for name in names("docs/man"):
        page = name.removesuffix(".pod")
        yield f"man{page[-1]}/{page}"


def unit_files():
    """Files of systemd/ and the folders in it."""
    return sorted(tree_of(os.path.join(paths.TREE, "systemd")) - {"meson.build"})


def documents():
    top = os.path.join(paths.TREE, "docs")
    return {path for path in tree_of(top) if not path.startswith("man/")} - {"meson.build"}


def expected(prefix, units, sysusers, tmpfiles):
    """Where the tree's files belong: nothing is forgotten here, and nothing more may be there."""
    doc = f"{prefix}/share/doc/nbdzero"
    wanted = {f"{prefix}/bin/{name}" for name in PROGRAMS}
    wanted |= {f"{prefix}/share/man/{page}" for page in pages()}
    wanted |= {f"{doc}/{name}" for name in documents()} | {f"{doc}/LICENSE"}
    wanted.add(f"{doc}/examples/nbdzero.conf")
    wanted |= {f"{prefix}/share/bash-completion/completions/{name}"
               for name in names("conf/bash-completion")}
    for path in unit_files():
        folder = units if path.endswith(UNIT_FILES) else \
            sysusers if "sysusers" in path else tmpfiles if "tmpfiles" in path else None
        assert folder, f"where does systemd/{path} belong?"
        wanted.add(f"{folder}/{installed_name(os.path.basename(path))}")
    return {path.lstrip("/") for path in wanted}


def installed_name(name):
    """sysusers.d and tmpfiles.d want *.conf: nbdzero.sysusers becomes nbdzero.conf."""
    return name if name.endswith((*UNIT_FILES, ".conf")) else name.split(".")[0] + ".conf"


def from_pkg_config(variable):
    return run("pkg-config", f"--variable={variable}", "systemd").strip()


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A build folder of this test's own. Programs know nothing of the prefix, so those under test stand in."""
    folder = str(tmp_path_factory.mktemp("install") / "b")
    run("meson", "setup", folder, paths.TREE, "-Dtests=false", "--prefix=/usr", timeout=110)
    targets = [f"docs/man/{name.removesuffix('.pod')}" for name in names("docs/man")]
    run("ninja", "-C", folder, *targets)
    for program in BUILT:
        shutil.copy2(program, os.path.join(folder, os.path.relpath(program, paths.BUILD)))
    return folder


def install(build, destination):
    run("meson", "install", "-C", build, "--no-rebuild", "--destdir", destination)
    return tree_of(destination)


def check_units(root, prefix, folder):
    """They name installed programs, and no others."""
    found = set()
    for path in unit_files():
        if path.endswith(UNIT_FILES):
            with open(f"{root}{folder}/{os.path.basename(path)}", encoding="utf-8") as f:
                found |= set(re.findall(r"(/\S+/bin)/nbdzero-[a-z]+", f.read()))
    assert found == {f"{prefix}/bin"}


def check_programs(root, prefix):
    for name in PROGRAMS:
        done = subprocess.run([f"{root}{prefix}/bin/{name}", "--version"], check=False, text=True,
                              capture_output=True, timeout=20, env=dict(os.environ, **SANITIZER_ENV))
        assert done.returncode == 0 and done.stdout.startswith(name), done
    conf = f"{root}{prefix}/share/doc/nbdzero/examples/nbdzero.conf"
    run(f"{root}{prefix}/bin/nbdzero-proxy", "--check", "-c", conf)


def test_usr(build, folder):
    found = install(build, folder)
    units = from_pkg_config("systemdsystemunitdir")
    assert found == expected("/usr", units, from_pkg_config("sysusersdir"),
                             from_pkg_config("tmpfilesdir"))
    check_units(folder, "/usr", units)
    check_programs(folder, "/usr")


def test_another_prefix(build, folder):
    run("meson", "configure", build, "--prefix=/opt/x")
    # The units are written anew by the configuration that follows.
    run("meson", "setup", "--reconfigure", build, paths.TREE, timeout=110)
    found = install(build, folder)
    lib = "/opt/x/lib"
    assert found == expected("/opt/x", f"{lib}/systemd/system", f"{lib}/sysusers.d",
                             f"{lib}/tmpfiles.d")
    check_units(folder, "/opt/x", f"{lib}/systemd/system")
    check_programs(folder, "/opt/x")
