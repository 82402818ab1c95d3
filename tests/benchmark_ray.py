"""A pass on a Ray cluster of two workers on two cores against the same pass in one process, on random-weight B5s.

``python tests/benchmark_ray.py`` writes a table (see bench_tables); ``pytest -m benchmark tests/benchmark_ray.py`` asserts the
ratio. The rate is that between the first quarter of the images and the last one, so that neither loading nor the start of
workers counts in either; what it takes to start is told beside it. Both passes run in turns, in one process, after ray.init.
"""

import os
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bench_tables import Goal, pick, write_bench
from benchmark_pass import models

LEAST = 0.8  # of the rate of one process
ROUNDS = 2


class Clock:
    """Notes when images are done, in the place of a progress bar."""

    def __init__(self):
        self.moments = [(0, time.perf_counter())]

    def update(self, n: int) -> None:
        self.moments.append((self.moments[-1][0] + n, time.perf_counter()))

    def row(self) -> dict[str, float]:
        """Images a second after the first quarter of them, and the seconds before the first image was done."""
        n_images, end = self.moments[-1]
        n, start = next(one for one in self.moments if one[0] >= n_images / 4)
        return {"rate": (n_images - n) / (end - start), "first": self.moments[1][1] - self.moments[0][1]}


def timed(target, dissector, probe, options) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """One pass, and what it found."""
    from mdissect import embed, filling

    @contextmanager
    def bar(*_):
        yield clock

    clock, shown = Clock(), filling._bar
    filling._bar = bar
    try:
        found = embed.embed_probe(target, dissector, probe, target.layers, "mean", None, "cpu", options)
    finally:
        filling._bar = shown
    return clock.row(), found.activations | {"embeddings": found.image_embeddings}


def started() -> None:
    """A cluster of two CPUs on this machine."""
    os.environ |= {"RAY_worker_niceness": "0"}  # as this process, so that a machine that is busy treats both alike
    import ray

    if not ray.is_initialized():
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")


def measured(size: tuple[int, int], n_images: int) -> tuple[list[dict], float, float]:
    """Rows of both engines, the ratio of their rates (median of the rounds), and the largest difference of their values."""
    from PIL import Image

    from mdissect.passing import PassOptions
    from mdissect.probes import load_probe

    started()
    target, dissector = models()
    target = replace(target, preprocess=replace(target.preprocess, size=size))
    dissector.preprocess = target.preprocess
    local = PassOptions(workers=0, batch_size=1, fold=True)
    ways, rows, rng = {"local": local, "ray": replace(local, workers=2, engine="ray")}, [], np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(n_images):
            smooth = Image.fromarray(rng.integers(0, 255, (95, 57), dtype=np.uint8)).resize((912, 1520))
            smooth.save(Path(folder, f"{i:03}.png"))
        probe, apart = load_probe("folder", path=folder), 0.0
        for _ in range(ROUNDS):
            found = {}
            for way, options in ways.items():
                row, found[way] = timed(target, dissector, probe, options)
                threads = f"{torch.get_num_threads()} threads" if way == "local" else "2 workers, 1 thread each"
                rows.append(
                    {"engine": way, "runs on": threads, "images a second": row["rate"], "seconds to the first": row["first"]}
                )
            apart = max(apart, *(relative(found["local"][name], found["ray"][name]) for name in found["local"]))
    ratios = [ray["images a second"] / one["images a second"] for one, ray in zip(rows[::2], rows[1::2], strict=True)]
    return rows, float(np.median(ratios)), apart


def relative(first: np.ndarray, second: np.ndarray) -> float:
    """The largest difference, as a share of the largest value."""
    return float(np.abs(first - second).max() / np.abs(first).max())


@pytest.mark.benchmark
def test_two_workers_are_nearly_as_fast_as_one_process():
    pytest.importorskip("ray.data", reason="Ray Data is not installed: pip install 'ray[data]'")
    rows, ratio, apart = measured((760, 456), 64)
    print(rows, ratio, apart)
    assert ratio >= LEAST
    assert apart < 1e-5


if __name__ == "__main__":
    height, width, n_images = (int(one) for one in sys.argv[1:4]) if sys.argv[3:] else pick((380, 228, 128), (1520, 912, 128))
    rows, ratio, apart = measured((height, width), n_images)
    about = f"""B5 with random weights, {height} x {width} pixels, {n_images} PNG files of 1520 x 912, in turns. The largest
        difference between the engines' values is {apart:.1e} of the largest value."""
    title = "A pass in one process and on two workers of Ray"
    print(write_bench("ray", {title: rows}, about, [Goal("Ray over one process", found=ratio, least=LEAST)]).read_text())
