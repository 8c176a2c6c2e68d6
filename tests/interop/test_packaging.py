# SPDX-License-Identifier: BSD-3-Clause
"""The Debian source package: it can be made, and lintian finds no error in it. Building takes minutes, so that is
for packaging/build and packaging/try, which the suite names as not run."""
import os
import re

import pytest

from nbdtest import paths
from nbdtest.disks import run

BUILD = os.path.join(paths.TREE, "packaging", "build")


def read(*path):
    with open(os.path.join(paths.TREE, *path), encoding="utf-8") as f:
        return f.read()


def test_source_package(folder):
    """packaging/build fails where lintian finds an error."""
    text = run(BUILD, "--source", "--out", folder, timeout=110)
    made = os.listdir(folder)
    version = re.search(r"^nbdzero \((.+)\) ", read("packaging", "debian", "changelog"))[1]
    assert f"nbdzero_{version}.dsc" in made and f"nbdzero_{version}.debian.tar.xz" in made
    assert not re.search(r"^[EW]: ", text, re.M), text
    (original,) = [name for name in made if ".orig." in name]
    names = run("tar", "-tf", os.path.join(folder, original)).split()
    upstream = version.rpartition("-")[0]
    assert f"nbdzero-{upstream}/meson.build" in names
    assert all(name.startswith(f"nbdzero-{upstream}/") for name in names)
    assert not [name for name in names if "/.cache/" in name or "/build/" in name]


def test_versions_agree():
    project = re.search(r"^ *version: '([^']+)'", read("meson.build"), re.M)[1]
    assert read("packaging", "debian", "changelog").startswith(f"nbdzero ({project}-")


def test_what_it_needs_is_what_is_built_with():
    """Every dependency of the build rules is one of the package's, but those of tests only."""
    needs = run(BUILD, "--needs").split()
    for package in ("liburing-dev", "libssl-dev", "libinih-dev", "libjansson-dev", "liburiparser-dev",
                    "libsystemd-dev", "libmicrohttpd-dev", "libncurses-dev", "libcriterion-dev", "meson"):
        assert package in needs
        assert package in run(os.path.join(paths.TREE, "tools", "deps"), "--list").split()
    # Each dependency() has been thought of.
    known = {"threads", "liburing", "openssl", "inih", "jansson", "liburiparser", "libsystemd",
             "libmicrohttpd", "ncursesw", "criterion", "libseccomp", "systemd"}
    for at, _, files in os.walk(paths.TREE):
        if "meson.build" in files and "/build" not in at and "/.cache" not in at:
            with open(os.path.join(at, "meson.build"), encoding="utf-8") as f:
                found = set(re.findall(r"dependency\('([^']+)'", f.read()))
            assert found <= known, f"{at}: add {found - known} to packaging/debian/control, and here"


@pytest.mark.parametrize("debian", [12, 13])
def test_package(debian, record_property):
    record_property("not_run", f"package-debian-{debian}")
    pytest.skip(f"takes minutes: packaging/build --debian {debian} && packaging/try {debian}")
