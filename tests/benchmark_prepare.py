"""How fast `prepare folder` is, beside decoding alone: `python tests/benchmark_prepare.py [images] [processes]`.

DICOM files of 3328 x 2560 pixels in lossless JPEG 2000, prepared to 1520 x 912; by default 16 files (quick: 4) and one process.
Both ways take turns on groups of files (eight for each process), so that a busy machine slows both. The goal is stated for
2,000 files; each takes the same.
Or: `pytest -m benchmark tests/benchmark_prepare.py`.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import pytest
from bench_tables import Goal, pick, write_bench
from miniature import JPEG_2000, write_dicom

from mdissect import load_probe
from mdissect.probes import Probe
from mdissect.probes.mammograms.dicom import decode_dicom
from mdissect.probes.preparing import prepare_probe

HEIGHT, WIDTH, N_DRAWN, GROUP = 3328, 2560, 4, 8
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


class Spent(NamedTuple):
    """Seconds of the clock and of the processor (of this process alone) that a group of files took."""

    clock: float
    processor: float


def seconds(folder: Path, workers: int) -> dict[str, list[Spent]]:
    """What each way took for each group of files; the groups of both ways take turns."""
    paths = sorted(folder.glob("*.dcm"))
    probe = load_probe("folder", path=folder, preparation="released", keep_ids=True)
    spent = {"decode alone": [], "prepare": []}
    for start in range(0, len(paths), GROUP * workers):
        group = slice(start, start + GROUP * workers)
        spent["decode alone"].append(_timed(lambda group=group: _decode_all(paths[group], workers)))
        with tempfile.TemporaryDirectory() as output:
            spent["prepare"].append(_timed(lambda group=group, output=output: _prepare(probe.subset(group), output, workers)))
    return spent


def _timed(way: Callable[[], None]) -> Spent:
    clock, processor = time.perf_counter(), time.process_time()
    way()
    return Spent(time.perf_counter() - clock, time.process_time() - processor)


def _decode_all(paths: list[Path], workers: int) -> None:
    joblib.Parallel(n_jobs=workers)(joblib.delayed(_decode)(path) for path in paths)


def _prepare(probe: Probe, output: str, workers: int) -> None:
    outcome = prepare_probe(probe, Path(output), {}, keep_ids=True, workers=workers, progress=False)
    assert outcome.made == len(probe), outcome


def _decode(path: Path) -> None:
    decode_dicom(path)


def ratio(spent: dict[str, list[Spent]], unit: str) -> float:
    """The speed of preparing as a part of that of decoding alone, by the clock or by the processor."""
    alone, both = (sum(getattr(one, unit) for one in groups) for groups in spent.values())
    return alone / both


@pytest.mark.benchmark
def test_preparing_is_nearly_as_fast_as_decoding(tmp_path):
    make_folder(tmp_path, 16)
    assert ratio(seconds(tmp_path, workers=1), "processor") >= LEAST_RATIO


def main() -> None:
    n_images, workers = (int(sys.argv[i]) if len(sys.argv) > i else usual for i, usual in ((1, pick(4, 16)), (2, 1)))
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder), n_images)
        spent = seconds(Path(folder), workers)
    by_processor = workers == 1  # processor time of other processes is not counted
    rows = []
    for name, groups in spent.items():
        clock, processor = (sum(getattr(one, unit) for one in groups) for unit in Spent._fields)
        rows.append(
            {
                "way": name,
                "s": clock,
                "images a second": n_images / clock,
                "s of the processor": processor if by_processor else None,
            }
        )
    page = write_bench(
        "prepare",
        {"Preparing": rows},
        about=f"""{n_images} DICOM files of {HEIGHT} x {WIDTH} in lossless JPEG 2000, prepared to 1520 x 912 and decoded
        alone, in turn; processes: {workers}.""",
        goals=[
            Goal("of the speed of decoding alone", ratio(spent, "processor" if by_processor else "clock"), least=LEAST_RATIO)
        ],
    )
    print(page.read_text())


if __name__ == "__main__":
    main()
