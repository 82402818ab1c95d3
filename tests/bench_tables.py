"""Writes what a benchmark measured: tests/bench/NAME.md for readers, NAME.json for notebook 08, with the device named.

A benchmark that `make bench` runs is a file tests/benchmark_NAME.py that imports this one and, run as a script, ends with

    write_bench("many", {"Four targets": [{"way": "one pass", "seconds": 1.2}, ...]}, about="Measured in turns, ...",
                goals=[Goal("one pass over four passes", found=0.31, most=0.35)])

`pick(quick, full)` is the size to measure at: `make bench` is the full one and writes to tests/bench; with SIZE=quick, and by
default where a benchmark is run by hand, it is the quick one, and tables go to build/bench.
"""

import json
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import torch

ROOT = Path(__file__).parents[1]
SIZE = "MDISSECT_BENCH"  # the environment variable: "quick" or "full"
FOLDERS = {"full": ROOT / "tests" / "bench", "quick": ROOT / "build" / "bench"}
T = TypeVar("T")


@dataclass(frozen=True)
class Goal:
    """A number that was found, and the least or the most that it should be.

    >>> Goal("one pass over four passes", found=0.31, most=0.35).met
    True
    """

    what: str
    found: float
    least: float | None = None
    most: float | None = None

    def __post_init__(self):
        if (self.least is None) == (self.most is None):
            raise ValueError(f"{self.what}: a goal has a least or a most, not both and not none")

    @property
    def met(self) -> bool:
        """False for NaN too."""
        return self.found >= self.least if self.most is None else self.found <= self.most


def size() -> str:
    """The size to measure at: "quick" or "full"."""
    chosen = os.environ.get(SIZE, "").strip() or "quick"
    if chosen not in FOLDERS:
        raise SystemExit(f"{SIZE}={chosen} must be quick or full")
    return chosen


def pick(quick: T, full: T) -> T:
    """What belongs to the size."""
    return full if size() == "full" else quick


@cache
def device() -> dict[str, str | int | float | None]:
    """The machine, as plain values: processor, cores, threads, memory, GPU (None where there is none), versions, load."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return {
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability() + (" and AMX" if "amx_bf16" in _flags() else ""),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpu": f"{len(gpus)} x {gpus[0]}" if gpus else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load": round(float(os.environ.get("MDISSECT_BENCH_LOAD") or os.getloadavg()[0]), 2),
    }


def write_bench(name: str, tables: Mapping[str, Sequence[Mapping]], about: str, goals: Sequence[Goal] = ()) -> Path:
    """Write tables (title -> rows, each a mapping of column to plain value) of one benchmark; returns the page.

    Rows of one table have the same columns; numbers are kept in four digits. `about` says in a sentence or two what was
    measured and how. An earlier page of the same name is replaced.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"the name {name!r} of a benchmark must be lower-case letters, digits and _")
    for title, rows in tables.items():
        if not rows or any(list(row) != list(rows[0]) for row in rows):
            raise ValueError(f"{name}, {title}: rows are missing, or differ in their columns")
    found = {
        "name": name,
        "size": size(),
        "about": " ".join(about.split()),
        "device": device(),
        "tables": {title: [{str(k): _plain(v) for k, v in row.items()} for row in rows] for title, rows in tables.items()},
        "goals": [{k: _plain(v) for k, v in asdict(goal).items()} | {"met": bool(goal.met)} for goal in goals],
    }
    folder = FOLDERS[size()]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    (folder / f"{name}.md").write_text(page(found))
    return folder / f"{name}.md"


def page(found: Mapping) -> str:
    """What `write_bench` keeps, as markdown."""
    lines = [f"# {found['name'].replace('_', ' ').capitalize()}", "", found["about"], "", device_words(found["device"]), ""]
    if found["size"] != "full":
        lines += ["Quick sizes: for trying the benchmark, not for results.", ""]
    for title, rows in found["tables"].items():
        heads = list(rows[0])
        lines += [f"## {title}", "", _line(heads), _line(["---"] * len(heads))]
        lines += [_line([_cell(row[head]) for head in heads]) for row in rows] + [""]
    if found["goals"]:
        lines += ["## Goals", "", _line(["what", "goal", "found", ""]), _line(["---"] * 4)]
        for goal in found["goals"]:
            wanted = f"at most {_cell(goal['most'])}" if goal["least"] is None else f"at least {_cell(goal['least'])}"
            lines.append(_line([goal["what"], wanted, _cell(goal["found"]), "met" if goal["met"] else "missed"]))
        lines.append("")
    return "\n".join(lines)


def device_words(machine: Mapping) -> str:
    """One sentence that names the machine."""
    gpu = machine["gpu"] or "no GPU"
    return (
        f"Measured on {machine['processor']} ({machine['instructions']}), {machine['cores']} cores, {machine['threads']} "
        f"threads, {machine['memory_gb']:g} GB of memory, {gpu}; {machine['system']}, Python {machine['python']}, "
        f"torch {machine['torch']}; load average before: {machine['load']:g}."
    )


def _plain(value):
    """As JSON has it: numbers in four digits, None for what is not finite."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    number = float(value)
    return None if not math.isfinite(number) else float(f"{number:.4g}")


def _cell(value) -> str:
    """As a reader takes it in: three digits, thousands apart."""
    if value is None:
        return "not measured"
    if isinstance(value, (str, bool)):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 100:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.0e}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _processor() -> str:
    return _cpu_info("model name") or platform.processor() or platform.machine()


def _flags() -> list[str]:
    return _cpu_info("flags").split()


def _cpu_info(field: str) -> str:
    """A line of /proc/cpuinfo; "" where there is none."""
    try:
        found = re.search(rf"^{field}\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return ""
    return " ".join(found[1].split()) if found else ""


def fresh(arguments: Sequence[str]) -> dict:
    """The JSON of the last line that this benchmark's file prints when it is run with arguments in a fresh process."""
    done = subprocess.run([sys.executable, sys.argv[0], *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{Path(sys.argv[0]).name} {' '.join(map(str, arguments))} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
