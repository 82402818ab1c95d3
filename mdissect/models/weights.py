"""Locations of weights from other sources, and what to download if they are missing.

Nothing here ships with mdissect. Each set of files has a place under `data/weights/`, or lies in the Hugging Face hub's cache
on this machine; the network is used only when asked.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from mdissect.arguments import some_path, true_or_false
from mdissect.models.checkpoints import CheckpointError, is_safetensors, read_head
from mdissect.models.manifest import MANIFEST, WeightFile, WeightSet
from mdissect.models.reach import out_of_reach

WEIGHT_ENDINGS = (".tar", ".pth", ".pt", ".bin", ".safetensors")


class MissingWeightsError(CheckpointError):
    """Files that are missing or unusable, all of them, each with where to get it and where to put it."""


# Where a set of files is (or would be), and what is wrong with which of its files.
Look = tuple[Path, dict[WeightFile, str]]


def locate(wanted: Mapping[str, "str | Path | None"], download: bool = False) -> dict[str, Path]:
    """Find sets of files: where the caller says, under `data/weights/`, in the hub's cache, or (if asked) on the hub.

    A path that is given is taken and nothing else is tried: the file itself, or the folder with the files. No connection is
    made unless `download`; one MissingWeightsError lists all files that are missing or unusable, within seconds where the hub
    is out of reach. Gives the file of each role, or for sets of several files their folder.
    """
    true_or_false("download", download)
    looks = {role: _look(role, given) for role, given in wanted.items()}
    fetchable = [role for role, (_, faulty) in looks.items() if faulty and wanted[role] is None and MANIFEST[role].fetchable]
    if download and fetchable:
        obstacle = out_of_reach()
        for role in fetchable:
            looks[role] = _fetch(role, looks[role][1], obstacle)
    reported = [
        _line(MANIFEST[role], place, file, fault) for role, (place, faulty) in looks.items() for file, fault in faulty.items()
    ]
    if reported:
        lines = "\n".join(f"  {i}. {line}" for i, line in enumerate(reported, start=1))
        advice = "" if download else "; download=True fetches what can be fetched"
        raise MissingWeightsError(f"weights are missing or unusable:\n{lines}\nPut them there or give their path{advice}.")
    return {role: place for role, (place, _) in looks.items()}


def whereabouts(role: str, given: "str | Path | None" = None) -> tuple[bool, str]:
    """Whether a set of files is there (found as by `locate`, without the network), and in one line where, or what to do.

    >>> whereabouts("clip", "/data/clip")
    (True, 'found at /data/clip')
    """
    known = MANIFEST[role]
    place, faulty = _look(role, given)
    if not faulty:
        return True, f"found at {place}"
    faults = [fault for fault in faulty.values() if not fault.startswith("missing")]
    if faults or (given is not None and not place.is_dir()):
        return False, next(iter(faults or faulty.values()))
    folder = place if len(known.files) > 1 else place.parent
    names, sources = ", ".join(file.names[0] for file in faulty), ", ".join(file.source for file in faulty)
    advice = (
        f"get {sources} of {known.repository} on the Hugging Face hub ({known.access})" if known.repository else known.access
    )
    renamed = ", and rename it to this" if sources == "model.safetensors" != names else ""
    return False, f"no {names} in {folder}; {advice}{renamed}"


def weights_in(folder: Path, *names: str) -> Path:
    """The first of these files that a folder has."""
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(f"{folder} holds none of {', '.join(names)}")
    return path


def locate_model(family: str, name: str, given: "str | Path | None", download: bool = False) -> Path:
    """The folder of a model of a family that has many: the given one, that of a repository by its name, or the usual one.

    >>> locate_model("clip", "flaviagiammarino/pubmed-clip-vit-base-patch32", None)      # doctest: +SKIP

    A repository that `MANIFEST` does not list is looked for in the hub's cache alone. ValueError for a name that is none of a
    repository, or a name and a folder at once; MissingWeightsError as `locate`.
    """
    if not name:
        return locate({family: given}, download)[family]
    if given is not None:
        raise ValueError(f"path={str(given)!r} and the name {name!r} are both given: leave one of them out")
    if name.count("/") != 1 or not all(name.split("/")):
        raise ValueError(
            f"'{family}/{name}' is unknown: give path=<the model's folder>, or a repository of the Hugging Face hub, "
            f"as in '{family}/{MANIFEST[family].repository}'"
        )
    listed = [role for role, known in MANIFEST.items() if role.split("/")[0] == family and known.repository == name]
    if listed:
        return locate({listed[0]: None}, download)[listed[0]]
    look = _cached(replace(MANIFEST[family], what=name, repository=name, folder=""), complete=False)
    if look is None:
        names = ", ".join(" or ".join(file.names[:2]) for file in MANIFEST[family].files if not file.optional)
        raise MissingWeightsError(
            f"{name} with {names} is not in the Hugging Face hub's cache on this machine: fetch it where there is a network "
            f"(hf download {name}), or give path=<its folder>"
        )
    if look[1]:
        raise MissingWeightsError(f"{name} in the Hugging Face hub's cache is not usable: {'; '.join(look[1].values())}")
    return look[0]


def _look(role: str, given: "str | Path | None") -> Look:
    """Look for a set, under `data/weights/` and in the hub's cache, or where the caller says."""
    known = MANIFEST[role]
    place = known.place if given is None else some_path(f"files of {role}", given)
    if given is not None and not place.is_dir():
        fault = _fault(place)
        if len(known.files) > 1:
            fault = f"the given folder {place} {'is not a folder' if place.exists() else 'does not exist'}"
        return place, {} if fault is None else dict.fromkeys(known.files, fault)
    found = _look_in(place, known, complete=given is None)
    nothing_there = len(found[1]) == len(known.files) and all(fault.startswith("missing") for fault in found[1].values())
    return (_cached(known) if given is None and nothing_there else None) or found


def _look_in(place: Path, known: WeightSet, complete: bool) -> Look:
    """Look for a set in a folder; not `complete`: without its optional files."""
    paths = {
        file: next((place / name for name in file.names if (place / name).exists()), place / file.names[0])
        for file in known.files
    }
    faulty = {file: fault for file, path in paths.items() if (fault := _fault(path)) is not None}
    if not complete:
        faulty = {file: fault for file, fault in faulty.items() if not (file.optional and fault.startswith("missing"))}
    return place if len(paths) > 1 else next(iter(paths.values())), faulty


def _cached(known: WeightSet, complete: bool = True) -> Look | None:
    """Look for a set in the hub's cache on this machine; None where a file that is needed is not there."""
    if not known.repository or not known.fetchable:
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    several, folders = len(known.files) > 1, set()
    for file in known.files:
        names = dict.fromkeys((file.source, *file.names))
        try:
            paths = [try_to_load_from_cache(known.repository, name, revision=known.revision) for name in names]
        except HFValidationError as error:
            raise ValueError(f"{known.repository!r} is no name of a repository on the Hugging Face hub: {error}") from error
        path = next((Path(path) for path in paths if isinstance(path, str)), None)
        if not several:
            return None if path is None else (path, {} if (fault := _fault(path)) is None else {file: fault})
        if path is None and (complete or not file.optional):
            return None
        folders |= {path.parent} if path else set()
    return _look_in(folders.pop(), known, complete)


def _fault(path: Path) -> str | None:
    """A visible problem of a file, without reading all of it; None if there is none."""
    if not path.is_file():
        return f"{path} is not a regular file" if path.exists() else f"missing at {path}"
    try:
        if path.suffix in WEIGHT_ENDINGS:
            is_safetensors(path, thorough=False)
        else:
            read_head(path)
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
    except CheckpointError as error:
        return str(error)
    except (ValueError, RecursionError) as error:
        return f"{path} is not valid JSON ({error})"
    return None


def _line(known: WeightSet, place: Path, file: WeightFile, fault: str) -> str:
    """One line about a file: what it is, what is wrong, where to get it, where to put it."""
    other = f" (or {', '.join(file.names[1:])})" if file.names[1:] else ""
    origin = f"{file.source} of {known.repository} (revision {known.revision})" if known.repository else "no repository"
    goal = place / file.names[0] if len(known.files) > 1 else place
    return (
        f"{file.names[0]}{other}, {known.what}: {fault}. Source: {origin}, {file.size}, licence {known.licence}, "
        f"{known.access}. Destination: {goal}"
    )


def _fetch(role: str, files: Iterable[WeightFile], obstacle: str | None) -> Look:
    """Download files of a set to their places, unless there is an obstacle, and look again."""
    known = MANIFEST[role]
    reasons = {}
    for file in files:
        if obstacle:
            reasons[file] = f", and {obstacle}"
        elif reason := _download(known, file):
            reasons[file] = f", and its download failed ({reason})"
    place, faulty = _look(role, None)
    return place, {file: fault + reasons.get(file, "") for file, fault in faulty.items()}


def _download(known: WeightSet, file: WeightFile) -> str | None:
    """Download one file to its place; why that failed, or None."""
    from huggingface_hub import hf_hub_download

    arriving = known.place / ".arriving"
    try:
        arriving.mkdir(parents=True, exist_ok=True)
        path = hf_hub_download(known.repository, file.source, revision=known.revision, local_dir=arriving, etag_timeout=10)
        os.replace(path, known.place / file.names[0])
    except Exception as error:  # of the hub, of its network library or of the disk; all of them end in one message
        return next(iter(str(error).splitlines()), type(error).__name__)
    shutil.rmtree(arriving, ignore_errors=True)
    return None
