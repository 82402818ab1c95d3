"""Run every benchmark that writes a table, each in a fresh process: ``python tests/bench.py [--size quick|full] [NAME ...]``.

These are the files tests/benchmark_*.py that use `bench_tables.write_bench`. Tables of the full size go to tests/bench (commit
them: notebook 08 draws them), those of the quick one to build/bench. Exits with 1 where a benchmark failed or a goal is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from bench_tables import FOLDERS, SIZE, device, device_words

TESTS = Path(__file__).parent


def benchmarks(folder: Path = TESTS) -> dict[str, Path]:
    """The files by their names, which are those of the tables that they write."""
    files = {path.stem.removeprefix("benchmark_"): path for path in sorted(folder.glob("benchmark_*.py"))}
    return {name: path for name, path in files.items() if "write_bench(" in path.read_text()}


def run(name: str, file: Path, size: str) -> list[str]:
    """Run one and print its page; returns what went wrong."""
    started = time.monotonic()
    environment = os.environ | {SIZE: size, "MDISSECT_BENCH_LOAD": str(device()["load"])}
    done = subprocess.run([sys.executable, str(file)], env=environment, capture_output=True, text=True)
    print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        return [f"{name} failed"]
    found = json.loads((FOLDERS[size] / f"{name}.json").read_text())
    print((FOLDERS[size] / f"{name}.md").read_text(), flush=True)
    return [f"{name}: {goal['what']} is {goal['found']}" for goal in found["goals"] if not goal["met"]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as stages; default: all")
    parser.add_argument("--size", choices=list(FOLDERS), default="full")
    options, known = parser.parse_args(), benchmarks()
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
    print(device_words(device()), flush=True)
    missed = [line for name in options.names or known for line in run(name, known[name], options.size)]
    print("\n".join(["missed or failed:", *missed]) if missed else "every goal is met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
