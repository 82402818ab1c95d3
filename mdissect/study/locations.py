"""Locations of data and weights outside the folders of `data/README.md`, from one small TOML file.

    concepts = "/data/published"   # the concept set: its name, file or folder; above the sections

    [probes.mammograms]            # options of load_probe for a probe of the profile
    path = "/data/vindr-mammo"

    [models.mammo-clip]            # options of load_target and load_dissector for a model of the profile, by its name
    checkpoint = "/data/b5-model-best-epoch-7.tar"
    text_model = "/data/Bio_ClinicalBERT"
    preprocess = {size = [760, 456]}    # fields of the model's Preprocess to change

Paths may be relative to the file. The environment variable MDISSECT_PATHS names it; else it is `data/paths.toml`, if that
exists.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mdissect.arguments import shown, some_path, true_or_false
from mdissect.models import dissector_options, target_options
from mdissect.paths import LOCATIONS, data_dir, from_environment
from mdissect.preprocess import Preprocess
from mdissect.probes import probe_options
from mdissect.signatures import validated
from mdissect.study.profiles import TRAINING, Profile, Setup

SECTIONS = ("probes", "models")
PLACES = ("path", "checkpoint", "text_model", "folds", "image_list", "table")  # options that name a file or folder


def locations_file() -> Path | None:
    """The TOML file in use, or None.

    Raises
    ------
    FileNotFoundError
        MDISSECT_PATHS names a file that is not there.
    """
    named = from_environment(LOCATIONS)
    path = named or data_dir() / "paths.toml"
    if named and not path.is_file():
        raise FileNotFoundError(f"{LOCATIONS} names {path}, which is {'no file' if path.exists() else 'not there'}")
    return path if path.is_file() else None


def read_locations(path: Path) -> dict[str, dict]:
    """The file's sections, {"probes": {name: options}, "models": {name: options}}, and "concepts" where it names them.

    ValueError: no TOML in UTF-8, another section, a section that holds no tables, or concepts that are no text.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a TOML file: it is not in UTF-8 (byte {error.start}); save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from error
    concepts = document.pop("concepts", None)
    if not isinstance(concepts, str | None):
        raise ValueError(f"{path}: concepts is {shown(concepts)}; write the name, file or folder of a concept set in quotes")
    if unknown := sorted(set(document) - set(SECTIONS)):
        raise ValueError(f"{path} has the section {', '.join(unknown)}; it may have {' and '.join(SECTIONS)}")
    for section, tables in document.items():
        if not isinstance(tables, dict):
            raise ValueError(f"{path}: {section} is {shown(tables)}; write [{section}.<name>] above its options")
        if loose := [name for name, options in tables.items() if not isinstance(options, dict)]:
            raise ValueError(f"{path}: write [{section}.<name>] above {', '.join(loose)}")
    sections = {
        section: {
            name: {option: _absolute(value, path.parent) for option, value in options.items()}
            for name, options in document.get(section, {}).items()
        }
        for section in SECTIONS
    }
    return sections | ({"concepts": _absolute(concepts, path.parent)} if concepts else {})


@validated()
def with_local_paths(profile: Profile) -> Profile:
    """The profile with the options of the locations file in its probes and setups, and its concept set.

    A profile whose data are shipped stays as it is. "training" has the options of "mammograms" where it has none of its own.

    Raises
    ------
    ValueError
        The file names a probe or model that the profile does not have, an option that its loaders do not take, or one with a
        value of another kind.
    """
    path = None if profile.shipped else locations_file()
    if path is None:
        return profile
    found = read_locations(path)
    models = {spec for setup in profile.setups.values() for spec in (setup.target, setup.dissector)}
    own = {key: value for key, value in found["probes"].get("mammograms", {}).items() if key != "split"}
    if TRAINING in profile.probes and own and profile.probes[TRAINING].spec == profile.probes["mammograms"].spec:
        found["probes"].setdefault(TRAINING, own)  # which lie where the mammograms do
    for section, known in (("probes", set(profile.probes)), ("models", models)):
        if unknown := sorted(set(found[section]) - known):
            names = ", ".join(sorted(known))
            raise ValueError(f"{path}: profile {profile.name!r} has no [{section}.{unknown[0]}]; it has {names}")
    for name, options in found["probes"].items():
        _check(f"{path}: [probes.{name}]", options, probe_options(profile.probes[name].spec))
    for name, options in found["models"].items():
        _check(f"{path}: [models.{name}]", options, target_options(name) | dissector_options(name))
    probes = {
        name: replace(spec, options={**spec.options, **found["probes"].get(name, {})}) for name, spec in profile.probes.items()
    }
    setups = {name: _with_options(setup, found["models"]) for name, setup in profile.setups.items()}
    return replace(profile, probes=probes, setups=setups, concepts=found.get("concepts", profile.concepts))


def _check(where: str, given: Mapping, takes: Mapping) -> None:
    """Raise ValueError for an option of the file that no loader takes, or with a value of the wrong type."""
    if unknown := sorted(set(given) - set(takes)):
        raise ValueError(f"{where} has {', '.join(unknown)}; its loaders take {', '.join(sorted(takes))}")
    for name, value in given.items():
        try:
            if name in PLACES:
                some_path(name, value)
            elif isinstance(takes[name], bool):
                true_or_false(name, value)
            elif name == "preprocess":
                _contract(value, takes[name])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: {error}") from error


def _contract(fields: object, default: Preprocess | None) -> Preprocess:
    """The Preprocess of a loader with some fields changed; TypeError or ValueError for invalid ones."""
    if not isinstance(fields, dict):
        raise TypeError(f"preprocess={shown(fields)} must be a table of fields, such as {{size = [760, 456]}}")
    return replace(default, **fields) if default else Preprocess(**fields)


def _absolute(value: object, folder: Path) -> object:
    """A value that names something in the folder as its full path; any other as it is, with "~" resolved."""
    if not isinstance(value, str) or not value:
        return value
    path = folder / os.path.expanduser(value)
    return str(path.resolve()) if os.path.exists(path) else os.path.expanduser(value)


def _with_options(setup: Setup, models: Mapping[str, Mapping]) -> Setup:
    """The setup with its models' options, each passed to the loaders that take it."""
    changed = {}
    for role, spec, accepted in (
        ("target_options", setup.target, target_options),
        ("dissector_options", setup.dissector, dissector_options),
    ):
        given = models.get(spec, {})
        takes = accepted(spec)
        own = {name: value for name, value in given.items() if name in takes}
        if "preprocess" in own:
            own["preprocess"] = _contract(own["preprocess"], takes["preprocess"])
        changed[role] = {**getattr(setup, role), **own}
    return replace(setup, **changed)
