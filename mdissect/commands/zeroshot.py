"""``python -m mdissect zeroshot``: findings told by an image-text model from pairs of prompts, as CSV."""

import argparse
from collections.abc import Sequence

from mdissect.commands.images import add_image_arguments, checked_output, images_of, report, running, truth_of
from mdissect.commands.settings import parse_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments, without importing anything heavy."""
    parser.add_argument("--dissector", required=True, help="the image-text model: mammo-clip, demo/mammo, clip")
    parser.add_argument("--dissector-set", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
                        dest="dissector_settings", help="options of the dissector: checkpoint=b5.tar")  # fmt: skip
    parser.add_argument("--prompts", nargs="+", action="extend", metavar="PROMPT",
                        help="pairs 'mass | no mass' (';' separates several a side), or a table with columns finding, "
                        "positive, negative (default: Mammo-CLIP's published pairs)")  # fmt: skip
    add_image_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Compare images and prompts, write the files and print a summary; returns 0."""
    from mdissect.models import load_dissector
    from mdissect.predictions import zero_shot
    from mdissect.predictions.prompts import as_prompts

    output, how = checked_output(options), running(options)
    prompts = as_prompts("--prompts", _one_or_many(options.prompts))
    truth = truth_of(options)
    probe = images_of(options)
    dissector = load_dissector(options.dissector, **parse_settings(options.dissector_settings, "--dissector-set"))
    report(zero_shot(dissector, probe, prompts, truth, **how), output, options.keep_ids)
    return 0


def _one_or_many(prompts: Sequence[str] | None) -> str | Sequence[str] | None:
    return prompts[0] if prompts and len(prompts) == 1 else prompts
