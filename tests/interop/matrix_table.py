#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""matrix_table.py FILE: the pairs that the matrix has run, as a table in Markdown."""
import json
import os
import sys


def rows(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def table(found):
    """One line an upstream, one column a client, each with its Debian; in them the transports."""
    columns = {tuple(r["column"]): f"{r['client']} ({r['down']})" for r in found}
    names = {tuple(r["line"]): f"| {r['up']} | {r['server']} | {r['kind']} |" for r in found}
    cells = {}
    for r in found:
        cells.setdefault((*r["line"], *r["column"]), set()).add(r["transport"])
    order = sorted(columns)
    lines = ["| Debian | upstream | as | " + " | ".join(columns[c] for c in order) + " |",
             "| --- | --- | --- |" + " --- |" * len(order)]
    for line in sorted(names):
        shown = [", ".join(sorted(cells.get((*line, *c), ["-"]))) for c in order]
        lines.append(f"{names[line]} {' | '.join(shown)} |")
    return lines


if __name__ == "__main__":
    print("\n".join(table(rows(sys.argv[1]))))
