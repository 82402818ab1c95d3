"""``python -m mdissect doctor``: what is installed, which device, which data and weights are found, what to do next."""

import argparse
import importlib.metadata
import platform
import re
import shutil
import textwrap
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mdissect import __version__
from mdissect.paths import FIGURES, STORE, check_writable, data_dir, figures_dir, notebooks_dir, store_dir

if TYPE_CHECKING:
    from mdissect.study import ProbeSpec, Profile

DEMO_MODELS = ("mammo", "clip", "general")  # in the order in which they are trained
LITTLE_SPACE = 10**9  # bytes: the drawn images and the store of the demo take a tenth of it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command takes no arguments."""


def run(options: argparse.Namespace) -> int:
    """Report; returns 0, or 1 when something is missing."""
    return report()


def report() -> int:
    """Print the state of this installation; returns 0 when the demo can run, else 1."""
    steps: list[str] = []
    print(f"mdissect {__version__}, Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for part in (_libraries, _device, _concepts, _models, _notebooks, _disk):
        print("\n".join(_told(part, steps)))
    print("next:" if steps else "next: nothing is missing for the demo; `make figures` or `make lab`")
    for step in dict.fromkeys(steps):
        print(f"  - {step}")
    print("\n".join(_told(_paper, [])))
    return 1 if steps else 0


def _told(part: Callable[[list[str]], list[str]], steps: list[str]) -> list[str]:
    """The lines of a part of the report, or why it cannot be had: whatever is broken, the other parts are wanted."""
    try:
        return part(steps)
    except ImportError as error:
        steps.append("mend the installation (pip install -e . brings all libraries), then ask again")
        return [f"{part.__name__.strip('_')}: unknown, as {_reason(error)}"]
    except Exception as error:
        steps.append(f"mend what keeps the {part.__name__.strip('_')} from being read: {_reason(error)}")
        return [f"{part.__name__.strip('_')}: unknown: {_reason(error)}"]


def _reason(error: Exception) -> str:
    """An error in one line; one that says little by itself with its type."""
    said = " ".join(str(error).split())
    return said if isinstance(error, (ValueError, OSError, ImportError)) and said else f"{type(error).__name__} {said}".strip()


def _libraries(steps: list[str]) -> list[str]:
    found, missing = [], []
    for name in _requirements():
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        steps.append(f"install {', '.join(missing)} (pip install -e . brings all libraries)")
    lines = textwrap.wrap(f"libraries: {', '.join(found)}", 110, subsequent_indent="  ", break_on_hyphens=False)
    return lines + ([f"  missing: {', '.join(missing)}"] if missing else [])


def _requirements() -> list[str]:
    """Names of the libraries that mdissect needs: as installed, or as its checkout's pyproject.toml has them."""
    try:
        lines = importlib.metadata.requires("mdissect") or []
    except importlib.metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        lines = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    return [re.match(r"[\w.-]+", line).group() for line in lines if "extra ==" not in line]


def _device(steps: list[str]) -> list[str]:
    import torch

    from mdissect.models import resolve_device

    device = resolve_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return [f"device: {device.type} ({name})"]


def _concepts(steps: list[str]) -> list[str]:
    from mdissect.concepts import load_concepts

    try:
        return [f"concepts: mammography, {len(load_concepts('mammography'))}"]
    except Exception as error:  # damage of any kind
        steps.append(f"restore data/concepts/mammography.csv: {_reason(error)}")
        return ["concepts: mammography missing or damaged"]


def _models(steps: list[str]) -> list[str]:
    from mdissect.models import load_dissector, load_target

    lines, broken = [], []
    for name in DEMO_MODELS:
        try:
            model = load_dissector(f"demo/{name}")
            aligned = "aligned" if model.aligned else "not aligned"
            lines.append(f"demo/{name}: found, weights {model.image_fingerprint[:12]}, {aligned}")
        except Exception as error:  # damage of any kind
            lines.append(f"demo/{name}: not usable: {_reason(error)}")
            broken.append(name)
    if broken:
        steps.append(f"restore data/demo, or train the models: python -m mdissect pretrain {' '.join(broken)}")
    for name in _classifiers():
        try:
            lines.append(f"demo/{name}: found, weights {load_target(f'demo/{name}').fingerprint[:12]}")
        except Exception as error:
            lines.append(f"demo/{name}: not usable: {_reason(error)}")
            steps.append(f"restore data/demo/{name}, or make it: python -m mdissect pretrain {name}")
    return lines


def _classifiers() -> list[str]:
    """The demo classifiers that are there, C1 to C4."""
    try:
        return sorted(path.parent.name for path in (data_dir() / "demo").glob("C?/config.json"))
    except OSError:
        return []


def _notebooks(steps: list[str]) -> list[str]:
    from mdissect.commands.figures import find_notebooks

    try:
        names = [path.stem for path in find_notebooks(notebooks_dir())]
    except (OSError, ValueError) as error:
        steps.append("run mdissect from its checkout, which has the notebooks")
        return [f"notebooks: {error}"]
    return [f"notebooks: {', '.join(names)}"]


def _disk(steps: list[str]) -> list[str]:
    """Sizes of what is made again when deleted, the room that is left, and whether store and figures can be written."""
    lines = []
    try:
        store, cache = store_dir(), data_dir() / "demo" / "cache"
        free = shutil.disk_usage(data_dir()).free
        lines += [f"disk: store {_size(store)}, cache of drawn images {_size(cache)}, {free / 1e9:.1f} GB free at {data_dir()}"]
        if free < LITTLE_SPACE:
            steps.append(f"free some disk space; {store} and {cache} may be deleted, they are made again")
    except OSError as error:
        lines.append(f"disk: {error}")
        steps.append(f"mend the place: {error}")
    for variable, place in ((STORE, store_dir), (FIGURES, figures_dir)):
        try:
            check_writable(place(), f"the environment variable {variable} names another folder")
        except OSError as error:
            lines.append(f"  {error}")
            steps.append(f"mend the place: {error}")
    return lines


def _paper(steps: list[str]) -> list[str]:
    """What the paper profile finds of its concepts, images and weights; nothing of it is needed for the demo."""
    from mdissect.study import PAPER, locations_file, with_local_paths

    try:
        profile, where = with_local_paths(PAPER), locations_file() or f"no paths.toml: the usual places under {data_dir()}"
    except (OSError, ValueError) as error:
        return [
            f"paper profile: {error}",
            "next, for the paper profile alone: mend that; data/README.md shows what it may hold",
        ]
    found = {"concepts": _known_concepts(profile.concepts)}
    found |= {f"probe {name}": _found(spec) for name, spec in profile.probes.items()}
    found |= _weights(profile)
    missing = [name for name, (there, _) in found.items() if not there]
    lines = [f"paper profile ({where}):"] + [f"  {name}: {state}" for name, (_, state) in found.items()]
    if not missing:
        return [*lines, "next: nothing is missing for the paper profile; python -m mdissect figures --profile paper"]
    return [
        *lines,
        f"next, for the paper profile alone: {len(missing)} of {len(found)} are missing. data/README.md says how to get",
        "  them, and their places; other places are named in data/paths.toml, where download = true has open weights fetched.",
        "  A notebook runs as soon as what its own setups need is there.",
    ]


def _known_concepts(name: str) -> tuple[bool, str]:
    from mdissect.concepts import load_concepts

    try:
        return True, f"{name}, {len(load_concepts(name))}"
    except Exception as error:  # damage of any kind
        return False, _reason(error)


def _weights(profile: "Profile") -> dict[str, tuple[bool, str]]:
    """For each set of files that the profile's models read: whether it is there, in words, and the setups that need it."""
    from mdissect.models import MANIFEST, whereabouts

    wanted: dict[tuple[str, str | None, bool], list[str]] = {}
    for name, setup in profile.setups.items():
        for spec, options, texts in (
            (setup.target, setup.target_options, False),
            (setup.dissector, setup.dissector_options, True),
        ):
            for role, option in _roles(spec, texts):
                fetched = bool(options.get("download")) and MANIFEST[role].fetchable and option not in options
                wanted.setdefault((role, options.get(option), fetched), []).append(name)
    order, found = list(MANIFEST), {}
    for key in sorted(wanted, key=lambda key: order.index(key[0])):
        role, given, fetched = key
        there, state = whereabouts(role, given)
        if fetched and not there:
            there, state = True, "not here yet, fetched from the Hugging Face hub when first used"
        found[f"weights {role}"] = there, f"{state} (for {', '.join(dict.fromkeys(wanted[key]))})"
    return found


def _roles(spec: str, texts: bool) -> list[tuple[str, str]]:
    """The sets of files that a model reads, as a dissector with those of its text tower, and the options that name them."""
    if spec == "clip":
        return [("clip", "path")]
    image, text = {
        "mammo-clip": ("mammo-clip/b5", "bio-clinical-bert"),
        "general": ("imagenet-b5", "bio-clinical-bert/tower"),
    }.get(spec, (spec, ""))
    return [(image, "checkpoint"), *([(text, "text_model")] if texts else [])]


def _found(spec: "ProbeSpec") -> tuple[bool, str]:
    """Whether a probe is there; its size and pixel values, or the first line of why it cannot be had."""
    from mdissect.probes import load_probe

    try:
        probe = load_probe(spec.spec, **spec.options)
        pixels = probe.intensity_summary(4).iloc[0]
    except Exception as error:  # damage of any kind
        return False, _reason(error)
    used = f"{pixels['min']:g} to {pixels['max']:g} ({pixels['bits']:g} bits), mean {pixels['mean']:.3g}"
    return True, f"{len(probe)} images, pixels {used}"


def _size(folder: Path) -> str:
    """Bytes in a folder, for people; "empty" where there is none."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # deleted just now by another process, or not ours to see
            total += path.stat().st_size if path.is_file() else 0
    return f"{total / 1e6:.1f} MB" if total else "empty"
