"""``python -m mdissect pretrain``: an image-text model from a probe's images and reports, or the demo's models again."""

import argparse
import os
import sys
from pathlib import Path

from mdissect.arguments import some_path
from mdissect.commands.settings import parse_settings
from mdissect.paths import check_writable, data_dir, image_cache_dir

RUNNING = ("device", "workers", "save_every", "progress")
CORPUS = 4000  # texts from which a small text tower learns its vocabulary
OF_PROBE = ("image", "text", "model", "texts", "published")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments, without importing anything heavy."""
    pairs = {"nargs": "+", "action": "extend", "default": [], "metavar": "NAME=VALUE"}
    own = parser.add_argument_group("pretraining on images and texts of one's own")
    own.add_argument("--probe", help="the images and their texts, such as vindr, phantom or folder")
    own.add_argument("--image", help="the image tower: timm/<name>, mammo-clip/b5 or mammo-clip/b2")
    own.add_argument("--text", help="the text tower: a folder of a model of transformers, or small")
    own.add_argument("--model", help="go on from this dissector, such as demo/mammo or mammo-clip, in place of --image, --text")
    own.add_argument(
        "--texts", nargs="+", help="columns of the probe with reports (default: labels, of which reports are made)"
    )
    own.add_argument("--published", help="also write a checkpoint in Mammo-CLIP's published layout to this path")
    own.add_argument("--set", **pairs, dest="settings", help=f"settings of the recipe: epochs=10; {', '.join(RUNNING)}")
    own.add_argument("--model-set", **pairs, dest="model_settings", help="options of the towers: checkpoint=net.pth")
    own.add_argument("--probe-set", **pairs, dest="probe_settings", help="options of the probe: n_images=4000")
    demo = parser.add_argument_group("the demo's models, on generated images")
    demo.add_argument(
        "models", nargs="*", help="any of mammo, clip, general (image-text models), C1, C2, C3, C4 (classifiers); default: "
        "all; mammo-s2: from another seed; mammo-reports, -published, -views, -pairs: by another recipe"
    )  # fmt: skip
    demo.add_argument(
        "--replicates", type=int, help="mammo from so many seeds, the shipped one included, and C1 to C4 from the first three"
    )
    demo.add_argument("--cache", help="generated images and training states (default: data/demo/cache)")
    parser.add_argument("--output", help="where it goes (default: data/demo; other seeds and recipes: data/demo/replicates)")


def run(options: argparse.Namespace) -> int:
    """Train; returns 0, or 1 when the training failed or could not be saved."""
    if options.probe is not None:
        return _pretrain(options)
    if given := [f"--{name}" for name in OF_PROBE if getattr(options, name)]:
        raise ValueError(
            f"{', '.join(given)} belong to --probe, which names the images; without it the demo's models are trained"
        )
    return _demo(options)


def _pretrain(options: argparse.Namespace) -> int:
    """A pretraining on a probe."""
    from mdissect.models import load_dissector, resolve_device
    from mdissect.probes import load_probe
    from mdissect.train import ContrastiveRecipe, Running, SavingError, TrainingError, pretrain, write_published

    if options.models or options.replicates is not None:
        raise ValueError("--probe pretrains on images of one's own; demo models are trained without it")
    if options.output is None:
        raise ValueError("--probe needs --output, a folder for the model")
    if (options.model is None) != (options.image is not None and options.text is not None):
        raise ValueError("--probe needs --image and --text, the towers of a new model, or --model to go on from one")
    output = some_path("--output", options.output)
    check_writable(output, "--output names another folder")
    settings = parse_settings(options.settings)
    running = Running(**{name: settings.pop(name) for name in RUNNING if name in settings})
    resolve_device(running.device)  # raises now, not after the images are read
    recipe = ContrastiveRecipe().changed(**settings)
    texts = options.texts or "labels"
    given = parse_settings(options.model_settings, "--model-set")
    probe = load_probe(options.probe, **parse_settings(options.probe_settings, "--probe-set"))
    model = load_dissector(options.model, **given) if options.model else _new_model(options, probe, texts, given, recipe.seed)
    try:
        done = pretrain(model, probe, output, texts, recipe, running)
    except (TrainingError, SavingError) as error:
        print(f"pretrain: {error}", file=sys.stderr)
        return 1
    if int(os.environ.get("RANK", "0")):  # the first of several processes writes and tells
        return 0
    if options.published:
        write_published(output, some_path("--published", options.published))
    print("\n".join(_summary(done.metrics)))
    return 0


def _new_model(options: argparse.Namespace, probe, texts: object, given: dict, seed: int):
    """A new model by the command's arguments."""
    from mdissect.models import new_model
    from mdissect.train.studies import corpus, read_studies

    small = {"texts": corpus(read_studies(probe, texts), CORPUS, seed)} if options.text == "small" else {}
    return new_model(options.image, options.text, **{"seed": seed, **small, **given})


def _summary(metrics: dict) -> list[str]:
    """What a pretraining reached, in lines."""
    lines = [f"best epoch {metrics['best epoch']} of {metrics['epochs']}, {metrics['seconds'] / 60:.1f} minutes"]
    for part in ("validation", "test"):
        if part in metrics:
            scores = ", ".join(f"{name} {value:.3f}" for name, value in metrics[part].items())
            lines.append(f"{part}: {metrics['studies'][part]} studies; {scores}")
    return [*lines, metrics["loading"]]


def _demo(options: argparse.Namespace) -> int:
    """The demo's models and classifiers."""
    from mdissect.train.demo.classifiers import CLASSIFIERS, make_classifiers
    from mdissect.train.demo.models import RECIPES, VARIANTS, make_models
    from mdissect.train.demo.names import parse_name, replicates

    if options.replicates is not None and (options.models or options.replicates < 2):
        raise ValueError("--replicates takes a number, 2 or more, and no names: mammo-s0, mammo-s1, ... are trained")
    if options.replicates is not None:
        names = replicates(options.replicates, CLASSIFIERS)
    else:
        chosen = options.models or [*RECIPES, *CLASSIFIERS]
        names = [parse_name(text, RECIPES, CLASSIFIERS, VARIANTS) for text in chosen]
    cache = _place("--cache", options.cache, image_cache_dir())
    for plain, usual in ((True, data_dir() / "demo"), (False, data_dir() / "demo" / "replicates")):
        if own := [name for name in names if name.plain == plain]:
            output = _place("--output", options.output, usual)
            if models := [name for name in own if name.base in RECIPES]:
                make_models(models, output, cache / "training")
            if classifiers := [name for name in own if name.base in CLASSIFIERS]:
                make_classifiers(classifiers, output, cache)
    return 0


def _place(option: str, given: str | None, usual: Path) -> Path:
    """The folder given by an option, else the usual one; OSError if it cannot be written."""
    folder = usual if given is None else some_path(option, given)
    check_writable(folder, f"{option} names another folder")
    return folder
