"""What zarr's codecs make of activations: their size, and the processor's time to write and read them.

``python tests/benchmark_codecs.py`` prints a table: layers of the demo's networks on its probes, several images to a
row of 2,048 columns so that a chunk is as large as that of a real layer, and sparse latents. `mdissect.store` compresses by
its result.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

LAYERS = {"demo/mammo": "phantom", "demo/general": "natural"}
N_IMAGES, WIDTH, REPEATS = 512, 2048, 3


def codecs() -> dict:
    from zarr.codecs import BloscCodec, BloscShuffle, ZstdCodec

    def blosc(name: str, level: int, shuffle: BloscShuffle) -> BloscCodec:
        return BloscCodec(cname=name, clevel=level, shuffle=shuffle, typesize=4)

    return {
        "none": None,
        "zstd 1": ZstdCodec(level=1),
        "zstd 5": ZstdCodec(level=5),
        "blosc lz4, bytes shuffled": blosc("lz4", 5, BloscShuffle.shuffle),
        "blosc zstd 1, bytes shuffled": blosc("zstd", 1, BloscShuffle.shuffle),
        "blosc zstd 5, bits shuffled": blosc("zstd", 5, BloscShuffle.bitshuffle),
    }


def activations() -> dict[str, np.ndarray]:
    """(n_rows, WIDTH) float32 by name."""
    from mdissect import PassOptions, load_probe, load_target
    from mdissect.embed import record_probe

    found = {}
    for name, of_images in LAYERS.items():
        target, probe = load_target(name), load_probe(of_images, n_images=4 * N_IMAGES)
        for layer, values in record_probe(target, probe, target.layers, options=PassOptions(progress=False)).items():
            found[f"{name} {layer}"] = values.reshape(-1, WIDTH)
    rng = np.random.default_rng(0)
    for share in (0.5, 0.75, 0.9, 0.98):
        values = rng.exponential(size=(N_IMAGES, WIDTH)) * (rng.random((N_IMAGES, WIDTH)) >= share)
        found[f"latents, {share} zeros"] = values.astype(np.float32)
    return found


def measured(values: np.ndarray, codec, folder: Path) -> tuple[float, float, float]:
    """Size as a share, and milliseconds of the processor per megabyte to write and to read."""
    import zarr

    from mdissect.store import CHUNK_ROWS

    times = []
    for i in range(REPEATS):
        start = time.process_time()
        shape, chunks = values.shape, (CHUNK_ROWS, values.shape[1])
        array = zarr.create_array(str(folder / str(i)), shape=shape, chunks=chunks, dtype="float32", compressors=codec)
        array[:] = values
        written = time.process_time()
        np.testing.assert_array_equal(array[:], values)
        times.append((written - start, time.process_time() - written))
    size = sum(path.stat().st_size for path in (folder / "0" / "c").rglob("*") if path.is_file())
    return size / values.nbytes, *(1e9 * min(one) / values.nbytes for one in zip(*times, strict=True))


def table(of: dict[str, np.ndarray]) -> list[tuple]:
    rows = []
    for name, values in of.items():
        for codec, made in codecs().items():
            with tempfile.TemporaryDirectory() as folder:
                rows.append((name, codec, *measured(values, made, Path(folder))))
    return rows


@pytest.mark.benchmark
def test_only_sparse_chunks_shrink():
    for name, codec, size, _, _ in table(activations()):
        if codec == "zstd 1":
            assert (size < 0.5) == (name.startswith("latents") and "0.5" not in name), name


if __name__ == "__main__":
    print("| activations | codec | size | write ms/MB | read ms/MB |\n|---|---|---|---|---|")
    for name, codec, *numbers in table(activations()):
        print(f"| {name} | {codec} | " + " | ".join(f"{number:.2f}" for number in numbers) + " |")
