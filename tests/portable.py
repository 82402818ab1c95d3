"""The numeric tests and notebook 06 as other processors would run them: `python tests/portable.py [--short]`.

torch, oneDNN, MKL and numpy are told to use no more than the instructions of an older processor; each run starts with an empty
store, whose key knows no instruction set. All instruction sets that this machine has, on one and on two threads; with `--short`
the one below this machine's best, on one thread.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
NUMERIC_TESTS = [
    *(
        f"tests/test_{name}.py"
        for name in (
            "calibrate",
            "choice",
            "clustering",
            "dissection",
            "embed",
            "following",
            "fusing",
            "labels",
            "many",
            "method",
            "portability",
            "pvalues",
            "similarity",
        )
    ),
    *("tests/streaming", "tests/trust", "tests/localize", "tests/models/test_efficientnet.py", "tests/models/test_towers.py"),
    "tests/study/test_coverage.py",
]
NOTEBOOKS = ["notebooks/06_trust.ipynb"]

# As torch names them, oldest first: what oneDNN and MKL may use, and which groups of numpy's are above it.
INSTRUCTION_SETS = {
    "default": ("SSE41", "SSE4_2", ("X86_V3", "AVX2", "FMA3", "X86_V4", "AVX512")),
    "avx2": ("AVX2", "AVX2", ("X86_V4", "AVX512")),
    "avx512": ("ALL", "AVX512", ()),
}


def available() -> list[str]:
    """The instruction sets that this machine has, oldest first."""
    names = list(INSTRUCTION_SETS)
    best = torch.backends.cpu.get_cpu_capability().lower()
    return names[: names.index(best) + 1] if best in names else ["default"]


def limited_to(name: str, threads: int, scratch: str) -> dict[str, str]:
    """The environment of a run."""
    onednn, mkl, above = INSTRUCTION_SETS[name]
    switchable = np._core._multiarray_umath.__cpu_dispatch__
    return {
        **os.environ,
        "ATEN_CPU_CAPABILITY": name,
        "ONEDNN_MAX_CPU_ISA": onednn,
        "MKL_ENABLE_INSTRUCTIONS": mkl,
        "NPY_DISABLE_CPU_FEATURES": " ".join(feature for feature in switchable if feature.startswith(above)) if above else "",
        "OMP_NUM_THREADS": str(threads),
        "MDISSECT_STORE": f"{scratch}/store",
        "MDISSECT_FIGURES": f"{scratch}/figures",
    }


def run(name: str, threads: int) -> bool:
    """Whether tests and notebooks pass under an instruction set."""
    started = time.monotonic()
    print(f"{name}, {threads} thread{'s' * (threads > 1)}", flush=True)
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    with tempfile.TemporaryDirectory(prefix="mdissect-portable-") as scratch:
        environment = limited_to(name, threads, scratch)
        torch_says = "import torch; print(torch.backends.cpu.get_cpu_capability().lower())"
        found = subprocess.run([sys.executable, "-c", torch_says], env=environment, capture_output=True, text=True, check=True)
        if found.stdout.strip() != name:
            raise SystemExit(f"torch computes as {found.stdout.strip()!r}, not as {name!r}")
        commands = ([*pytest, "-n", "2", *NUMERIC_TESTS], [*pytest, "--nbval", "--nbval-cell-timeout=600", *NOTEBOOKS])
        failed = [command for command in commands if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode]
    print(f"{name}, {threads} thread{'s' * (threads > 1)}: {'failed' if failed else 'passed'}", end=" ")
    print(f"in {time.monotonic() - started:.0f} s", flush=True)
    return not failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="one older instruction set, one thread")
    names = available()
    runs = [(name, threads) for name in names for threads in (1, 2)]
    if parser.parse_args().short:
        runs = [(names[-2] if len(names) > 1 else names[0], 1)]
    passed = [run(*each) for each in runs]
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed")
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
