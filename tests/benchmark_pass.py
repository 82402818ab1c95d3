"""The pass over mammograms against the published pipeline, on random-weight Mammo-CLIP B5 at 1520 x 912.

``python tests/benchmark_pass.py [n_images]`` writes a table; ``pytest -m benchmark tests/benchmark_pass.py`` asserts ratios.
Each way of running is measured in a fresh process, as the difference between n + 1 images and one, so that loading, settling
axes and folding do not count. The published pipeline is two separate passes in float32, each of which reads the PNG files: one
with hooks, one for the embeddings, in batches of 4, with the allocator as it is. CPU seconds are shown beside the time: they
are the same on a busy machine.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from bench_tables import Goal, device, pick, write_bench

WAYS = ("published", "forward", "mdissect", "bf16")
BATCH = 4  # of the published pipeline


def models():
    """A target and a dissector on one B5 tower with random weights; the texts' tower is the demo's."""
    import torch
    from torch import nn

    from mdissect.models import load_dissector, load_target
    from mdissect.models.dissector import ImageTextDissector
    from mdissect.models.efficientnet import VARIANTS, build_tower
    from mdissect.models.mammo_clip import PREPROCESS
    from mdissect.models.towers import ImageTextModel

    torch.manual_seed(0)
    tower, demo = build_tower(VARIANTS["b5"]), load_dissector("demo/mammo")
    for part in tower.modules():
        if getattr(part, "running_mean", None) is not None:
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.normal_(part.running_mean, 0, 0.1)
    widths = {"image_features": 2048, "text_features": 128, "embed_dim": 512}
    model = ImageTextModel(tower, demo.model.text_tower, **widths)
    dissector = ImageTextDissector("b5", model, demo.tokenizer, PREPROCESS, aligned=False)
    return load_target(tower, preprocess=PREPROCESS, layers=VARIANTS["b5"].default_layers, name="b5"), dissector


def published(target, dissector, probe):
    """Two passes, each of which reads and prepares all images."""
    import torch

    from mdissect.hooks import record

    def batches():
        for start in range(0, len(probe), BATCH):
            images = [target.preprocess(probe[i]) for i in range(start, min(start + BATCH, len(probe)))]
            yield torch.stack(images).contiguous(memory_format=torch.channels_last)

    found = {layer: [] for layer in target.layers}
    axes = dict.fromkeys(target.layers, "NCHW")
    with torch.inference_mode():
        for batch in batches():
            with record(target.module, target.layers, axes=axes) as recorded:
                target.module(batch)
            for layer in target.layers:
                found[layer].append(recorded[layer])
        embedded = torch.cat([dissector.embed_images(batch) for batch in batches()])
    return {layer: torch.cat(parts).numpy() for layer, parts in found.items()}, embedded.numpy()


def forward(target, _dissector, probe):
    """The network alone, one image at a time: what no pass can do without."""
    import torch

    with torch.inference_mode():
        for i in range(len(probe)):
            target.module(target.preprocess(probe[i])[None].contiguous(memory_format=torch.channels_last))


def shared(target, dissector, probe, precision="float32"):
    from mdissect.embed import PassOptions, embed_probe

    options = PassOptions(workers=0, progress=False, precision=precision)
    found = embed_probe(target, dissector, probe, target.layers, "mean", None, "cpu", options)
    return found.activations, found.image_embeddings


def spent() -> np.ndarray:
    """Seconds, CPU seconds and page faults so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return np.array([time.perf_counter(), used.ru_utime + used.ru_stime, used.ru_minflt], dtype=float)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(way: str, folder: str, n_images: int) -> None:
    """One way of running, in this process; prints what it took per image."""
    from mdissect.probes import load_probe

    probe = load_probe("folder", path=folder)
    target, dissector = models()
    run = {"published": published, "forward": forward, "mdissect": shared}.get(way) or (lambda *given: shared(*given, way))
    before, took = peak_mb(), []
    for n in (1, n_images + 1):
        start = spent()
        found = run(target, dissector, probe.subset(slice(n)))
        took.append(spent() - start)
    seconds, cpu, faults = ((took[1] - took[0]) / n_images).tolist()
    values = [] if found is None else [float(np.abs(one).mean()) for one in (*found[0].values(), found[1])]
    row = {
        "seconds": seconds,
        "cpu": cpu,
        "faults": faults,
        "memory": peak_mb() - before,
        "start": float(took[0][0]),
        "values": values,
    }
    print(json.dumps(row))


def measured(n_images: int) -> dict[str, dict]:
    """Each way in a fresh process, on the same files."""
    from PIL import Image

    rng, found = np.random.default_rng(0), {}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(n_images + 1):
            smooth = Image.fromarray(rng.integers(0, 255, (95, 57), dtype=np.uint8)).resize((912, 1520))
            smooth.save(Path(folder, f"{i:03}.png"))
        for way in WAYS:
            called = [sys.executable, __file__, way, folder, str(n_images)]
            found[way] = json.loads(subprocess.run(called, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return found


def table(found: dict[str, dict]) -> str:
    base, threads = found["published"], os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    lines = [
        f"| B5, 1520 x 912, {threads} threads | s an image | CPU s | faults | MB | times |",
        "|---|---|---|---|---|---|",
    ]
    for way, one in found.items():
        lines.append(
            f"| {way} | {one['seconds']:.2f} | {one['cpu']:.2f} | {one['faults']:,.0f} | {one['memory']:,.0f} | "
            f"{base['cpu'] / one['cpu']:.1f} |"
        )
    return "\n".join(lines)


def report(n_images: int) -> None:
    """Measure all ways and write the table."""
    found, names = measured(n_images), {"seconds": "s an image", "cpu": "CPU s", "faults": "page faults", "memory": "MB"}
    first = found["published"]["seconds"]
    rows = [{"way": way, **{names[n]: one[n] for n in names}, "times": first / one["seconds"]} for way, one in found.items()]
    goals = [
        Goal("float32, times the published pipeline", rows[2]["times"], least=6),
        Goal("page faults an image", found["mdissect"]["faults"], most=100_000),
        Goal("memory over the forward pass's", found["mdissect"]["memory"] / found["forward"]["memory"], most=1.5),
    ]
    goals += (
        [Goal("bf16, times the published pipeline", rows[3]["times"], least=10)] if "AMX" in device()["instructions"] else []
    )
    page = write_bench(
        "pass",
        {"A pass": rows},
        about=f"""Random-weight Mammo-CLIP B5 at 1520 x 912, PNG files, three layers and embeddings, {n_images} images.
        Published: two passes in float32, in batches of {BATCH}. Each way in a fresh process.""",
        goals=goals,
    )
    print(page.read_text())


@pytest.mark.benchmark
def test_the_pass_against_the_published_pipeline():
    found = measured(8)
    print(table(found))
    assert found["mdissect"]["seconds"] * 6 <= found["published"]["seconds"]
    assert found["mdissect"]["faults"] < 100_000
    assert found["mdissect"]["memory"] <= 1.5 * found["forward"]["memory"]
    np.testing.assert_allclose(found["mdissect"]["values"], found["published"]["values"], rtol=1e-4)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        report(int(sys.argv[1]) if len(sys.argv) > 1 else pick(1, 6))
