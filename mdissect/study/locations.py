"""Where a user's data and weights lie, when they are not in the places that `data/README.md` names: one small TOML file.

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

from mdissect.models import dissector_options, target_options
from mdissect.paths import data_dir
from mdissect.preprocess import Preprocess
from mdissect.signatures import validated
from mdissect.study.profiles import Profile, Setup

SECTIONS = ("probes", "models")


def locations_file() -> Path | None:
    """The TOML file in force, or None.

    Raises
    ------
    FileNotFoundError
        MDISSECT_PATHS names a file that is not there.
    """
    named = os.environ.get("MDISSECT_PATHS")
    path = Path(named) if named else data_dir() / "paths.toml"
    if named and not path.is_file():
        raise FileNotFoundError(f"MDISSECT_PATHS names {path}, which is not there")
    return path if path.is_file() else None


def read_locations(path: Path) -> dict[str, dict]:
    """The file's sections, {"probes": {name: options}, "models": {name: options}}, and "concepts" where it names them.

    ValueError: no TOML, another section, a section that holds no tables, or concepts that are no text.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no TOML file: {error}") from error
    concepts = document.pop("concepts", None)
    if not isinstance(concepts, str | None):
        raise ValueError(f"{path}: concepts is {concepts!r}; write the name, file or folder of a concept set in quotes")
    if unknown := sorted(set(document) - set(SECTIONS)):
        raise ValueError(f"{path} has the section {', '.join(unknown)}; it may have {' and '.join(SECTIONS)}")
    for section, tables in document.items():
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

    A profile whose data are shipped stays as it is.

    Raises
    ------
    ValueError
        The file names a probe or model that the profile does not have, or an option that no loader of a model takes.
    """
    path = None if profile.shipped else locations_file()
    if path is None:
        return profile
    found = read_locations(path)
    models = {spec for setup in profile.setups.values() for spec in (setup.target, setup.dissector)}
    for section, known in (("probes", set(profile.probes)), ("models", models)):
        if unknown := sorted(set(found[section]) - known):
            names = ", ".join(sorted(known))
            raise ValueError(f"{path}: profile {profile.name!r} has no [{section}.{unknown[0]}]; it has {names}")
    probes = {
        name: replace(spec, options={**spec.options, **found["probes"].get(name, {})}) for name, spec in profile.probes.items()
    }
    setups = {name: _with_options(setup, found["models"], path) for name, setup in profile.setups.items()}
    return replace(profile, probes=probes, setups=setups, concepts=found.get("concepts", profile.concepts))


def _merged(value: object, default: object) -> object:
    """A table of fields as the loader's default with these fields changed; any other value as it is."""
    return replace(default, **value) if isinstance(value, dict) and isinstance(default, Preprocess) else value


def _absolute(value: object, folder: Path) -> object:
    """A value that names something in the folder as its full path; any other as it is."""
    return str((folder / value).resolve()) if isinstance(value, str) and value and (folder / value).exists() else value


def _with_options(setup: Setup, models: Mapping[str, Mapping], path: Path) -> Setup:
    """The setup with its models' options, each handed to those loaders that take it."""
    changed = {}
    for role, spec, accepted in (
        ("target_options", setup.target, target_options),
        ("dissector_options", setup.dissector, dissector_options),
    ):
        given = models.get(spec, {})
        either = target_options(spec) | dissector_options(spec)
        if unknown := sorted(set(given) - set(either)):
            raise ValueError(f"{path}: [models.{spec}] has {', '.join(unknown)}; its loaders take {', '.join(sorted(either))}")
        own = {name: _merged(value, either[name]) for name, value in given.items() if name in accepted(spec)}
        changed[role] = {**getattr(setup, role), **own}
    return replace(setup, **changed)
