#!/usr/bin/env python3
"""Instructions that the kernels take, by valgrind, beside the committed ones: shows a regression on a noisy machine.

    make bench-check       fails when a kernel takes over 5 % more than the baseline says
    make bench-baseline    takes what they take now for the baseline, after a change that is wanted

The kernels stand in benches/counts/src/kernels.rs, the baseline in benches/counts/MACHINE.toml. Valgrind knows no
AVX-512, so code that asks the processor what it can do takes its way for AVX2. Built without LTO, each crate in one
piece, so that a change in one crate does not move the counts of another.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BASELINE = Path(__file__).resolve().parent / f"{platform.machine()}.toml"
TARGET = ROOT / "target/counts"
PROGRAM = TARGET / "release/gate-counts"
BUILD = ["cargo", "build", "--release", "-p", "gate-counts", "--target-dir", str(TARGET)]
PROFILE = {"CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "1"}
VALGRIND = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"]
COUNTED = "--toggle-collect=*gate_counts*counted*"
ALLOWED = 0.05


class Trouble(Exception):
    """Something the person at the keyboard must know: what, and what to do."""


def build():
    if shutil.which("valgrind") is None:
        raise Trouble("valgrind is missing: apt install valgrind")
    if subprocess.run(BUILD, cwd=ROOT, env=os.environ | PROFILE).returncode != 0:
        raise Trouble("the kernels cannot be built: see above")


def count(kernel):
    done = subprocess.run([*VALGRIND, COUNTED, PROGRAM, kernel], capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or found is None or found[1] == "0":
        raise Trouble(f"{kernel} was not counted: {done.stderr.strip().splitlines()[-1:]}")
    return int(found[1])


def count_all():
    """Instructions by kernel."""
    kernels = subprocess.run([PROGRAM], capture_output=True, text=True, check=True).stdout.split()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(kernels, pool.map(count, kernels)))


def tools():
    """What the counts depend on beside our code."""
    told = [
        subprocess.run([tool, "--version"], capture_output=True, text=True).stdout for tool in ("rustc", "valgrind")
    ]
    rustc, valgrind = (re.search(r"\d+\.\d+\.\d+", text)[0] for text in told)
    return {"rustc": rustc, "valgrind": valgrind}


def write(counts):
    lines = ["# Instructions of each kernel. Written by `make bench-baseline`, held by `make bench-check`."]
    lines += [f"{name} = {json.dumps(value)}" for name, value in tools().items()]
    lines += ["", "[instructions]", *(f"{kernel} = {number}" for kernel, number in counts.items())]
    part = BASELINE.with_suffix(".part")
    part.write_text("\n".join(lines) + "\n")
    os.replace(part, BASELINE)
    print(f"{BASELINE.relative_to(ROOT)} written: {len(counts)} kernels")


def compare(counts, baseline):
    """Prints the table; returns what is wrong."""
    known, wrong = baseline["instructions"], []
    width = max(map(len, counts | known))
    print(f"{'instructions':<{width}} {'baseline':>12} {'now':>12}  change")
    for kernel in counts | known:
        before, now = known.get(kernel), counts.get(kernel)
        if before is None or now is None:
            word = "not in the baseline" if before is None else "gone"
            wrong.append(f"{kernel} is {word}")
        else:
            change = now / before - 1
            word = f"{change:+7.1%}"
            if change > ALLOWED:
                word += "  over the limit"
                wrong.append(f"{kernel} takes {change:.1%} more instructions than the baseline")
            elif change < -ALLOWED:
                word += "  fewer: make bench-baseline keeps it so"
        print(f"{kernel:<{width}} {before or '-':>12} {now or '-':>12} {word}")
    return wrong


def check(counts):
    if not BASELINE.is_file():
        raise Trouble(
            f"there is no baseline for {platform.machine()}: make bench-baseline writes {BASELINE.relative_to(ROOT)}"
        )
    baseline = tomllib.loads(BASELINE.read_text())
    wrong = compare(counts, baseline)
    if not wrong:
        print(f"no kernel takes over {ALLOWED:.0%} more than the baseline")
        return
    other = [
        f"{tool} {baseline[tool]}, not {version}" for tool, version in tools().items() if baseline[tool] != version
    ]
    hint = f"\n  the baseline is of {' and of '.join(other)}: that may be why" if other else ""
    raise Trouble(
        "\n  ".join(wrong)
        + hint
        + "\n  what to do: find out why; if the change is wanted, make bench-baseline, and commit it"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--write", action="store_true", help="write the baseline instead of comparing with it")
    options = parser.parse_args()
    build()
    counts = count_all()
    write(counts) if options.write else check(counts)


if __name__ == "__main__":
    try:
        main()
    except Trouble as trouble:
        sys.exit(f"bench-check: {trouble}")
    except KeyboardInterrupt:
        sys.exit("\nbench-check: interrupted")
