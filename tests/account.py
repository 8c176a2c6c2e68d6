#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Adds up what the runners of tests/run have done. Each runner leaves one JSON file in a folder:
{"passed": n, "failed": n, "skipped": n, "not_run": ["NAME: why"]}; pytest's says which have failed, too.

A few tests that failed among many others, with no word of a sanitizer, are run once more, alone. Those that pass then are
counted as passed and named as unsteady, so that somebody looks at them.

  account.py note FOLDER passed|failed|not-run NAME [WHY]
  account.py meson FOLDER NAME TESTLOG.JSON STATUS
  account.py blame FOLDER NAME             pytest has ended with 1: that must be in the account
  account.py again FOLDER NAME             prints the tests that may be run once more
  account.py settle FOLDER NAME            ... which have been, into the account NAME-again
  account.py sum FOLDER                    prints, and exits with 1 if anything failed"""
import glob
import json
import os
import re
import sys

CRITERION_SKIP = re.compile(r"^\[SKIP\] (.*)$", re.M)
CRITERION = re.compile(r"Tested: *(\d+).*?Passing: *(\d+).*?Failing: *(\d+).*?Crashing: *(\d+)")
AGAIN_MOST = 3
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


def meson(folder, name, log, status):
    """Criterion counts its own tests; any other test of meson's counts as one. status: meson's."""
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
            total["not_run"] += [f"{test['name']}: {s}" for s in CRITERION_SKIP.findall(text)]
            total["skipped"] += len(CRITERION_SKIP.findall(text))
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
    if status != "0" and not total["failed"]:
        print(f"FAILED: {name}: meson ended with status {status}")
        total["failed"] = 1
    write(folder, name, **total)


def blame(folder, name):
    """pytest says that something failed: is it in the account?"""
    account = read(folder, name)
    if not account.get("failed") and not account.get("unsteady"):
        note(folder, "failed", f"{name}-whole", "pytest says so, and no test does")


def read(folder, name):
    path = os.path.join(folder, f"{name}.json")
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def again(folder, name):
    account = read(folder, name)
    failures = account.get("failures", {})
    if len(failures) <= AGAIN_MOST and not account.get("damning"):
        print("\n".join(failures))


def settle(folder, name):
    account, second = read(folder, name), read(folder, f"{name}-again")
    if not second:  # it did not come to its end
        return
    os.unlink(os.path.join(folder, f"{name}-again.json"))
    passed = [n for n in account["failures"] if n not in second["failures"]]
    if second["passed"] != len(passed):
        return
    account["failed"] -= sum(account["failures"][n] for n in passed)
    account["passed"] += len(passed)
    write(folder, name, **dict(account, unsteady=passed))


def show(folder):
    total = {"passed": 0, "failed": 0, "skipped": 0}
    lines, not_run, unsteady = [], [], []
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path, encoding="utf-8") as f:
            account = json.load(f)
        for key in total:
            total[key] += account[key]
        not_run += account["not_run"]
        unsteady += account.get("unsteady", [])
        lines.append(f"{os.path.basename(path)[:-5]:14} {account['passed']:5} passed "
                     f"{account['failed']:4} failed {account['skipped']:4} skipped")
    for line in sorted(set(not_run)):
        print(f"not run: {line}")
    for node in unsteady:
        print(f"unsteady: {node}: failed among others, passed alone")
    print("\n".join(lines))
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**total) +
          (f", {len(unsteady)} of the passed unsteady" if unsteady else ""))
    return 1 if total["failed"] or not total["passed"] else 0


def main(argv):
    verb = argv[1] if len(argv) > 1 else ""
    if verb == "note":
        note(*argv[2:])
    elif verb == "meson":
        meson(*argv[2:])
    elif verb == "again":
        again(*argv[2:])
    elif verb == "blame":
        blame(*argv[2:])
    elif verb == "settle":
        settle(*argv[2:])
    elif verb == "sum":
        return show(argv[2])
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
