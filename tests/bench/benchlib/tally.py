# SPDX-License-Identifier: BSD-3-Clause
"""Verdicts in, false ones counted, tables out."""
import time
from dataclasses import asdict, dataclass, field

from . import combinations
from .report import machine

QUIET, LOAD = "quiet", "load"
SLOW_LIMIT = 0.03      # false slow, of those that are fast, when quiet
PROBE_TIME_MS = 1000   # the daemon's default probe-time


@dataclass
class Row:
    """One class of one combination in one condition."""
    combination: str
    no_hole: bool
    condition: str
    truth: str
    known: bool               # truth by construction, not by the reference
    apart: bool
    reference: float = None   # the slope of the reference
    reference_truth: str = None
    verdicts: list = field(default_factory=list)  # at 16 MiB
    slopes: list = field(default_factory=list)
    decided_ms: list = field(default_factory=list)
    whys: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    seconds: float = 0        # for all rounds of both classes

    @property
    def false_fast(self):
        return self.verdicts.count("fast") if self.truth == "slow" else 0

    @property
    def false_slow(self):
        """Undecided counts: the client is told ENOTSUP then, too."""
        return len(self.verdicts) - self.verdicts.count("fast") if self.truth == "fast" else 0

    @property
    def late(self):
        return sum(ms is None or ms > PROBE_TIME_MS for ms in self.decided_ms)

    def add(self, verdict, said):
        self.verdicts.append(verdict)
        slopes = [level["slope"] for level in said["levels"] if level["slope"] is not None]
        self.slopes.append(slopes[-1] if slopes else None)
        self.decided_ms.append(said["decided_ms"])
        self.whys.append(said["why"])


def sums(rows, condition, apart=False):
    of = [r for r in rows if r.condition == condition and r.apart == apart]
    return {"condition": condition, "apart": apart, "classes": len(of),
            "slow": sum(len(r.verdicts) for r in of if r.truth == "slow"),
            "false_fast": sum(r.false_fast for r in of),
            "fast": sum(len(r.verdicts) for r in of if r.truth == "fast"),
            "false_slow": sum(r.false_slow for r in of),
            "late": sum(r.late for r in of), "failed": sum(len(r.failures) for r in of)}


def goals(all_sums):
    """(what, met): only of what was run."""
    for s in all_sums:
        if s["apart"] or not s["classes"]:
            continue
        yield f"{s['condition']}: no false fast", s["false_fast"] == 0
        yield f"{s['condition']}: every probe ends well", s["failed"] == 0
        if s["condition"] == QUIET and s["fast"]:
            share = s["false_slow"] / s["fast"]
            yield f"quiet: {share:.1%} false slow, below {SLOW_LIMIT:.0%}", share < SLOW_LIMIT


def summary(rows, rounds, seconds, not_run):
    all_sums = [sums(rows, c, apart) for c in (QUIET, LOAD) for apart in (False, True)]
    all_sums = [s for s in all_sums if s["classes"]]
    return {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "machine": machine(),
            "versions": combinations.versions(), "rounds": rounds, "seconds": round(seconds),
            "rows": [{**asdict(r), "false_fast": r.false_fast, "false_slow": r.false_slow,
                      "late": r.late} for r in rows],
            "sums": all_sums, "goals": [{"goal": g, "met": met} for g, met in goals(all_sums)],
            "not_run": not_run}


HEAD = ("combination", "class", "truth", "reference", "quiet", "load", "late")


def cells(pair):
    """One line of the table: a class of a combination, both conditions."""
    first = next(iter(pair.values()))
    reference = "-" if first["reference"] is None else f"{first['reference']:.2f}"
    if first["known"] and first["reference_truth"] not in (None, first["truth"]):
        reference += " !"

    def told(condition):
        row = pair.get(condition)
        if not row:
            return ""
        n = len(row["verdicts"])
        wrong = row["false_fast"] + row["false_slow"]
        word = f" false {'fast' if row['false_fast'] else 'slow'}" if wrong else ""
        broken = f", {len(row['failures'])} failed" if row["failures"] else ""
        return (f"{wrong} of {n}{word}" if wrong else f"{n} right") + broken
    return (first["combination"], ("NO_HOLE" if first["no_hole"] else "holes") +
            (" (apart)" if first["apart"] else ""),
            first["truth"] + ("" if first["known"] else " (measured)"), reference, told(QUIET), told(LOAD),
            str(sum(r["late"] for r in pair.values())))


def lines(result):
    pairs = {}
    for r in result["rows"]:
        pairs.setdefault((r["combination"], r["no_hole"]), {})[r["condition"]] = r
    return [cells(pair) for pair in pairs.values()]


def head_line(result):
    m = result["machine"]
    return (f"{result['date']}, {m['cpus']} × {m['cpu']}, Linux {m['kernel']}; {result['rounds']} rounds, "
            f"{result['seconds'] // 60} min {result['seconds'] % 60} s")


def show(result):
    table = [HEAD, *lines(result)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEAD))]
    print(head_line(result))
    for line in table:
        print("  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip())
    show_end(result, "")


def show_markdown(result):
    print(head_line(result) + ".\n")
    for name, said in result["versions"].items():
        print(f"- {name}: " + (said if isinstance(said, str) else
                               ", ".join(f"{p} {v}" for p, v in said.items())))
    print("\n| " + " | ".join(HEAD) + " |\n" + "| --- " * len(HEAD) + "|")
    for line in lines(result):
        print("| " + " | ".join(line) + " |")
    show_end(result, "- ")


def show_end(result, bullet):
    print()
    for s in result["sums"]:
        apart = " (NO_HOLE on tmpfs, apart)" if s["apart"] else ""
        print(f"{bullet}{s['condition']}{apart}: {s['false_fast']} of {s['slow']} false fast, {s['false_slow']} of "
              f"{s['fast']} false slow, {s['late']} later than the daemon's probe-time, {s['failed']} failed")
    for g in result["goals"]:
        print(f"{bullet}goal, {g['goal']}: {'met' if g['met'] else 'MISSED'}")
    for line in result["not_run"]:
        print(f"{bullet}not run: {line}")
