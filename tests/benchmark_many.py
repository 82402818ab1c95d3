"""Several targets and a dissector in one pass over a probe, against a pass for each target.

Two probes: where images are large and networks small, most of the time is decoding (four targets of a few convolutions each,
PNG files of 3,000 x 2,400 pixels in 16 bits); otherwise it is the networks (EfficientNet-B2 at 384 x 256, PNG files of that
size). Both ways take their turns in one process, each into stores in memory, and the ratio is the median of those of the pairs.

``python tests/benchmark_many.py`` prints the table (quick sizes; MDISSECT_BENCH=full for those of `make bench`);
``pytest -m benchmark tests/benchmark_many.py`` asserts the goals.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from bench_tables import Goal, pick, write_bench
from torch import nn

from mdissect.embed import embed_probe, embed_probes
from mdissect.models import load_dissector, load_target
from mdissect.models.dissector import ImageTextDissector
from mdissect.models.efficientnet import VARIANTS, build_tower
from mdissect.models.towers import ImageTextModel
from mdissect.passing import PassOptions
from mdissect.preprocess import Preprocess
from mdissect.probes import load_probe

N_TARGETS = 4
OPTIONS = PassOptions(workers=0, progress=False)
GOALS = {"decoding": 0.35, "networks": 0.9}


def small_tower() -> nn.Module:
    """A few convolutions."""
    return nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU()).eval()


def target_of(seed: int, tower, layers, preprocess):
    torch.manual_seed(seed)
    return load_target(tower(), preprocess=preprocess, layers=layers, name=f"C{seed}")


def of_decoding():
    """Four small targets, a small dissector, and the size of images."""
    preprocess = Preprocess(size=(128, 96), channels=3, scale="dtype")
    targets = {f"C{i}": target_of(i, small_tower, ["2"], preprocess) for i in range(N_TARGETS)}
    demo = load_dissector("demo/mammo")
    small = ImageTextDissector("small", demo.model, demo.tokenizer, preprocess, aligned=False)
    return targets, small, (3000, 2400), np.uint16


def of_networks():
    """Four EfficientNet-B2, the first of which is the dissector's tower, and the size of images."""
    preprocess = Preprocess(size=(384, 256), channels=3, scale="image")
    variant = VARIANTS["b2"]
    targets = {
        f"C{i}": target_of(i, lambda: build_tower(variant), variant.default_layers, preprocess) for i in range(N_TARGETS)
    }
    demo = load_dissector("demo/mammo")
    model = ImageTextModel(
        targets["C0"].module, demo.model.text_tower, image_features=variant.features, text_features=128, embed_dim=512
    )
    return targets, ImageTextDissector("b2", model, demo.tokenizer, preprocess, aligned=False), (384, 256), np.uint8


def write_images(folder: Path, n_images: int, size: tuple[int, int], dtype) -> None:
    """Smooth noise as PNG files."""
    from PIL import Image

    rng, most = np.random.default_rng(0), np.iinfo(dtype).max
    for i in range(n_images):
        small = Image.fromarray(rng.uniform(0, most, (size[0] // 16, size[1] // 16)).astype(np.float32))
        Image.fromarray(np.asarray(small.resize(size[::-1], Image.Resampling.BICUBIC)).clip(0, most).astype(dtype)).save(
            folder / f"{i:03}.png"
        )


def measured(kind, n_images: int, repeats: int) -> dict:
    """Seconds of both ways, taken in turns: CPU seconds, which are the same on a busy machine."""
    targets, dissector, size, dtype = kind()
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), n_images, size, dtype)
        probe = load_probe("folder", path=folder)
        start = time.process_time()
        for i in range(n_images):
            probe[i]
        decoding = (time.process_time() - start) / n_images

        def one_pass():
            return embed_probes(targets, dissector, probe, device="cpu", options=OPTIONS)

        def separate():
            return {
                name: embed_probe(one, dissector, probe, one.layers, device="cpu", options=OPTIONS)
                for name, one in targets.items()
            }

        found, expected, spent = one_pass(), separate(), {one_pass: [], separate: []}
        for name, one in expected.items():
            for layer, values in one.activations.items():
                np.testing.assert_allclose(found[name].activations[layer], values, rtol=1e-4, atol=1e-5 * np.abs(values).max())
        for _ in range(repeats):
            for way, times in spent.items():
                start = time.process_time()
                way()
                times.append((time.process_time() - start) / n_images)
    ratios = [together / apart for together, apart in zip(*spent.values(), strict=True)]
    return {
        "images": n_images,
        "decoding an image, CPU s": decoding,
        "one pass, CPU s an image": statistics.median(spent[one_pass]),
        "four passes, CPU s an image": statistics.median(spent[separate]),
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
    }


def results() -> list[dict]:
    kinds = {"decoding": (of_decoding, pick(6, 32)), "networks": (of_networks, pick(4, 24))}
    return [{"the larger part": name, **measured(kind, n, pick(3, 7))} for name, (kind, n) in kinds.items()]


@pytest.mark.benchmark
def test_one_pass_for_four_targets_against_four_passes():
    for row in results():
        print(row)
        assert row["ratio"] <= GOALS[row["the larger part"]]


if __name__ == "__main__":
    rows = results()
    goals = [
        Goal(f"one pass over four, {row['the larger part']}", row["ratio"], most=GOALS[row["the larger part"]]) for row in rows
    ]
    path = write_bench(
        "many",
        {"Four targets and a dissector": rows},
        "Four targets and a dissector in one pass over a probe, against a pass for each target with the dissector; "
        "CPU seconds, both ways in turns, medians.",
        goals,
    )
    sys.stdout.write(path.read_text())
