"""How quick the explorer is to the hand: `python tests/benchmark_explorer.py`.

A made-up result of 2,048 neurons, 763 concepts (the size of the published set) and 4,000 images is saved, and opened again in a
process of its own beside as many PNG files: small ones, and ones of the size of the published mammograms. A change counts from
the setting of the trait to the last picture handed over; the browser's own time comes on top.
"""

import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

N_NEURONS, N_CONCEPTS, N_IMAGES, N_DISTINCT = 2048, 763, 4000, 64
SIZES = {"small": (380, 228), "published": (1520, 912)}
LAYER, CHANGES, ROUNDS = "deep", 50, 3
GOAL_OPEN, GOAL_CHANGE, GOAL_MEGABYTES = 2.0, 0.2, 500
FINDINGS = ["", "mass", "suspicious calcification", "mass; skin thickening", "architectural distortion"]


def write_result(folder: Path) -> None:
    """A result whose labels and activations are drawn at random, with metadata as of mammograms."""
    from mdissect.concepts import load_concepts
    from mdissect.dissection import Dissection

    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "patient": [f"p{i // 4}" for i in range(N_IMAGES)],
            "laterality": np.array(["L", "L", "R", "R"])[np.arange(N_IMAGES) % 4],
            "view": np.array(["CC", "MLO"])[np.arange(N_IMAGES) % 2],
            "density": rng.choice(list("ABCD"), N_IMAGES),
            "findings": rng.choice(FINDINGS, N_IMAGES, p=[0.8, 0.08, 0.06, 0.03, 0.03]),
        },
        index=pd.Index([f"image-{i:04d}.png" for i in range(N_IMAGES)], name="image_id"),
    )
    Dissection(
        similarity={LAYER: rng.normal(1, 0.5, (N_NEURONS, N_CONCEPTS)).astype(np.float32)},
        activations={LAYER: rng.gamma(2, 1, (N_IMAGES, N_NEURONS)).astype(np.float32)},
        image_concept_sims=rng.normal(0, 0.1, (N_IMAGES, N_CONCEPTS)).astype(np.float32),
        concepts=load_concepts("mammography").subset(names=load_concepts("mammography").names[:N_CONCEPTS]),
        settings={"target": "made up", "dissector": "made up", "top_k": 100},
        notes={LAYER: np.full(N_NEURONS, "", dtype=object)},
        probe_table=table,
    ).save(folder)


def write_images(folder: Path, size: tuple[int, int]) -> None:
    """Grey PNG files: a few smooth fields with some grain, each under many names."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for i in range(N_IMAGES):
        path = folder / f"image-{i:04d}.png"
        if i < N_DISTINCT:
            field = Image.fromarray(rng.uniform(0, 220, (12, 8)).astype(np.uint8)).resize(size[::-1], Image.Resampling.BICUBIC)
            Image.fromarray(np.asarray(field) + rng.integers(0, 16, size, dtype=np.uint8)).save(path)
        else:
            os.link(folder / f"image-{i % N_DISTINCT:04d}.png", path)


def measure(result: Path, images: Path) -> dict:
    """Open the explorer and use it, in this process; seconds of each kind of change, megabytes of the opening."""
    before, started = megabytes(), time.perf_counter()
    import mdissect

    imported = time.perf_counter()
    probe = mdissect.load_probe("folder", path=images)
    listed = time.perf_counter()
    explorer = mdissect.explore(mdissect.Dissection.load(result), probe=probe)
    opened, added = time.perf_counter(), megabytes() - before
    neurons = random.Random(0).sample(range(N_NEURONS), CHANGES)
    times = {
        "list the probe's files": [listed - imported],
        "open (load the result, show it)": [imported - started + opened - listed],
        "neuron, images not seen before": timed(lambda n: setattr(explorer, "neuron", n), neurons),
        "neuron, images seen before": timed(lambda n: setattr(explorer, "neuron", n), neurons),
        "weakest, strongest": timed(lambda which: setattr(explorer, "images", which), ["weakest", "strongest"] * 5),
        "quantiles, misses": timed(lambda which: setattr(explorer, "images", which), ["quantiles", "misses", "strongest"] * 3),
        "all 100 images, seen before": timed(lambda all_of: setattr(explorer, "all_images", all_of), [True, False] * 3)[2::2],
        "a bin of the histogram": timed(lambda low: setattr(explorer, "span", [low, low + 0.4]), [0.5, 1.0, 1.5, 2.0]),
        "size of the pictures": timed(lambda height: setattr(explorer, "tile", height), [200, 220, 240]),
        "split": timed(lambda name: setattr(explorer, "split", name), explorer.splits[1:] * 2),
        "neuron, images not seen before, split": timed(lambda n: setattr(explorer, "neuron", n), range(20)),
        "image made large": timed(lambda i: setattr(explorer, "enlarged", probe.ids[i]), range(2000, 2020)),
        "large image, neuron": timed(lambda n: setattr(explorer, "neuron", n), range(20)),
        "back to the tiles": timed(lambda image_id: setattr(explorer, "enlarged", image_id), [""]),
        "search": timed(lambda word: setattr(explorer, "query", word), ["implant", "calcification", "mass", "no such word"]),
    }
    return {"times": times, "megabytes": added}


def timed(change: Callable, values: Iterable) -> list[float]:
    """Seconds of each change."""
    found = []
    for value in values:
        started = time.perf_counter()
        change(value)
        found.append(time.perf_counter() - started)
    return found


def megabytes() -> float:
    """The most memory that this process has held so far."""
    return int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        result, missed = Path(scratch) / "result", []
        write_result(result)
        for name, size in SIZES.items():
            write_images(images := Path(scratch) / name, size)
            command = [sys.executable, __file__, str(result), str(images)]
            rounds = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(ROUNDS)]
            print(f"\nImages of {size[0]} x {size[1]}:\n\n| what | median s | worst s |\n|---|---|---|")
            for what in rounds[0]["times"]:
                values = [value for one in rounds for value in one["times"][what]]
                print(f"| {what} | {statistics.median(values):.3f} | {max(values):.3f} |")
                goal = GOAL_OPEN if what.startswith("open") else np.inf if what.startswith("list") else GOAL_CHANGE
                missed += [f"{what} ({name})"] if statistics.median(values) > goal else []
            most = max(one["megabytes"] for one in rounds)
            print(f"\nOpening adds {most:.0f} MB, imports and result included.")
            missed += [f"memory ({name})"] if most > GOAL_MEGABYTES else []
        print(f"\n{N_IMAGES:,} images, {N_CONCEPTS} concepts, {N_NEURONS:,} neurons; {ROUNDS} rounds, {os.cpu_count()} cores.")
    if missed:
        raise SystemExit(f"the goal is missed: {', '.join(missed)}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(*map(Path, sys.argv[1:]))))
    else:
        main()
