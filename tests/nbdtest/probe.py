# SPDX-License-Identifier: BSD-3-Clause
"""Runs nbdzero-probe."""
import json
import subprocess

from . import paths


class Probed:
    """What came of one run."""

    def __init__(self, done):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
        try:
            self.json = json.loads(self.out)
        except ValueError:
            self.json = None

    def one(self, no_hole=False):
        """What is said of one class."""
        found = [c for c in self.json["classes"] if c["no_hole"] == no_hole]
        assert len(found) == 1, self.json
        return found[0]

    def verdict(self, size, no_hole=False):
        """Of a size, from verdicts[]."""
        rows = [v for v in self.json["verdicts"] if v["no_hole"] == no_hole and
                v["bytes_from"] <= size <= v["bytes_to"]]
        assert len(rows) <= 1, rows
        return rows[0]["verdict"] if rows else "unknown"


def probe(uri, *options, code=0, cwd=None):
    """Runs it to its end; --json unless the options say otherwise."""
    options = [str(o) for o in options]
    if "--text" in options:
        options.remove("--text")
    else:
        options.append("--json")
    done = Probed(subprocess.run([paths.PROBE, *options, uri], capture_output=True, text=True,
                                 timeout=100, check=False, cwd=cwd))
    assert code is None or done.code == code, f"exit {done.code}:\n{done.err}\n{done.out}"
    return done
