"""Images named on the command line: files and folders, or a probe by name; and how a model runs over them."""

import argparse
import os
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from mdissect.arguments import counted, shown, some_path
from mdissect.commands.settings import parse_settings
from mdissect.paths import check_writable, store_dir

if TYPE_CHECKING:
    from mdissect.predictions import Predictions
    from mdissect.probes import Probe


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add arguments for images, for the pass over them and for the output."""
    pairs = {"nargs": "+", "action": "extend", "default": [], "metavar": "NAME=VALUE"}
    parser.add_argument("images", nargs="*", metavar="IMAGES", help="image files and folders, in place of --probe")
    parser.add_argument("--probe", help="images by name, such as vindr, phantom or folder")
    parser.add_argument("--path", help="where the probe's files are (default: its usual folder in the data folder)")
    parser.add_argument(
        "--probe-set", **pairs, dest="probe_settings",
        help="options of the probe, or of the folder: table=labels.csv id_column=file on_error=skip",
    )  # fmt: skip
    parser.add_argument(
        "--truth", nargs="+", action="extend", metavar="COLUMN",
        help="the table's column with the truth, of several findings FINDING=COLUMN: adds AUC with interval",
    )  # fmt: skip
    parser.add_argument("--output", required=True, help="the CSV file of the images; more files are written beside it")
    parser.add_argument("--keep-ids", action="store_true", help="write patients' ids as they are, not pseudonyms")
    parser.add_argument("--store", help="where results are kept, so that a run that was stopped resumes (default: the store)")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, mps")
    parser.add_argument("--batch-size", type=int, help="images in the model at a time (default: by the size of the images)")
    parser.add_argument("--workers", type=int, help="processes that read images (default: by the number of cores)")


def images_of(options: argparse.Namespace) -> "Probe":
    """The probe of the images that were asked for."""
    from mdissect.probes import load_probe

    if bool(options.images) == (options.probe is not None):
        raise ValueError("give images (files or folders) or --probe NAME: one of the two")
    settings = parse_settings(options.probe_settings, "--probe-set")
    if options.path is not None:
        if options.images:
            raise ValueError("--path belongs to --probe; images are given by their own paths")
        settings["path"] = options.path
    if options.keep_ids and options.probe in (None, "folder"):
        settings.setdefault("keep_ids", True)  # of DICOM files, which the folder probe calls by pseudonyms
    return load_probe(options.probe, **settings) if options.probe is not None else _files(options.images, settings)


def truth_of(options: argparse.Namespace) -> dict[str, str] | str | None:
    """Columns by finding; one column alone as it is."""
    given = options.truth
    if not given:
        return None
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    found: dict[str, str] = {}
    for one in given:
        finding, _, column = (part.strip() for part in one.rpartition("="))
        if not finding or not column:
            raise ValueError(f"--truth {shown(one)} is not FINDING=COLUMN, such as mass=Mass")
        if finding in found:
            raise ValueError(f"--truth names {finding!r} twice: {found[finding]} and {column}")
        found[finding] = column
    return found


def running(options: argparse.Namespace) -> dict:
    """Store, device and options of the pass, as `predict` and `zero_shot` take them."""
    from mdissect.embed import PassOptions
    from mdissect.models import resolve_device

    resolve_device(options.device)  # raises now, not after the models are loaded
    store = store_dir() if options.store is None else some_path("--store", options.store)
    return {"store": store, "device": options.device, "options": PassOptions(options.batch_size, options.workers)}


def checked_output(options: argparse.Namespace) -> Path:
    """The CSV file to be written; an error before anything runs."""
    from mdissect.predictions.result import csv_path

    path = csv_path("--output", options.output)
    check_writable(path.parent, "--output names another file")
    return path


def report(found: "Predictions", path: Path, keep_ids: bool) -> None:
    """Save predictions and print what they are."""
    files = found.save(path, keep_ids)
    print("\n".join([*found.summary(), f"written to {path.parent}: {', '.join(file.name for file in files)}"]))


def _files(images: list[str], settings: dict) -> "Probe":
    """A probe of files and folders, in the order given; ids are paths within a folder, or the files' common one."""
    from mdissect.probes import load_probe

    paths = [some_path("IMAGES", image) for image in images]
    if absent := [str(path) for path in paths if not path.exists()]:
        raise FileNotFoundError(f"{counted(absent, 'image')} not there: neither file nor folder; is it the right path?")
    parts = []
    for folder, together in groupby(paths, key=Path.is_dir):
        if folder:
            parts += [load_probe("folder", path=path, **settings) for path in together]
            continue
        files = [path.absolute() for path in together]
        root = Path(os.path.commonpath([file.parent for file in files]))
        if root == Path(root.anchor):
            raise ValueError(f"the files have no folder in common (such as {files[0]}); predict them in several runs")
        parts.append(load_probe("folder", path=root, files=[file.relative_to(root).as_posix() for file in files], **settings))
    probe = parts[0]
    for part in parts[1:]:
        probe += part
    return probe
