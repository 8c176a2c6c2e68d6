# SPDX-License-Identifier: BSD-3-Clause
"""Where things are. $BUILD names the build folder whose programs are tested."""
import os
import shutil

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(TREE, "build")))
PROXY = os.path.join(BUILD, "proxy", "nbdzero-proxy")
STAT = os.path.join(BUILD, "tools", "nbdzero-stat")
PROBE = os.path.join(BUILD, "tools", "nbdzero-probe")


def find(program):
    """The path of an installed program, sbin folders included, or None."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    return shutil.which(program, path=path)
