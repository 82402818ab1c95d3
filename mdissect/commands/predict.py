"""``python -m mdissect predict``: a classifier's probabilities for images, breasts and patients, as CSV."""

import argparse

from mdissect.commands.images import add_image_arguments, checked_output, images_of, report, running, truth_of
from mdissect.commands.settings import parse_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments, without importing anything heavy."""
    parser.add_argument("--target", required=True, help="the classifier: mammo-classifier/mass, demo/C3, a folder of finetune")
    pairs = {"nargs": "+", "action": "extend", "default": [], "metavar": "NAME=VALUE"}
    parser.add_argument("--target-set", **pairs, dest="target_settings", help="options of the target: checkpoint=net.pth")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="names of the outputs, where the target has none")
    parser.add_argument(
        "--outputs-are", choices=["auto", "logits", "probabilities", "findings"], default="auto",
        help="what the network gives (default: logits, checked); findings do not exclude each other",
    )  # fmt: skip
    add_image_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Predict, write the files and print a summary; returns 0."""
    from mdissect.models import load_target
    from mdissect.predictions import predict

    output, how = checked_output(options), running(options)
    probe = images_of(options)
    target = load_target(options.target, **parse_settings(options.target_settings, "--target-set"))
    found = predict(target, probe, truth_of(options), options.classes, options.outputs_are, **how)
    report(found, output, options.keep_ids)
    return 0
