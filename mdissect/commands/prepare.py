"""``python -m mdissect prepare vindr``: decode and prepare the DICOM files once, into PNG files that are read fast."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mdissect.arguments import some_path, whole_number
from mdissect.files import write_atomically
from mdissect.paths import check_writable

if TYPE_CHECKING:
    from mdissect.probes.mammograms import Preparation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("dataset", choices=["vindr"])
    parser.add_argument("--path", help="folder with images/ and the tables (default: vindr-mammo in the data folder)")
    parser.add_argument("--output", help="where images_png/ and copies of the tables go (default: the same folder)")
    parser.add_argument("--split", default="all", help="all (default), test or training")
    parser.add_argument("--bits", type=int, default=8, help="8 (default, as published) or 16")
    parser.add_argument("--voi", action="store_true", help="apply the display window stored in the files")
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")


def run(options: argparse.Namespace) -> int:
    """Prepare the files; returns 0, or 1 when some cannot be prepared."""
    from mdissect.probes.mammograms import Preparation

    preparation = Preparation(bits=options.bits, voi=options.voi)
    return report(prepare_vindr(options.path, options.output, options.split, preparation, options.workers))


@dataclass
class Outcome:
    """Counts of files made now and kept from an earlier run, and the originals that failed, with the reason.

    `output` is the folder that `load_probe("vindr", path=...)` takes.
    """

    output: Path
    made: int = 0
    kept: int = 0
    failed: list[str] = field(default_factory=list)


def prepare_vindr(
    path: str | Path | None = None,
    output: str | Path | None = None,
    split: str = "all",
    preparation: Preparation | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Outcome:
    """Write ``images_png/<study_id>/<image_id>.png`` for the DICOM files of VinDr-Mammo.

    `path` has the tables and ``images/`` (default: ``vindr-mammo`` in the data folder); tables are copied to another
    `output`. `split` is "all" (needs no tables), "test" or "training"; `preparation` is by default as published; `workers`
    are processes, by default one per core.
    Files made before from the same original in the same way are kept, so that an interrupted run resumes; each is written
    completely or not at all. Files written by others, such as published ones, are never replaced: FileExistsError.
    """
    from mdissect.probes import dataset_folder
    from mdissect.probes.mammograms import RELEASED
    from mdissect.probes.mammograms.vindr import FOLDER, TREES, find_tree, of_split
    from mdissect.probes.mammograms.vindr_tables import read_annotations

    if workers is not None:
        whole_number("workers", workers, 1)
    root = dataset_folder(path, FOLDER)
    tree = find_tree(root, "dicom")
    places = list(tree.files)
    if split != "all":
        images = of_split(read_annotations(root).images, split)
        wanted = set(images["study_id"] + "/" + images.index)
        places = [place for place in places if place in wanted]
    outcome = Outcome(root if output is None else some_path("output", output))
    check_writable(outcome.output, "output (--output) names another folder")
    _copy_tables(root, outcome.output)
    pairs = [(tree.folder / tree.relative_path(place), outcome.output / TREES["png"][0] / f"{place}.png") for place in places]
    for became, problem in _prepared(pairs, preparation or RELEASED, workers, progress):
        if became == "failed":
            outcome.failed.append(problem)
        outcome.made += became == "made"
        outcome.kept += became == "kept"
    outcome.failed.sort()
    return outcome


def report(outcome: Outcome) -> int:
    """Print how many images were prepared, kept and failed; returns 0, or 1 when some could not be prepared."""
    print(f"{outcome.output}: {outcome.made} images prepared, {outcome.kept} already there, {len(outcome.failed)} failed")
    for problem in outcome.failed:
        print(f"  {problem}")
    return 1 if outcome.failed else 0


def _copy_tables(root: Path, output: Path) -> None:
    from mdissect.probes.mammograms.vindr_tables import BREASTS, FINDINGS, FOLDS

    output.mkdir(parents=True, exist_ok=True)
    for name in (BREASTS, FINDINGS, FOLDS):
        if (root / name).is_file() and output.resolve() != root.resolve():
            write_atomically(output / name, (root / name).read_bytes())


def _prepared(
    pairs: list[tuple[Path, Path]], preparation: Preparation, workers: int | None, progress: bool
) -> Iterator[tuple[str, str]]:
    """Outcome of each original (`prepare_file`), in the order in which they finish."""
    import joblib
    from tqdm.auto import tqdm

    from mdissect.probes.mammograms.files import prepare_file

    pool = joblib.Parallel(n_jobs=workers or joblib.cpu_count(), return_as="generator_unordered")
    jobs = (joblib.delayed(prepare_file)(original, target, preparation) for original, target in pairs)
    yield from tqdm(pool(jobs), "preparing", len(pairs), unit="image", disable=not progress)
