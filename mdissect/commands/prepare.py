"""``python -m mdissect prepare folder --path IN --output OUT``: decode images once, into PNG files that are read fast.

Of any probe on disk; of VinDr-Mammo into its own tree of folders, all others into a folder that the folder probe reads.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mdissect.arguments import some_path, whole_number
from mdissect.files import write_atomically
from mdissect.paths import check_writable

if TYPE_CHECKING:
    from mdissect.probes.mammograms import Preparation
    from mdissect.probes.preparing import Outcome

GENERATED = ("phantom", "natural")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("probe", help="folder (your own images), vindr, rsna, cbis-ddsm, ...: any probe that is read from disk")
    parser.add_argument("--path", help="the folder with the images and tables (default: the probe's own in the data folder)")
    parser.add_argument("--output", help="the folder for the prepared images and table (vindr: the same folder by default)")
    parser.add_argument("--preparation", choices=["released", "none"], help="cut out the breast and scale it to 1520 x 912, "
                        "or whole images as stored (default: as the probe does without it; folder: none)")  # fmt: skip
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="as --preparation released, at another size")
    parser.add_argument("--bits", type=int, help="of prepared images: 8 (default, as published) or 16")
    parser.add_argument("--voi", action="store_true", help="apply the display window stored in the DICOM files")
    parser.add_argument("--keep-ids", action="store_true", help="write the ids of patients, not pseudonyms")
    parser.add_argument("--split", help="of data sets that have one: test, training, ... (vindr: all by default)")
    parser.add_argument(
        "--probe-set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", dest="probe_settings",
        help="other options of the probe: table=labels.csv id_column=file",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, help="processes (default: one per core)")


def run(options: argparse.Namespace) -> int:
    """Prepare the images; returns 0, or 1 when some cannot be prepared."""
    if options.probe == "vindr":
        return report(_run_vindr(options))
    return report(_run_any(options))


def _run_vindr(options: argparse.Namespace) -> Outcome:
    from mdissect.probes.mammograms import Preparation

    if options.preparation == "none" or options.keep_ids or options.probe_settings:
        raise ValueError("vindr is prepared into its own tree, without --preparation none, --keep-ids and --probe-set")
    fields = {name: value for name in ("size", "bits") if (value := getattr(options, name)) is not None}
    preparation = Preparation(voi=options.voi, **fields)
    return prepare_vindr(options.path, options.output, options.split or "all", preparation, options.workers)


def _run_any(options: argparse.Namespace) -> Outcome:
    from mdissect.probes import load_probe
    from mdissect.probes.preparing import prepare_probe

    if options.probe in GENERATED:
        raise ValueError(
            f"the probe {options.probe!r} is generated and kept in a cache of its own; there is nothing to prepare"
        )
    if options.output is None:
        raise ValueError("--output is missing: the folder for the prepared images")
    output = some_path("--output", options.output)
    given = _probe_options(options)
    if options.path is not None:
        _check_apart(some_path("--path", options.path), output)
    probe = load_probe(options.probe, **given)
    named = {name: value for name, value in given.items() if name != "path"}
    how = {"probe": options.probe, "options": {name: str(value) for name, value in named.items()}}
    return prepare_probe(probe, output, how, options.keep_ids, options.workers)


def _probe_options(options: argparse.Namespace) -> dict:
    """The options for the probe's loader; ValueError or TypeError for those that it does not take."""
    from mdissect.commands.settings import parse_settings
    from mdissect.probes import probe_options
    from mdissect.probes.mammograms import Preparation

    known = probe_options(options.probe)
    given = parse_settings(options.probe_settings, "--probe-set")
    if options.path is not None:
        given["path"] = options.path
    fields = {name: value for name in ("size", "bits") if (value := getattr(options, name)) is not None}
    prepares = fields or options.preparation
    if prepares and known and "preparation" not in known:
        raise ValueError(f"the probe {options.probe!r} has no preparation: leave out --preparation, --size and --bits")
    if options.preparation == "none":
        if fields or options.voi:
            raise ValueError("--preparation none leaves images as they are: leave out --size, --bits and --voi")
        given["preparation"] = None
    elif prepares or (options.voi and options.probe != "folder"):
        given["preparation"] = Preparation(voi=options.voi, **fields)
    elif options.voi:
        given["voi"] = True
    if options.split is not None:
        given["split"] = options.split
    if options.keep_ids and "keep_ids" in known:
        given["keep_ids"] = True
    return given


def _check_apart(path: Path, output: Path) -> None:
    """Raise ValueError for an output within the folder that is read, where it would be taken for images."""
    source, target = path.resolve(), output.resolve()
    if target == source or source in target.parents:
        raise ValueError(
            f"--output={output} lies in --path={path}: its images would be read as originals; name a folder elsewhere"
        )


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
    from mdissect.probes.preparing import Outcome

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
        outcome.count(became, problem)
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
