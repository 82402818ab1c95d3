"""A small benchmark "stages" of round numbers, as `make bench` writes it."""

import json
from pathlib import Path

STAGES = {"decode": 50, "prepare": 10, "forward": 930, "pool": 4, "write": 5, "score": 1}  # milliseconds
FLOORS = {"decode": 1.25, "forward": 4.0, "score": 3.0}
MIDDLE = {"N": 100, "K": 20, "M": 10}


def growth() -> list[dict]:
    """soft_wpmi's time is proportional to K and M, its memory to nothing."""
    points = [("all", 1, "N"), ("N", 2, "N"), ("K", 2, "K"), ("M", 4, "M")]
    rows = []
    for rule, seconds in (("soft_wpmi", 0.2), ("calibrate", 3.0)):
        for varied, factor, number in points:
            grows = factor if number in "KM" else 1
            at = {name: n * (factor if name == number else 1) for name, n in MIDDLE.items()}
            rows.append({"rule": rule, "varied": varied, **at, "seconds": seconds * grows, "megabytes": 50.0})
    return rows


def stages(gpu: str | None = None, load: float = 0.1, size: str = "full") -> dict:
    whole = sum(STAGES.values())
    by_stage = [
        {
            "stage": name,
            "ms an image": ms,
            "images a second": 1000 / ms,
            "share": ms / whole,
            "times its floor": FLOORS.get(name),
        }
        for name, ms in STAGES.items()
    ]
    device = {"processor": "A chip", "instructions": "AVX2", "cores": 2, "threads": 2, "memory_gb": 8, "gpu": gpu, "torch": "2"}
    return {
        "name": "stages",
        "size": size,
        "about": "A network of round numbers.",
        "device": device | {"system": "Linux", "python": "3.11", "load": load},
        "tables": {
            "By stage": by_stage,
            "The machine": [{"what": "neurons recorded an image", "value": 1000}],
            "Against N, K and M": growth(),
        },
        "goals": [],
    }


def passes() -> dict:
    """The benchmark "pass": float32 7 times as fast, bf16 9 times, of which 10 were wanted."""
    rows = [{"way": way, "times": times} for way, times in (("published", 1), ("forward", 3), ("mdissect", 7), ("bf16", 9))]
    goals = [
        {"what": "float32, times the published pipeline", "found": 7, "least": 6, "most": None, "met": True},
        {"what": "bf16, times the published pipeline", "found": 9, "least": 10, "most": None, "met": False},
    ]
    return stages() | {"name": "pass", "tables": {"A pass": rows}, "goals": goals}


def written(folder: Path, *found: dict) -> Path:
    """The folder with these benchmarks in it."""
    for one in found:
        (folder / f"{one['name']}.json").write_text(json.dumps(one))
    return folder
