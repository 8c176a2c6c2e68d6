# SPDX-License-Identifier: BSD-3-Clause
"""tests/checklist.txt against the tests: no number without a test or a reason, and none that is wrong."""
import glob
import os
import re

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GROUPS = {"a": range(1, 20), "b": range(20, 51), "c": range(51, 74), "d": range(74, 95), "e": range(95, 122),
          "f": range(122, 130), "g": range(130, 147), "h": range(147, 155), "i": range(155, 162)}
# b35 in test_b35_..., or in an id like "b25_..." of a table; several may follow each other.
NUMBERED = re.compile(r'(?:\bdef test_|")((?:[a-l]\d{2,3}_)+)')
GROUP_OF = {n: letter for letter, numbers in GROUPS.items() for n in numbers}


def text(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def python_files():
    return [path for folder in ("peers", "interop")
            for path in glob.glob(os.path.join(TESTS, folder, "test_*.py"))]


def numbers_in_names():
    """{number: {"b35", ...}}"""
    found = {}
    for path in python_files():
        for together in NUMBERED.findall(text(path)):
            for name in together.strip("_").split("_"):
                found.setdefault(int(name[1:]), set()).add(name)
    return found


class Item:
    def __init__(self, title):
        self.title = title
        self.reasons = []
        self.tests = []


def checklist():
    """{number: Item}"""
    items, item = {}, None
    for n, line in enumerate(text(os.path.join(TESTS, "checklist.txt")).splitlines(), 1):
        if not line.strip() or line.startswith("#") or re.fullmatch(r"[A-I]\. .+", line):
            continue
        where = f"checklist.txt:{n}: {line}"
        numbered = re.fullmatch(r"(\d+) +(\S.*)", line)
        below = re.fullmatch(r" +(by|not): (\S.*)", line)
        assert numbered or (below and item), where
        if numbered:
            assert int(numbered[1]) not in items, where
            item = items[int(numbered[1])] = Item(numbered[2])
        else:
            (item.tests if below[1] == "by" else item.reasons).append(below[2])
    return items


def exists(test):
    """FILE::TEST of pytest, or FILE::SUITE,NAME of Criterion."""
    path, _, name = test.partition("::")
    path = os.path.join(TESTS, path)
    if not os.path.exists(path):
        return False
    if "," in name:
        return re.search(r"\bTest\(" + name.replace(",", r",\s*") + r"[,)]", text(path)) is not None
    return re.search(rf"^def {re.escape(name)}\(", text(path), re.M) is not None


def test_each_number_is_listed():
    assert sorted(checklist()) == sorted(GROUP_OF)


def test_each_number_has_a_test_or_a_reason():
    named = numbers_in_names()
    missing = [f"{n} {item.title}" for n, item in sorted(checklist().items())
               if n not in named and not item.tests and not item.reasons]
    assert not missing, missing


def test_no_reason_for_what_has_a_test():
    named = numbers_in_names()
    stale = [f"{n} {item.title}" for n, item in checklist().items()
             if n in named and (item.tests or item.reasons)]
    assert not stale, stale


def test_tests_that_are_named_exist():
    gone = [test for item in checklist().values() for test in item.tests if not exists(test)]
    assert not gone, gone


def test_letters_and_numbers_agree():
    """b35 and not a35."""
    wrong = [name for n, names in numbers_in_names().items() for name in names
             if n in GROUP_OF and name[0] != GROUP_OF[n]]
    assert not wrong, wrong
