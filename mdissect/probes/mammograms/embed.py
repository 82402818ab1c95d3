"""The probe of EMBED, the Emory breast imaging data set: its files, or the study's images with implants and without."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from mdissect.arguments import counted, one_of, whole_number
from mdissect.probes import Probe, dataset_folder
from mdissect.probes.datasets import FOLDERS, MISSING, handle_missing, sampled
from mdissect.probes.image_files import SUFFIXES
from mdissect.probes.mammograms.embed_regions import MIRROR, EmbedFiles, place_regions
from mdissect.probes.mammograms.embed_tables import (
    CLINICAL,
    IMPLANT,
    METADATA,
    UNSHOWN,
    clinical_columns,
    find_table,
    read_breasts,
    read_files,
    read_list,
)
from mdissect.probes.mammograms.files import is_dicom
from mdissect.probes.mammograms.meanings import SHARED
from mdissect.probes.tree import files_below

FOLDER = FOLDERS["embed"]
# The study's images: as many with implants as without.
STUDY_IMAGES = 84


def load_embed(
    path: str | Path | None = None,
    subset: str | None = None,
    image_list: str | Path | None = None,
    images: str = "auto",
    missing: str = "raise",
    n_images: int | None = None,
    seed: int = 0,
    mirror_boxes: str = "auto",
) -> Probe:
    """A probe of EMBED; ids are file names, as the metadata table or the list has them.

    >>> load_embed("/data/embed", subset="implants").table["implant"]  # doctest: +SKIP

    Beside the shared columns (patient, laterality, view, density, birads, findings) the table has implant ("implant", "", or
    NaN where it is not known), exam, kind, special, manufacturer, mass_shape, mass_margin, mass_density,
    calcification_morphology and calcification_distribution. BI-RADS and findings are those of the exam's rows in the clinical
    table for the image's side (side B or none: both); the most abnormal assessment counts.

    Files are found by name anywhere below ``path``. PNG and other image files are taken as they are, DICOM files stretched
    to 16 bits. ``probe.boxes(i)`` has the regions that a radiologist marked, called "region of interest".

    Parameters
    ----------
    path : path, optional
        The folder with the images and, there or in ``tables/``, the metadata and clinical tables (also the reduced ones);
        default: ``embed`` in the data folder.
    subset : {None, "implants"}
        "implants" draws full 2D views, half of them with implants and half without: 42 + 42 as in the study, or
        ``n_images``. With ``image_list`` there is nothing to draw.
    image_list : path, optional
        The study's list of files (columns filename, Implant_type): the probe has these images, in this order.
    images : {"auto", "png", "dicom"}
        Which files to take; "auto" takes image files before DICOM files of the same image.
    missing : {"raise", "skip"}
        What becomes of images that are not on disk. "skip" lists them in ``probe.skipped``; for a drawn subset it draws from
        those on disk.
    n_images, seed : int
        Draw so many at random.
    mirror_boxes : {"auto", "yes", "no"}
        What becomes of regions that were marked on another kind of file: DICOM files with ROI_coords (or PNG_ROI_coords), image
        files with DCM_ROI_coords alone. Emory's converter to PNG mirrors some images, and regions seem to belong to the
        converted ones; this is not proved. "auto" mirrors the regions of just these images (PatientOrientation begins with
        "P"; without that tag, right breasts in CC, ML or MLO), and a note gives their number and the reason. "yes" mirrors
        all, "no" none.
    """
    one_of("mirror_boxes", mirror_boxes, MIRROR)
    one_of("subset", subset, (None, "implants"))
    one_of("images", images, ("auto", "png", "dicom"))
    one_of("missing", missing, MISSING)
    root = dataset_folder(path, FOLDER)
    files, notes = _named_files(root, image_list)
    files["file"] = _on_disk(root, files["paths"], images)
    if subset == "implants" and image_list is None:
        files, drawn = _draw_implants(files if missing == "raise" else files[files["file"] != ""], n_images, seed)
        notes, n_images = [*notes, drawn], None
    absent = files.index[files["file"] == ""].tolist()
    skipped = handle_missing(absent, len(files), missing, f"files of these names below {root}")
    files = files[files["file"] != ""]
    files = files.iloc[sampled(files.index.tolist(), n_images, seed)]
    table, unknown = _table(root, files)
    regions, mirrored = place_regions(root, files, mirror_boxes)
    source = EmbedFiles(root, files["file"].tolist(), regions)
    return Probe("embed", files.index.tolist(), [source], table=table, skipped=skipped, notes=notes + unknown + mirrored)


def _named_files(root: Path, image_list: str | Path | None) -> tuple[pd.DataFrame, list[str]]:
    """The rows of the metadata table, or those of the list with what the metadata know of them."""
    path = find_table(root, METADATA)
    if path is None and image_list is None:
        held = ", ".join(sorted(entry.name for entry in root.iterdir()))
        raise FileNotFoundError(
            f"neither {root} nor its tables/ holds {' or '.join(METADATA)}, and no image_list= was given; it holds {held}"
        )
    files, notes = (pd.DataFrame(), ["no metadata table: only implants are known"]) if path is None else read_files(path)
    if image_list is None:
        return files, notes
    listed, repeated = read_list(Path(image_list))
    rows = {_stem(name): row for row, names in enumerate(files.get("paths", ())) for name in names}
    known = [rows.get(_stem(entry), -1) for entry in listed.index]
    files = files.reset_index(drop=True).reindex(known).set_axis(listed.index, axis=0).assign(implant=listed["implant"])
    bare = [entry for entry, row in zip(listed.index, known, strict=True) if row < 0]
    notes += [f"{path.name}: no row for {counted(bare, 'image')}"] if bare and path else []
    for column, unknown in (("paths", ()), ("regions", None), ("dicom_regions", None), ("original", None)):
        cells = files.get(column, pd.Series(index=files.index, dtype=object))
        filled = [cell if isinstance(cell, list | tuple) else unknown for cell in cells]
        files[column] = pd.Series(filled, index=files.index, dtype=object)
    files["paths"] = listed["paths"] + files["paths"]
    return files, notes + repeated


def _on_disk(root: Path, names: pd.Series, images: str) -> list[str]:
    """The file of each image, relative to ``root``; "" where there is none, ValueError where several fit equally well.

    A file is known by its name without folders and suffix. Of several, image files go before DICOM files, then counts how many
    folders they share with what the tables call the file.
    """
    by_stem: dict[str, list[str]] = defaultdict(list)
    for file in files_below(root):
        if (images != "png" and is_dicom(file)) or (images != "dicom" and file.suffix.lower() in SUFFIXES):
            by_stem[file.stem].append(file.relative_to(root).as_posix())
    found = []
    for known in names:
        fitting = {path for name in known for path in by_stem.get(_stem(name), ())}
        ranks = {path: (is_dicom(path), -max(_shared_folders(path, name) for name in known)) for path in fitting}
        best = sorted(path for path in fitting if ranks[path] == min(ranks.values()))
        if len(best) > 1:
            raise ValueError(f"{root}: {known[0]} may be any of {counted(best, 'file')}; keep one of them")
        found.append(best[0] if best else "")
    return found


def _shared_folders(path: str, other: str) -> int:
    """How many folders, counted from their file names up, two paths have in common."""
    shared = 0
    for one, another in zip(_parts(path)[-2::-1], _parts(other)[-2::-1], strict=False):
        if one != another:
            break
        shared += 1
    return shared


def _draw_implants(files: pd.DataFrame, n_images: int | None, seed: int) -> tuple[pd.DataFrame, str]:
    """Full 2D views, half with implants and half without, and a sentence on the draw."""
    n_images = whole_number("n_images", STUDY_IMAGES if n_images is None else n_images, 2)
    if n_images % 2:
        raise ValueError(f"n_images={n_images} must be even: half of the images have implants")
    full = files[(files["kind"] == "2D") & ~files["special"] & files["view"].isin(("CC", "MLO"))]
    chosen: list[str] = []
    for kind, value in ((IMPLANT, "YES"), ("", "NO")):
        names = full.index[full["implant"] == kind].tolist()
        if len(names) < n_images // 2:
            raise ValueError(
                f"{n_images // 2} images are wanted of each kind, but only {len(names)} of {len(full)} full 2D views have "
                f"BreastImplantPresent {value}; lower n_images, or give image_list="
            )
        chosen += [names[place] for place in sampled(names, n_images // 2, seed)]
    half = f"{n_images // 2} + {n_images // 2}"
    return files.loc[chosen], f"drew {half} full 2D views with and without implants from {len(full)} (seed {seed})"


def _table(root: Path, files: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The probe's table, the shared columns first, and what is not known."""
    table, notes = files.drop(columns=["file", *UNSHOWN], errors="ignore"), []
    path = find_table(root, CLINICAL)
    if path is not None and "exam" in files:
        breasts = read_breasts(path, files["exam"].dropna())
        table = table.join(clinical_columns(files, breasts))
        keys = zip(files["exam"], files["laterality"], strict=True)
        bare = [name for name, key in zip(files.index, keys, strict=True) if key not in breasts]
        notes += [f"{path.name}: no row for the exam of {counted(bare, 'image')}"] if bare else []
    elif path is None:
        notes.append("no clinical table: density, BI-RADS and findings are not known")
    for column, unknown in zip(SHARED, (np.nan, "", "", "", np.nan, ""), strict=True):
        table[column] = table[column].fillna(unknown) if column in table else unknown
    with_implant = [_with(findings, implant) for findings, implant in zip(table["findings"], table["implant"], strict=True)]
    table["findings"] = with_implant
    return table[[*SHARED, *(column for column in table if column not in SHARED)]], notes


def _with(findings: str, implant: str) -> str:
    """Findings as text, and the implant among them."""
    names = [name for name in findings.split("; ") if name]
    return "; ".join([*names, IMPLANT] if implant == IMPLANT and IMPLANT not in names else names)


def _stem(name: str) -> str:
    return PurePosixPath(_parts(name)[-1]).stem if _parts(name) else ""


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path, which may be one of another system."""
    return PurePosixPath(name.replace("\\", "/")).parts
