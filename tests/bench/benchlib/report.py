# SPDX-License-Identifier: BSD-3-Clause
"""Samples in, medians, ratios and tables out."""
import os
import platform
import statistics
import time

from .goals import GOALS
from .load import CIPHER, WORKLOADS
from .relays import counterpart

WHAT = {"cpu": "CPU", "rate": "throughput", "p50": "p50"}


def medians(samples):
    """{(workload, relay): [Sample]} to one row for each."""
    rows = []
    for (workload, relay), some in samples.items():
        row = {"workload": workload, "relay": relay, "runs": len(some),
               "unit": WORKLOADS[workload].unit}
        for what in ("cpu", "rate", "p50", "p99", "foreign"):
            row[what] = statistics.median(getattr(s, what) for s in some)
        row["cpu_min"] = min(s.cpu for s in some)
        row["cpu_max"] = max(s.cpu for s in some)
        rows.append(row)
    return rows


def find(rows, workload, relay):
    return next((r for r in rows if (r["workload"], r["relay"]) == (workload, relay)), None)


def ratio_of(ours, what, other, value):
    """Ours by another relay's, with the goal where there is one."""
    ratio = ours[what] / value
    entry = {"workload": ours["workload"], "what": what, "ours": ours["relay"], "other": other,
             "ratio": ratio}
    goal = next((g for g in GOALS if (g.workload, g.what, g.other) ==
                 (ours["workload"], what, other)), None)
    if goal:
        entry["goal"] = goal.limit
        entry["met"] = goal.met(ratio) if goal.judged() else None
    return entry


def ratios(rows):
    out = []
    for row in rows:
        ours = find(rows, row["workload"], counterpart(row["relay"]))
        # What costs nothing, direct, can't be compared.
        out += [ratio_of(ours, what, row["relay"], row[what]) for what in WHAT if ours and row[what]]
    return out


def cipher_ratios(rows, cipher):
    """Ours by what the cipher alone would take, once for each side that has TLS."""
    out = []
    for row in rows:
        base, _, side = row["relay"].partition("-tls-")
        if base == "nbdzero" and side and WORKLOADS[row["workload"]].bulk:
            passes = 2 if side == "both" else 1
            out.append(ratio_of(row, "cpu", f"cipher-tls-{side}", passes * cipher))
    return out


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cpus": os.cpu_count(), "cpu": model, "kernel": platform.release()}


def summary(samples, ciphers, runs, seconds, not_run):
    rows = medians(samples)
    result = {"date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "machine": machine(),
              "runs": runs, "seconds": seconds, "rows": rows, "ratios": ratios(rows),
              "not_run": not_run}
    if ciphers:
        result["cipher"] = {"name": CIPHER, "cpu": statistics.median(ciphers)}
        result["ratios"] += cipher_ratios(rows, result["cipher"]["cpu"])
    return result


def verdict(entry):
    if "goal" not in entry:
        return ""
    sign = "≥" if entry["what"] == "rate" else "≤"
    said = {True: "met", False: "MISSED", None: "not judged: too few cores"}[entry["met"]]
    return f" (goal {sign} {entry['goal']:.2f}: {said})"


def show(result):
    m = result["machine"]
    print(f"{result['date']}, {m['cpus']} × {m['cpu']}, Linux {m['kernel']}")
    print(f"medians of {result['runs']} interleaved rounds of {result['seconds']} s each; CPU is the "
          "relay's own, user and system")
    if "cipher" in result:
        print(f"{result['cipher']['name']} alone: {result['cipher']['cpu']:.3f} s/GiB")
    for name, workload in WORKLOADS.items():
        rows = [r for r in result["rows"] if r["workload"] == name]
        if rows:
            show_workload(name, workload, rows, result["ratios"])
    for line in result["not_run"]:
        print(f"not run: {line}")


def show_workload(name, workload, rows, all_ratios):
    rate = "MiB/s" if workload.bulk else "op/s"
    width = max(10, *(len(r["relay"]) + 1 for r in rows))
    print(f"\n{name}: {workload.title}")
    print(f"  {'':{width}}{'CPU ' + workload.unit:>12}{'min..max':>16}{rate:>10}{'p50 us':>9}{'p99 us':>9}"
          f"{'foreign':>9}")
    for r in rows:
        digits = 3 if workload.bulk else 2
        cpu, spread = "-", ""
        if r["cpu"]:
            cpu = f"{r['cpu']:.{digits}f}"
            spread = f"{r['cpu_min']:.{digits}f}..{r['cpu_max']:.{digits}f}"
        print(f"  {r['relay']:{width}}{cpu:>12}{spread:>16}{r['rate']:>10.0f}{r['p50']:>9.0f}"
              f"{r['p99']:>9.0f}{r['foreign']:>9.0%}")
    pairs = {(e["ours"], e["other"]): [] for e in all_ratios if e["workload"] == name}
    for e in all_ratios:
        if e["workload"] == name:
            pairs[e["ours"], e["other"]].append(f"{WHAT[e['what']]} {e['ratio']:.2f}{verdict(e)}")
    for (ours, other), said in pairs.items():
        print(f"  {ours}/{other}: {', '.join(said)}")
