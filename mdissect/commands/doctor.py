"""``python -m mdissect doctor``: what is installed, which device, which data and weights are found, what to do next."""

import argparse
import importlib.metadata
import platform
import re
import shutil
import sys
import textwrap
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mdissect import __version__
from mdissect.arguments import shown
from mdissect.paths import (
    FIGURES,
    STORE,
    check_writable,
    checkout,
    data_dir,
    data_dirs,
    existing,
    figures_dir,
    image_cache_dir,
    in_data,
    notebooks_dir,
    store_dir,
)

if TYPE_CHECKING:
    from mdissect.study import ProbeSpec, Profile

DEMO_MODELS = ("mammo", "clip", "general")  # in the order in which they are trained
LITTLE_SPACE = 10**9  # bytes: the generated images and the store of the demo take a tenth of it
WIDTHS = (20, 22, 26, 23)  # of the columns, in characters
WIDEST = sum(WIDTHS) + 3 * (len(WIDTHS) - 1)
MISSING = "missing"
NOT_ALIGNED = "its image and text towers are not aligned, as in the paper (no fault)"
UNUSABLE = "not usable"
RAY = ("ray", "pyarrow")  # libraries of passes on a cluster
PATH_ADVICE = "see data/README.md"
FURTHER = ("clip/pubmed", "siglip", "open_clip", "mammo-fm", "modernbert")  # sets of weights that no profile needs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--verify", action="store_true", help="compare all weights files with their SHA-256 when they were first used"
    )


def run(options: argparse.Namespace) -> int:
    """Report; returns 0, or 1 when something is missing, or with --verify changed."""
    return verify() if options.verify else report()


def verify() -> int:
    """Print whether the weights files that were used are unchanged; returns 0, or 1 where one changed or is gone."""
    from mdissect.models.first_use import record_file, verify_used

    found = verify_used()
    if not found:
        print(f"no weights file has been used yet ({record_file()})")
        return 0
    for path, problem in found:
        print(f"{path}: {problem or 'unchanged'}")
    wrong = sum(bool(problem) for _, problem in found)
    print(f"{len(found) - wrong} of {len(found)} weights files are unchanged since their first use ({record_file()})")
    return 1 if wrong else 0


class Row(NamedTuple):
    """A row of the report: a thing, its state, its place, and what to do where it is missing."""

    what: str
    state: str
    where: str = ""
    how: str = ""


def report() -> int:
    """Print the state of this installation; returns 0 when the demo can run, else 1."""
    steps, wanted = [], []
    print(f"mdissect {__version__}, Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    print(_data_folder())
    print("\nThe demo")
    rows = [row for part in (_libraries, _device, _ray, _concepts, _models, _notebooks, _disk) for row in _rows(part, steps)]
    print("\n".join(table(rows)))
    print(
        "next:"
        if steps
        else f"demo ready: run {'`make figures` or `make lab`' if checkout() else '`python -m mdissect figures`'}"
    )
    print("\n".join(_bullets(steps)), end="\n" if steps else "")
    print("\nThe paper profile: licensed data and weights, which the demo does not need")
    print("\n".join(table(_rows(_paper, wanted))))
    print("next, for the paper profile alone:" if wanted else "paper profile ready: python -m mdissect figures --profile paper")
    print("\n".join(_bullets(wanted)), end="\n" if wanted else "")
    print("\nFurther models that load by name, which neither needs (path= names other places)")
    print("\n".join(table(_rows(_further, []))))
    print("\nOther data sets that load_probe knows by name, which neither needs")
    print("\n".join(table(_rows(_data_sets, []))))
    return 1 if steps else 0


def table(rows: Sequence[Row]) -> list[str]:
    """The lines of a table of at most `WIDEST` columns, its cells wrapped."""
    lines = []
    for row in [Row("what", "state", "where", "how to get it"), *rows]:
        cells = [_Wrapper(width).wrap(_short(text)) or [""] for text, width in zip(row, WIDTHS, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            lines.append(" | ".join(part.ljust(width) for part, width in zip(parts, WIDTHS, strict=True)).rstrip(" |"))
        if row.what == "what":
            lines.append("-+-".join("-" * width for width in WIDTHS))
    return lines


def _bullets(steps: Sequence[str]) -> list[str]:
    wrapper = _Wrapper(WIDEST, initial_indent="  - ", subsequent_indent="    ")
    return [line for step in dict.fromkeys(steps) for line in wrapper.wrap(_short(step))]


class _Wrapper(textwrap.TextWrapper):
    """Wraps at spaces, and within long paths and names after a "/" or "_"."""

    wordsep_simple_re = re.compile(r"(\s+|(?<=[/_]))")

    def __init__(self, width: int, **options):
        super().__init__(width, break_on_hyphens=False, **options)


def _data_folder() -> str:
    try:
        return f"data folder (`data` below): {data_dir()}"
    except OSError as error:
        return f"data folder: {error}"


def _short(text: str) -> str:
    """A text in which the data folder is called data."""
    try:
        return text.replace(str(data_dir()), "data")
    except OSError:
        return text


def _place(*parts: str) -> str:
    """Where a shipped file or folder is."""
    try:
        return _short(str(in_data(*parts)))
    except OSError:
        return "/".join(("data", *parts))


def _rows(part: Callable[[list[str]], list[Row]], steps: list[str]) -> list[Row]:
    """The rows of a part of the report, or why they are unknown: whatever is broken, the other parts are wanted."""
    name = part.__name__.strip("_")
    try:
        return part(steps)
    except ImportError as error:
        steps.append("repair the installation (pip install -e . installs all libraries), then run doctor again")
        return [Row(name, "unknown", "", _reason(error))]
    except Exception as error:
        steps.append(f"repair what keeps the {name} from being read: {_reason(error)}")
        return [Row(name, "unknown", "", _reason(error))]


def _reason(error: Exception) -> str:
    """An error in one line; one that says little by itself with its type."""
    said = " ".join(str(error).split())
    return said if isinstance(error, (ValueError, OSError, ImportError)) and said else f"{type(error).__name__} {said}".strip()


def _libraries(steps: list[str]) -> list[Row]:
    missing, found = [], 0
    for name in _requirements():
        try:
            importlib.metadata.version(name)
            found += 1
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    place = str(Path(sys.prefix))
    if not missing:
        return [Row("libraries", f"all {found} installed", place)]
    steps.append(f"install {', '.join(missing)} (pip install -e . installs all libraries)")
    return [Row("libraries", f"missing: {', '.join(missing)}", place, "pip install -e .")]


def _requirements() -> list[str]:
    """Names of the libraries that mdissect needs: as installed, else from the checkout's pyproject.toml."""
    try:
        lines = importlib.metadata.requires("mdissect") or []
    except importlib.metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        lines = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    return [re.match(r"[\w.-]+", line).group() for line in lines if "extra ==" not in line]


def _device(steps: list[str]) -> list[Row]:
    import torch

    from mdissect.models import resolve_device

    device, threads = resolve_device(), torch.get_num_threads()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{threads} thread{'s' * (threads != 1)}"
    return [Row("device", f"{device.type}, {name}")]


def _ray(steps: list[str]) -> list[Row]:
    """Whether passes can run on a cluster, which nothing else needs."""
    found = {}
    for name in RAY:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    if len(found) == len(RAY):
        return [Row("Ray, for clusters", f"found, {found['ray']}")]
    missing = ", ".join(name for name in RAY if name not in found)
    return [Row("Ray, for clusters", f"no {missing} (not needed)", "", "pip install 'ray[data]'")]


def _concepts(steps: list[str]) -> list[Row]:
    from mdissect.concepts import load_concepts

    place = _place("concepts", "mammography.csv")
    try:
        return [Row("concepts mammography", f"found, {len(load_concepts('mammography'))}", place)]
    except Exception as error:  # damage of any kind
        steps.append(f"restore {place}: {_reason(error)}")
        return [Row("concepts mammography", "missing or damaged", place, _reason(error))]


def _models(steps: list[str]) -> list[Row]:
    from mdissect.models import load_dissector, load_target

    rows, broken = [], []
    for name in DEMO_MODELS:
        place = _place("demo", name)
        try:
            model = load_dissector(f"demo/{name}")
            rows.append(Row(f"model demo/{name}", "found" if model.aligned else f"found; {NOT_ALIGNED}", place))
        except Exception as error:  # damage of any kind
            rows.append(Row(f"model demo/{name}", UNUSABLE, place, _reason(error)))
            broken.append(name)
    if broken:
        steps.append(f"restore data/demo, or train the models: python -m mdissect pretrain {' '.join(broken)}")
    for name in _classifiers():
        place = _place("demo", name)
        try:
            load_target(f"demo/{name}")
            rows.append(Row(f"classifier demo/{name}", "found", place))
        except Exception as error:
            rows.append(Row(f"classifier demo/{name}", UNUSABLE, place, _reason(error)))
            steps.append(f"restore {place}, or train it: python -m mdissect pretrain {name}")
    return rows


def _classifiers() -> list[str]:
    """The demo classifiers that are there, C1 to C4."""
    try:
        return sorted({path.parent.name for root in data_dirs() for path in (root / "demo").glob("C?/config.json")})
    except OSError:
        return []


def _notebooks(steps: list[str]) -> list[Row]:
    from mdissect.commands.figures import find_notebooks

    try:
        names = [path.stem[:2] for path in find_notebooks(notebooks_dir())]
    except (OSError, ValueError) as error:
        steps.append("run mdissect from its checkout, which has the notebooks")
        return [Row("notebooks", "missing", "", _reason(error))]
    return [Row("notebooks", f"found: {', '.join(sorted(names))}", str(notebooks_dir()), "python -m mdissect figures --list")]


def _disk(steps: list[str]) -> list[Row]:
    """Sizes of what is made again when deleted, the free space, and whether store and figures can be written."""
    rows = []
    try:
        store, cache = store_dir(), image_cache_dir()
        free = shutil.disk_usage(existing(data_dir())).free
        rows += [
            Row("disk", f"{free / 1e9:.1f} GB free", str(data_dir())),
            Row("store", _size(store), str(store), "made again if deleted"),
            Row("generated images", _size(cache), str(cache), "made again if deleted"),
        ]
        if free < LITTLE_SPACE:
            steps.append(f"free some disk space; {store} and {cache} may be deleted: they are made again")
    except OSError as error:
        rows.append(Row("disk", "unknown", "", _reason(error)))
        steps.append(f"repair: {error}")
    for variable, place in ((STORE, store_dir), (FIGURES, figures_dir)):
        try:
            check_writable(place(), f"the environment variable {variable} names another folder")
        except OSError as error:
            rows.append(Row(variable, "not writable", "", _reason(error)))
            steps.append(f"repair: {error}")
    return rows


def _paper(steps: list[str]) -> list[Row]:
    """What the paper profile finds of its concepts, images and weights; the demo needs none of it."""
    from mdissect.study import PAPER, locations_file, with_local_paths

    try:
        profile, places = with_local_paths(PAPER), locations_file()
    except (OSError, ValueError) as error:
        steps.append("correct data/paths.toml; data/README.md shows what it may contain")
        return [Row("data/paths.toml", UNUSABLE, "", _reason(error))]
    rows = [_known_concepts(profile.concepts), *(_found(name, spec) for name, spec in profile.probes.items())]
    rows += _weights(profile)
    if missing := [row for row in rows if row.state.startswith((MISSING, UNUSABLE))]:
        steps += [
            f"{len(missing)} of {len(rows)} are missing; data/README.md says how to get them and where to put them",
            "name other places in data/paths.toml, where download = true downloads open weights on first use",
            "a notebook runs as soon as the data and weights of its own setups are there",
        ]
    return [Row("data/paths.toml", "read" if places else "none: the usual places are used", str(places or "")), *rows]


def _known_concepts(name: str) -> Row:
    from mdissect.concepts import load_concepts

    try:
        return Row(f"concepts {shown(name)}", f"found, {len(load_concepts(name))}")
    except Exception as error:  # damage of any kind
        return Row(f"concepts {shown(name)}", MISSING, "", _reason(error))


def _weights(profile: "Profile") -> list[Row]:
    """A row for each set of files that the profile's models read, with the setups that need it."""
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
    order, rows = list(MANIFEST), []
    for key in sorted(wanted, key=lambda key: order.index(key[0])):
        role, given, fetched = key
        there, said = whereabouts(role, given)
        problem, _, advice = said.partition("; ")
        users = f", for {', '.join(dict.fromkeys(wanted[key]))}"
        if there:
            rows.append(Row(f"weights {role}", f"found{users}", said.removeprefix("found at ")))
        elif fetched:
            rows.append(Row(f"weights {role}", f"not here yet{users}", "", "downloaded from the Hugging Face hub on first use"))
        elif problem.startswith("no "):
            known = MANIFEST[role].repository
            how = f"Hugging Face hub: {known}" if known else advice
            rows.append(Row(f"weights {role}", f"{MISSING}{users}", problem.removeprefix("no "), how))
        else:
            rows.append(Row(f"weights {role}", f"{UNUSABLE}{users}", "", said))
    return rows


def _further(steps: list[str]) -> list[Row]:
    """A row for each set of files of the models that no profile needs: where they are, or where to get them."""
    from mdissect.models import MANIFEST, whereabouts

    rows = []
    for role in FURTHER:
        there, said = whereabouts(role)
        problem = said.partition("; ")[0]
        if there:
            rows.append(Row(f"weights {role}", "found", said.removeprefix("found at ")))
        elif problem.startswith("no "):
            known = MANIFEST[role]
            rows.append(Row(f"weights {role}", f"not here: {known.what}", "", f"Hugging Face hub: {known.repository}"))
        else:
            rows.append(Row(f"weights {role}", UNUSABLE, "", said))
    return rows


def _roles(spec: str, texts: bool) -> list[tuple[str, str]]:
    """The sets of files that a model reads, and the options that name them; a dissector's include its text tower."""
    if spec in ("clip", "siglip", "open_clip"):
        return [(spec, "path")]
    image, text = {
        "mammo-clip": ("mammo-clip/b5", "bio-clinical-bert"),
        "mammo-fm": ("mammo-fm", "modernbert"),
        "general": ("imagenet-b5", "bio-clinical-bert/tower"),
    }.get(spec, (spec, ""))
    option = "path" if spec == "mammo-fm" else "checkpoint"
    return [(image, option), *([(text, "text_model")] if texts else [])]


def _found(name: str, spec: "ProbeSpec") -> Row:
    """A probe with its size and pixel values, or why it cannot be loaded."""
    from mdissect.probes import load_probe

    what = f"images {name}"
    try:
        probe = load_probe(spec.spec, **spec.options)
        pixels = probe.intensity_summary(4).iloc[0]
    except Exception as error:  # damage of any kind
        said = _reason(error)
        if said.startswith("no folder "):
            return Row(what, MISSING, said.removeprefix("no folder ").partition("; ")[0], PATH_ADVICE)
        return Row(what, UNUSABLE, "", said)
    used = f"{pixels['min']:g} to {pixels['max']:g} ({pixels['bits']:g} bits), mean {pixels['mean']:.3g}"
    return Row(what, f"found, {len(probe)} images; pixels {used}", str(spec.options.get("path", "")))


def _data_sets(_steps: list[str]) -> list[Row]:
    """The data sets with a loader of their own that the paper profile does not use, by their usual folders."""
    from mdissect.probes.datasets import FOLDERS
    from mdissect.study import PAPER

    rows, used = [], {spec.spec for spec in PAPER.probes.values()}
    for name, folder in FOLDERS.items():
        place = data_dir() / folder
        if name in used:
            continue
        if place.is_dir() and any(place.iterdir()):
            rows.append(Row(f"images {name}", "found", str(place), f"load_probe({name!r}) checks it"))
        else:
            rows.append(Row(f"images {name}", MISSING, str(place), PATH_ADVICE))
    return rows


def _size(folder: Path) -> str:
    """The size of a folder in MB, "empty" where there is nothing in it."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # deleted just now by another process, or not ours to see
            total += path.stat().st_size if path.is_file() else 0
    return f"{total / 1e6:.1f} MB" if total else "empty"
