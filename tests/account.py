#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Adds up what the runners of tests/run have done. Each runner leaves one JSON file in a folder:
{"passed": n, "failed": n, "skipped": n, "not_run": ["NAME: why"]}.

  account.py note FOLDER passed|failed|not-run NAME [WHY]
  account.py meson FOLDER NAME TESTLOG.JSON
  account.py sum FOLDER                    prints, and exits with 1 if anything failed"""
import glob
import json
import os
import re
import sys

CRITERION = re.compile(r"Tested: *(\d+).*?Passing: *(\d+).*?Failing: *(\d+).*?Crashing: *(\d+)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def write(folder, name, **account):
    account = dict({"passed": 0, "failed": 0, "skipped": 0, "not_run": []}, **account)
    with open(os.path.join(folder, f"{name}.json"), "w", encoding="utf-8") as f:
        json.dump(account, f)


def note(folder, kind, name, why=""):
    if kind == "passed":
        write(folder, name, passed=1)
    elif kind == "failed":
        print(f"FAILED: {name} {why}")
        write(folder, name, failed=1)
    else:
        write(folder, name, skipped=1, not_run=[f"{name}: {why}"])


def meson(folder, name, log):
    """Criterion counts its own tests; any other test of meson's counts as one."""
    total = {"passed": 0, "failed": 0, "skipped": 0, "not_run": []}
    if not os.path.exists(log):
        print(f"FAILED: {name}: meson left no log")
        write(folder, name, failed=1)
        return
    with open(log, encoding="utf-8") as f:
        for line in f:
            test = json.loads(line)
            text = COLOUR.sub("", (test.get("stdout") or "") + (test.get("stderr") or ""))
            counts = CRITERION.findall(text)
            passed = sum(int(c[1]) for c in counts)
            failed = sum(int(c[2]) + int(c[3]) for c in counts)
            if test["result"] == "SKIP":
                total["skipped"] += 1
                total["not_run"].append(f"{test['name']}: {text.strip().splitlines()[-1:]}")
            elif test["result"] in ("OK", "EXPECTEDFAIL"):
                total["passed"] += passed or 1
            else:
                total["passed"] += passed
                total["failed"] += failed or 1
                print(f"FAILED: {name}: {test['name']}: {test['result']}")
    write(folder, name, **total)


def show(folder):
    total = {"passed": 0, "failed": 0, "skipped": 0}
    lines, not_run = [], []
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path, encoding="utf-8") as f:
            account = json.load(f)
        for key in total:
            total[key] += account[key]
        not_run += account["not_run"]
        lines.append(f"{os.path.basename(path)[:-5]:14} {account['passed']:5} passed "
                     f"{account['failed']:4} failed {account['skipped']:4} skipped")
    for line in sorted(set(not_run)):
        print(f"not run: {line}")
    print("\n".join(lines))
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**total))
    return 1 if total["failed"] or not total["passed"] else 0


def main(argv):
    verb = argv[1] if len(argv) > 1 else ""
    if verb == "note":
        note(*argv[2:])
    elif verb == "meson":
        meson(*argv[2:])
    elif verb == "sum":
        return show(argv[2])
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
