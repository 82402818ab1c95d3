"""Labels of up to a million images in bounded memory: time and peak memory of the streamed rules.

``python tests/benchmark_streaming.py [n_images] [n_neurons]`` prints a table; ``pytest -m benchmark
tests/benchmark_streaming.py`` asserts its bounds with 100,000 images. Activations (n_images, 2,048 neurons) and image
embeddings (n_images, 512) are drawn block by block from a seed into a store on disk: half of the neurons follow one of 763
concepts, half are noise. Each way runs in a fresh process with ``memory="2GB"``; its peak is that of the process (ru_maxrss),
python and torch included. The bytes are on disk as `mdissect.store` writes them; only the synchronisation of each record with
the disk is left out while they are drawn.
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

N_NEURONS, N_CONCEPTS, SIZE = 2048, 763, 512
MEMORY, LIMIT = "2GB", 4e9
WAYS = {
    "soft_wpmi, keep top": ("soft_wpmi", "top"),
    "rising, keep top": ("rising", "top"),
    "following, keep top": ("following", "top"),
    "soft_wpmi, keep all, calibrated labels": ("soft_wpmi", "calibrated"),
}


def entries(folder: Path, n_images: int, n_neurons: int):
    """The store's entries of activations and embeddings."""
    from mdissect.store import Store

    key = {"seed": 0, "n_neurons": n_neurons}
    found = [Store(folder).entry({"kind": kind, **key}, n_images) for kind in ("activations", "images")]
    for entry in found:
        entry.keep = False
    return found


def texts() -> np.ndarray:
    rows = np.random.default_rng(1).standard_normal((N_CONCEPTS, SIZE), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def draw(folder: Path, n_images: int, n_neurons: int) -> None:
    """Fill the store."""
    from mdissect import store

    store.write_atomically = lambda path, data: Path(path).write_bytes(data)
    activations, embeddings = entries(folder, n_images, n_neurons)
    followed = np.zeros((n_neurons, SIZE), dtype=np.float32)
    followed[::2] = texts()[np.arange(0, n_neurons, 2) % N_CONCEPTS]
    for chunk in range(activations.n_chunks):
        rng, rows = np.random.default_rng([2, chunk]), activations.rows(chunk)
        n = rows.stop - rows.start
        one = rng.standard_normal((n, SIZE), dtype=np.float32)
        one /= np.linalg.norm(one, axis=1, keepdims=True)
        noise = rng.standard_normal((n, n_neurons), dtype=np.float32)
        embeddings.write(chunk, one)
        activations.write(chunk, one @ followed.T * 15 + noise)


def measure(folder: Path, n_images: int, n_neurons: int, way: str) -> dict:
    """Seconds and peak memory of a way of labelling, in this process, and the share of planted labels it finds."""
    from mdissect.concepts import ConceptSet
    from mdissect.dissection import Dissection
    from mdissect.embed import StoredRecording
    from mdissect.hardware import memory_bytes
    from mdissect.streaming import streamed_parts

    rule, what = WAYS[way]
    start = time.perf_counter()
    activations, embeddings = entries(folder, n_images, n_neurons)
    assert activations.missing() == embeddings.missing() == []
    verified = time.perf_counter() - start
    recording = StoredRecording({"layer": activations}, embeddings, {})
    options, kept = ({"top_k": 100} if rule == "soft_wpmi" else {}), {"top": 100} if what == "top" else {"folder": folder}
    parts, _ = streamed_parts(recording, texts(), rule, options, memory_bytes("memory", MEMORY), **kept)
    labelled = time.perf_counter() - start - verified
    if what == "top":
        label = parts["similarity"]["layer"].argmax(axis=1)
    else:
        import pandas as pd

        concepts = ConceptSet.from_list([f"concept {i}" for i in range(N_CONCEPTS)])
        table = pd.DataFrame(index=pd.Index([f"image {i}" for i in range(n_images)], name="image_id"))
        found = Dissection(
            **parts, concepts=concepts, text_embeddings=texts(), probe_table=table, settings={"similarity": rule, "top_k": 100}
        )
        names = found.labels(q=0.05, memory=MEMORY).concept
        label = np.array([concepts.names.index(name) if name else -1 for name in names])
    calibrated = time.perf_counter() - start - verified - labelled
    planted = np.arange(0, n_neurons, 2)
    return {
        "way": way,
        "images": n_images,
        "verified": verified,
        "labelled": labelled,
        "calibrated": calibrated if what == "calibrated" else 0.0,
        "cpu": sum(os.times()[:2]),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "right": float((label[planted] == planted % N_CONCEPTS).mean()),
        "noise_named": float((label[1::2] >= 0).mean()),
    }


def run(n_images: int, n_neurons: int, ways=tuple(WAYS), folder: str | None = None) -> list[dict]:
    """Each way in a fresh process, on one store."""
    results = []
    with tempfile.TemporaryDirectory(dir=folder) as room:
        for way in ("draw", *ways):
            command = [sys.executable, __file__, "--one", room, str(n_images), str(n_neurons), way]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            if way != "draw":
                results.append(json.loads(output.splitlines()[-1]))
                print(row(results[-1]), flush=True)
    return results


def row(found: dict) -> str:
    seconds = " | ".join(f"{found[name]:.0f}" for name in ("verified", "labelled", "calibrated", "cpu"))
    return (
        f"| {found['way']} | {found['images']:,} | {seconds} | {found['peak'] / 1e9:.2f} | {found['right']:.3f} "
        f"| {found['noise_named']:.3f} |"
    )


@pytest.mark.benchmark
@pytest.mark.timeout(3600)
def test_memory_is_bounded(tmp_path):
    few, many = (run(n, N_NEURONS, folder=str(tmp_path)) for n in (20_000, 100_000))
    for small, large in zip(few, many, strict=True):
        assert large["peak"] < LIMIT
        assert large["peak"] < small["peak"] + 1.5e9
        assert large["right"] > 0.99
    assert many[-1]["noise_named"] < 0.05


if __name__ == "__main__":
    if "--one" in sys.argv:
        place, n, k, which = sys.argv[2:]
        if which == "draw":
            draw(Path(place), int(n), int(k))
        else:
            print(json.dumps(measure(Path(place), int(n), int(k), which)))
    else:
        n, k = [*map(int, sys.argv[1:]), 100_000, N_NEURONS][:2] if len(sys.argv) != 2 else (int(sys.argv[1]), N_NEURONS)
        print("| way | images | verify s | label s | calibrate s | CPU s | peak GB | planted found | noise named |")
        print("|---|---|---|---|---|---|---|---|---|")
        run(n, k)
