"""``python -m mdissect finetune``: a classifier or a detector from a target, a probe and a task or findings, by names."""

import argparse
import sys

from mdissect.arguments import some_path
from mdissect.commands.settings import parse_settings
from mdissect.paths import check_writable

RUNNING = ("device", "workers", "save_every", "progress")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments, without importing anything heavy."""
    pairs = {"nargs": "+", "action": "extend", "default": [], "metavar": "NAME=VALUE"}
    parser.add_argument("--target", required=True, help="where to start, such as demo/mammo, mammo-clip or timm/resnet18")
    parser.add_argument("--probe", required=True, help="the labelled images, such as phantom, vindr or folder")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--task", help="density, birads, mass, calcification, or a column of the probe's table")
    wanted.add_argument("--boxes", help="a detector of these findings instead of a classifier, such as mass,calcification")
    parser.add_argument("--output", required=True, help="a folder for the checkpoint, loss curves and metrics")
    parser.add_argument("--frozen", action="store_true", help="train only the linear layer, or the detector's own")
    parser.add_argument(
        "--set", **pairs, dest="settings", help=f"settings of the recipe, such as epochs=10; {', '.join(RUNNING)}"
    )
    parser.add_argument("--target-set", **pairs, dest="target_settings", help="options of the target: checkpoint=net.pth")
    parser.add_argument("--probe-set", **pairs, dest="probe_settings", help="options of the probe: n_images=4000")


def run(options: argparse.Namespace) -> int:
    """Fine-tune and print the metrics; returns 0, or 1 when the training failed or could not be saved."""
    from mdissect.models import load_target, resolve_device
    from mdissect.probes import load_probe
    from mdissect.train import Running, SavingError, TrainingError, finetune, train_detector
    from mdissect.train.metrics import summary

    output = some_path("--output", options.output)
    check_writable(output, "--output names another folder")
    settings = parse_settings(options.settings)
    running = Running(**{name: settings.pop(name) for name in RUNNING if name in settings})
    resolve_device(running.device)  # raises now, not after the images are read
    recipe = _recipe(options, settings)
    target = load_target(options.target, **parse_settings(options.target_settings, "--target-set"))
    probe = load_probe(options.probe, **parse_settings(options.probe_settings, "--probe-set"))
    try:
        if options.boxes:
            findings = [name.strip() for name in options.boxes.split(",")]
            lines = _scores(train_detector(target, probe, findings, output, recipe, running).metrics)
        else:
            lines = summary(finetune(target, probe, options.task, output, recipe, running).metrics)
    except (TrainingError, SavingError) as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


def _recipe(options: argparse.Namespace, settings: dict):
    """The recipe of a classifier or a detector, with the user's settings."""
    from mdissect.train import DetectorRecipe, Recipe

    if options.boxes:
        return DetectorRecipe(frozen=options.frozen).changed(**settings)
    return (Recipe.linear_probe() if options.frozen else Recipe()).changed(**settings)


def _scores(metrics) -> list[str]:
    """A detector's result in lines of text."""
    return [
        f"{row.part}, {row.finding}: average precision at IoU {row.iou:g} {row.average_precision:.3f} (95 % {row.low:.3f} to "
        f"{row.high:.3f}); {row.n_boxes} boxes"
        for row in metrics.itertuples()
    ]
