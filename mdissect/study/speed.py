"""Speed and memory as `make bench` measured them: the committed tables, and what the large data sets would cost by them.

Nothing is measured here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mdissect.arguments import POSITIVE, texts
from mdissect.paths import bench_dir
from mdissect.signatures import validated

STAGES = "stages"  # the benchmark that the costs are worked out from
ON_PROCESSOR = ("decode", "prepare")  # the stages that processor cores do while a GPU runs the network
FLOAT = 4  # bytes


@dataclass(frozen=True)
class Bench:
    """A benchmark's tables by title, its goals (what, found, least, most, met), the device, and how it was measured.

    `size` is "full", or "quick" for tables that only try the benchmark.
    """

    name: str
    about: str
    size: str
    device: Mapping
    tables: Mapping[str, pd.DataFrame]
    goals: pd.DataFrame


@validated()
def benches(folder: str | Path | None = None, needed: Sequence[str] = (STAGES,)) -> dict[str, Bench]:
    """The benchmarks whose tables lie in a folder (None: the committed ones), by name.

    >>> benches()["stages"].tables["By stage"].columns.tolist()        # doctest: +SKIP
    ['stage', 'ms an image', 'images a second', 'share', 'times its floor']

    Raises
    ------
    FileNotFoundError
        One that is `needed` is not there.
    ValueError
        A file that is not a benchmark's.
    """
    folder = bench_dir() if folder is None else Path(folder)
    found = {path.stem: _read(path) for path in sorted(folder.glob("*.json"))}
    if missing := [name for name in texts("needed", needed) if name not in found] if needed else []:
        raise FileNotFoundError(f"no table of the benchmark {', '.join(missing)} in {folder}: `make bench` measures it")
    return found


def _read(path: Path) -> Bench:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        tables = {title: pd.DataFrame(rows) for title, rows in found["tables"].items()}
        goals = pd.DataFrame(found["goals"], columns=["what", "found", "least", "most", "met"])
        return Bench(found["name"], found["about"], found["size"], found["device"], tables, goals)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a table of `make bench` ({error}); git can restore it") from error


@validated()
def goals(found: Mapping[str, Bench]) -> pd.DataFrame:
    """All goals: benchmark, what, goal, found, met; a row each, in the order of the benchmarks."""
    rows = []
    for name, bench in found.items():
        for goal in bench.goals.itertuples():
            wanted = f"at most {goal.most:,g}" if pd.isna(goal.least) else f"at least {goal.least:,g}"
            rows.append({"benchmark": name, "what": goal.what, "goal": wanted, "found": goal.found, "met": bool(goal.met)})
    return pd.DataFrame(rows, columns=["benchmark", "what", "goal", "found", "met"])


@validated(gpu_rate=POSITIVE)
def costs(bench: Bench, images: Mapping[str, int], gpu_rate: float, gpus: Sequence[int] = (1, 8)) -> pd.DataFrame:
    """What the pass over data sets costs, by the stages measured: a row for each data set.

    >>> costs(benches()["stages"], {"VinDr-Mammo": 20_000}, gpu_rate=100)      # doctest: +SKIP

    Parameters
    ----------
    bench : Bench
        The benchmark "stages".
    images : mapping of str to int
        The number of images of each data set.
    gpu_rate : float
        Images a second that one GPU is taken to run through the network: stated, not measured.
    gpus : sequence of int
        How many GPUs.

    Returns
    -------
    DataFrame
        data set, images; here_h: hours on the measured machine, one image after the other through all stages; gpu_<n>_h: hours
        on n GPUs, ``images / (n * gpu_rate)``; cores_<n>: processor cores that decode and prepare at this rate; stored_gb:
        activations, in float32.
    """
    if not {"By stage", "The machine"} <= set(bench.tables):
        raise ValueError(f"bench={bench.name!r} has no stages; benches()['stages'] has")
    seconds = bench.tables["By stage"].set_index("stage")["ms an image"] / 1000
    neurons = bench.tables["The machine"].set_index("what").value["neurons recorded an image"]
    rows = []
    for name, n in images.items():
        row = {"data set": name, "images": n, "here_h": n * seconds.sum() / 3600}
        for count in gpus:
            row |= {f"gpu_{count}_h": n / (count * gpu_rate) / 3600}
            row |= {f"cores_{count}": count * gpu_rate * seconds[list(ON_PROCESSOR)].sum()}
        rows.append(row | {"stored_gb": n * neurons * FLOAT / 1e9})
    return pd.DataFrame(rows)
