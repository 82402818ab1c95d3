"""``python -m mdissect evaluate``: how good an image-text model is, as CSV and JSON."""

import argparse
import sys

from mdissect.arguments import some_path
from mdissect.commands.finetune import RUNNING
from mdissect.commands.images import checked_output, truth_of
from mdissect.commands.settings import parse_settings
from mdissect.paths import store_dir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments, without importing anything heavy."""
    pairs = {"nargs": "+", "action": "extend", "default": [], "metavar": "NAME=VALUE"}
    several = {"nargs": "+", "action": "extend"}
    parser.add_argument("--dissector", required=True, help="the image-text model: demo/mammo, mammo-clip, clip")
    parser.add_argument("--probe", required=True, help="the images, such as phantom, vindr, rsna or folder")
    parser.add_argument("--output", required=True, help="the CSV file of the scores; a JSON file is written beside it")
    parser.add_argument("--parts", **several, metavar="PART",
                        help="zero-shot, retrieval, 'linear probe', fine-tune (default: all)")  # fmt: skip
    parser.add_argument("--prompts", **several, metavar="PROMPT",
                        help="pairs 'mass | no mass', or a table with columns finding, positive, negative")  # fmt: skip
    parser.add_argument("--truth", **several, metavar="COLUMN",
                        help="the table's column with the prompts' truth, of several findings FINDING=COLUMN")  # fmt: skip
    parser.add_argument("--tasks", **several, metavar="TASK",
                        help="what is learnt: mass, calcification, density, birads, or columns of the table")  # fmt: skip
    parser.add_argument("--reports", metavar="COLUMN", help="the table's column with the reports (default: report)")
    parser.add_argument("--level", default="auto", help="what classifiers are scored on: auto (default), image, breast")
    parser.add_argument("--fractions", **several, type=float, metavar="SHARE",
                        help="shares of the training patients (default: 0.1 0.5 1)")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, help="draws of these patients for the linear probe (default: 3)")
    parser.add_argument("--fine-tune-seeds", type=int, default=1, help="the same for fine-tuning (default: 1)")
    parser.add_argument("--set", **pairs, dest="settings",
                        help=f"settings of the fine-tuning's recipe, such as epochs=10; {', '.join(RUNNING)}")  # fmt: skip
    parser.add_argument(
        "--dissector-set", **pairs, dest="dissector_settings", help="options of the dissector: checkpoint=b5.tar"
    )
    parser.add_argument("--probe-set", **pairs, dest="probe_settings", help="options of the probe: split=all")
    parser.add_argument("--target", help="the network that is trained (default: the dissector's image tower)")
    parser.add_argument("--target-set", **pairs, dest="target_settings", help="options of the target")
    parser.add_argument("--classifiers", help="a folder for the fine-tuned classifiers (default: beside the output)")
    parser.add_argument("--published", metavar="TABLE",
                        help="the papers' numbers: dataset, part, task, fraction, metric, published, source")  # fmt: skip
    parser.add_argument("--store", help="where results are kept: a stopped run resumes (default: the store)")


def run(options: argparse.Namespace) -> int:
    """Evaluate, write the files and print a summary; returns 0, or 1 when a training failed or could not be saved."""
    from mdissect.evaluate import PARTS, PUBLISHED, EvaluationOptions, against_published, evaluate_dissector
    from mdissect.models import load_dissector, load_target, resolve_device
    from mdissect.probes import load_probe
    from mdissect.tables import write_table
    from mdissect.train import Recipe, Running, SavingError, TrainingError

    output = checked_output(options)
    settings = parse_settings(options.settings)
    how = Running(**{name: settings.pop(name) for name in RUNNING if name in settings})
    resolve_device(how.device)  # raises now, not after the models are loaded
    prompts = options.prompts[0] if options.prompts and len(options.prompts) == 1 else options.prompts
    given = {name: getattr(options, name) for name in ("parts", "tasks", "fractions") if getattr(options, name) is not None}
    what = EvaluationOptions(
        **given, prompts=prompts, truth=truth_of(options), reports=options.reports, level=options.level, seeds=options.seeds,
        fine_tune_seeds=options.fine_tune_seeds, recipe=Recipe().changed(**settings),
    )  # fmt: skip
    classifiers = output.with_name(f"{output.stem}_classifiers")
    if options.classifiers is not None:
        classifiers = some_path("--classifiers", options.classifiers)
    store = store_dir() if options.store is None else some_path("--store", options.store)
    if options.target is None and options.target_settings:
        raise ValueError("--target-set belongs to --target: name the network that is trained")
    probe = load_probe(options.probe, **parse_settings(options.probe_settings, "--probe-set"))
    dissector = load_dissector(options.dissector, **parse_settings(options.dissector_settings, "--dissector-set"))
    target = None
    if options.target is not None:
        target = load_target(options.target, **parse_settings(options.target_settings, "--target-set"))
    try:
        found = evaluate_dissector(dissector, probe, what, classifiers, store, target, how)
    except (TrainingError, SavingError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    files = found.save(output)
    if options.published is not None or probe.name in set(PUBLISHED.dataset):
        files.append(output.with_name(f"{output.stem}_published.csv"))
        write_table(files[-1], against_published(found, options.published))
    left_out = [part for part in PARTS if part not in set(found.table.part)]
    lines = [f"not evaluated: {', '.join(left_out)}"] if left_out else []
    print("\n".join([*found.summary(), *lines, f"written to {output.parent}: {', '.join(file.name for file in files)}"]))
    return 0
