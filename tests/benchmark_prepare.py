"""How fast `prepare folder` is, beside decoding alone: `python tests/benchmark_prepare.py [images] [processes]`.

DICOM files of 3328 x 2560 pixels in lossless JPEG 2000, prepared to 1520 x 912; by default 24 files and one process. Both ways
run in turn on the same files, so that a busy machine slows both. The goal is stated for 2,000 files; each file takes the same.
Or: `pytest -m benchmark tests/benchmark_prepare.py`.
"""

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from miniature import JPEG_2000, write_dicom

from mdissect import load_probe
from mdissect.probes.mammograms.dicom import decode_dicom
from mdissect.probes.preparing import prepare_probe

HEIGHT, WIDTH, N_DRAWN, REPEATS = 3328, 2560, 4, 3
LEAST_RATIO = 0.8


def drawn(number: int) -> np.ndarray:
    """A breast of smooth tissue and noise, 12 bits, as large as a digital mammogram; most of the image is background."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    edge = 0.55 * WIDTH * np.sqrt(np.clip(1 - ((rows - HEIGHT / 2) / (0.42 * HEIGHT)) ** 2, 0, 1))
    tissue = 1800 + 500 * np.sin(rows / (150 + 20 * number)) * np.cos(columns / 190) + rng.normal(0, 25, rows.shape)
    return np.where(columns < edge, np.clip(tissue, 0, 4095), 0).astype(np.uint16)


def make_folder(folder: Path, n_images: int) -> None:
    """DICOM files; a few are drawn and compressed, the others are copies under other names."""
    first = [write_dicom(folder / f"{i:05d}.dcm", drawn(i), JPEG_2000) for i in range(min(N_DRAWN, n_images))]
    for i in range(len(first), n_images):
        shutil.copyfile(first[i % len(first)], folder / f"{i:05d}.dcm")


def seconds(folder: Path, workers: int) -> dict[str, list[float]]:
    """How long each way took in each of its turns."""
    paths = sorted(folder.glob("*.dcm"))
    times = {"decode alone": [], "prepare": []}
    for _ in range(REPEATS):
        started = time.perf_counter()
        joblib.Parallel(n_jobs=workers)(joblib.delayed(_decode)(path) for path in paths)
        times["decode alone"].append(time.perf_counter() - started)
        with tempfile.TemporaryDirectory() as output:
            started = time.perf_counter()
            probe = load_probe("folder", path=folder, preparation="released", keep_ids=True)
            outcome = prepare_probe(probe, Path(output), {}, keep_ids=True, workers=workers, progress=False)
            times["prepare"].append(time.perf_counter() - started)
        assert outcome.made == len(paths), outcome
    return times


def _decode(path: Path) -> None:
    decode_dicom(path)


def ratio(times: dict[str, list[float]]) -> float:
    """The speed of preparing as a part of that of decoding alone."""
    return statistics.median(times["decode alone"]) / statistics.median(times["prepare"])


@pytest.mark.benchmark
def test_preparing_is_nearly_as_fast_as_decoding(tmp_path):
    make_folder(tmp_path, 8)
    assert ratio(seconds(tmp_path, workers=1)) >= LEAST_RATIO


def main() -> None:
    n_images, workers = (int(sys.argv[i]) if len(sys.argv) > i else usual for i, usual in ((1, 24), (2, 1)))
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder), n_images)
        times = seconds(Path(folder), workers)
    print("| way | median s | range s | images a second |\n|---|---|---|---|")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"| {name} | {median:.2f} | {min(values):.2f}-{max(values):.2f} | {n_images / median:.2f} |")
    print(f"\n{n_images} files of {HEIGHT} x {WIDTH}, {workers} processes, {REPEATS} turns each: ratio {ratio(times):.2f}")
    if ratio(times) < LEAST_RATIO:
        raise SystemExit(f"the goal is missed: {LEAST_RATIO:.0%} of the speed of decoding alone")


if __name__ == "__main__":
    main()
