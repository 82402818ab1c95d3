"""``python -m mdissect pretrain``: train the demo's models and classifiers again on generated images, from fixed seeds."""

import argparse
from pathlib import Path

from mdissect.arguments import some_path
from mdissect.paths import check_writable, data_dir, image_cache_dir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments, without importing anything heavy."""
    parser.add_argument(
        "models", nargs="*", help="any of mammo, clip, general (image-text models), C1, C2, C3, C4 (classifiers); default: all"
    )
    parser.add_argument("--output", help="where the models go (default: data/demo)")
    parser.add_argument("--cache", help="generated images and training states (default: data/demo/cache)")


def run(options: argparse.Namespace) -> int:
    """Train the models named, then the classifiers named; returns 0."""
    from mdissect.train.demo.classifiers import CLASSIFIERS, make_classifiers
    from mdissect.train.demo.models import RECIPES, make_models

    if unknown := sorted(set(options.models) - {*RECIPES, *CLASSIFIERS}):
        raise ValueError(f"no demo model {', '.join(unknown)}; there are {', '.join([*RECIPES, *CLASSIFIERS])}")
    chosen = options.models or [*RECIPES, *CLASSIFIERS]
    output, cache = (
        _place("--output", options.output, data_dir() / "demo"),
        _place("--cache", options.cache, image_cache_dir()),
    )
    if models := [name for name in chosen if name in RECIPES]:
        make_models(models, output, cache / "training")
    if classifiers := [name for name in chosen if name in CLASSIFIERS]:
        make_classifiers(classifiers, output, cache)
    return 0


def _place(option: str, given: str | None, usual: Path) -> Path:
    """The folder given by an option, else the usual one; OSError if it cannot be written."""
    folder = usual if given is None else some_path(option, given)
    check_writable(folder, f"{option} names another folder")
    return folder
