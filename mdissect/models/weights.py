"""Locations of weights from other sources, and what to download if they are missing.

Nothing here ships with mdissect. Each set of files has a place under `data/weights/`; the network is used only when asked.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mdissect.arguments import some_path, true_or_false
from mdissect.models.checkpoints import CheckpointError, is_safetensors, read_head
from mdissect.models.reach import out_of_reach
from mdissect.paths import data_dir

WEIGHT_ENDINGS = (".tar", ".pth", ".pt", ".bin", ".safetensors")


class MissingWeightsError(CheckpointError):
    """Files that are missing or unusable, all of them, each with where to get it and where to put it."""


@dataclass(frozen=True)
class WeightFile:
    """One file of a set: its possible names (it is fetched under the first), its path in the repository, its size."""

    names: tuple[str, ...]
    source: str
    size: str


@dataclass(frozen=True)
class WeightSet:
    """Files that belong together: given as the file if it is one, else as their folder."""

    what: str
    repository: str  # on the Hugging Face hub; empty where they are not published
    folder: str  # under data/weights/
    files: tuple[WeightFile, ...]
    licence: str
    access: str
    revision: str = "main"
    fetchable: bool = True  # one by one, as they are

    @property
    def place(self) -> Path:
        """The folder that the files belong in."""
        return data_dir() / "weights" / self.folder


# Where a set of files is (or would be), and what is wrong with which of its files.
Look = tuple[Path, dict[WeightFile, str]]


def _mammo_clip(name: str, size: str, what: str) -> WeightSet:
    return WeightSet(
        what=what,
        repository="shawn24/Mammo-CLIP",
        folder="mammo-clip",
        files=(WeightFile((name,), f"Pre-trained-checkpoints/{name}", size),),
        licence="CC BY-NC-SA 4.0",
        access="open download",
    )


def _classifier(task: str, label: str) -> WeightSet:
    archive = "Downstream-checkpoints/Downstream_evalualtion_b5_fold0.zip"  # spelled so in the repository
    return WeightSet(
        what=f"Mammo-CLIP B5 fine-tuned for {label}",
        repository="shawn24/Mammo-CLIP",
        folder="mammo-classifier",
        files=(WeightFile((f"{task}.pth",), archive, "849 MB, all tasks"),),
        licence="CC BY-NC-SA 4.0",
        access=f"open download; unpack it and copy the .pth for {label} from classification/Models/Classifier/fine_tune/",
        fetchable=False,
    )


_BERT_TEXTS = (
    WeightFile(("config.json",), "config.json", "385 bytes"),
    WeightFile(("vocab.txt", "tokenizer.json"), "vocab.txt", "213 kB"),
)


def _bert(what: str, files: tuple[WeightFile, ...]) -> WeightSet:
    return WeightSet(what, "emilyalsentzer/Bio_ClinicalBERT", "bio-clinical-bert", files, "MIT", "open download")


MANIFEST: Mapping[str, WeightSet] = {
    "mammo-clip/b5": _mammo_clip("b5-model-best-epoch-7.tar", "1.65 GB", "Mammo-CLIP with EfficientNet-B5"),
    "mammo-clip/b2": _mammo_clip("b2-model-best-epoch-10.tar", "1.4 GB", "Mammo-CLIP with EfficientNet-B2"),
    "mammo-classifier/density": _classifier("density", "density"),
    "mammo-classifier/mass": _classifier("mass", "mass"),
    "mammo-classifier/calcification": _classifier("calcification", "suspicious calcification"),
    "mammo-classifier/cancer": _classifier("cancer", "cancer (RSNA)"),
    "mammo-classifier/birads": WeightSet(
        what="Mammo-CLIP B5 fine-tuned for the BI-RADS category",
        repository="",
        folder="mammo-classifier",
        files=(WeightFile(("birads.pth",), "", "about 120 MB"),),
        licence="that of Mammo-CLIP",
        access="not published: fine-tune Mammo-CLIP on the BI-RADS categories of VinDr-Mammo, or ask the study's authors",
        fetchable=False,
    ),
    "bio-clinical-bert": _bert("BioClinicalBERT's configuration and vocabulary", _BERT_TEXTS),
    "bio-clinical-bert/tower": _bert(
        "BioClinicalBERT",
        (*_BERT_TEXTS, WeightFile(("pytorch_model.bin", "model.safetensors"), "pytorch_model.bin", "436 MB")),
    ),
    "imagenet-b5": WeightSet(
        what="EfficientNet-B5 trained on ImageNet",
        repository="timm/tf_efficientnet_b5.aa_in1k",
        folder="imagenet",
        files=(WeightFile(("tf_efficientnet_b5.aa_in1k.safetensors",), "model.safetensors", "122 MB"),),
        licence="Apache 2.0",
        access="open download",
    ),
    "clip": WeightSet(
        what="CLIP ViT-B/16",
        repository="openai/clip-vit-base-patch16",
        folder="clip-vit-base-patch16",
        files=(
            WeightFile(("config.json",), "config.json", "4 kB"),
            WeightFile(("preprocessor_config.json",), "preprocessor_config.json", "316 bytes"),
            WeightFile(("tokenizer.json", "vocab.json"), "tokenizer.json", "2.2 MB"),
            WeightFile(("pytorch_model.bin", "model.safetensors"), "pytorch_model.bin", "599 MB"),
        ),
        licence="MIT",
        access="open download",
    ),
}


def locate(wanted: Mapping[str, "str | Path | None"], download: bool = False) -> dict[str, Path]:
    """Find sets of files of `MANIFEST`: where the caller says, else under `data/weights/`, else (if asked) on the hub.

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


def _look(role: str, given: "str | Path | None") -> Look:
    """Look for a set, under `data/weights/` or where the caller says."""
    known = MANIFEST[role]
    place = known.place if given is None else some_path(f"files of {role}", given)
    if given is not None and not place.is_dir():
        fault = _fault(place)
        if len(known.files) > 1:
            fault = f"the given folder {place} {'is not a folder' if place.exists() else 'does not exist'}"
        return place, {} if fault is None else dict.fromkeys(known.files, fault)
    paths = {
        file: next((place / name for name in file.names if (place / name).exists()), place / file.names[0])
        for file in known.files
    }
    faulty = {file: fault for file, path in paths.items() if (fault := _fault(path)) is not None}
    return place if len(paths) > 1 else next(iter(paths.values())), faulty


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
