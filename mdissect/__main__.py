"""``python -m mdissect``: make the figures without a browser, see what is missing, prepare mammograms, fine-tune."""

import argparse
import sys

from mdissect.commands.finetune import add_arguments as add_finetune_arguments


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 when something is missing or failed. SystemExit(2): wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m mdissect", description="What has this mammography network learnt?")
    commands = parser.add_subparsers(dest="command", required=True)
    figures = commands.add_parser("figures", help="run the notebooks and write their figures")
    figures.add_argument("--profile", default="demo", help="which study: demo (default) or paper")
    figures.add_argument("--only", nargs="+", action="extend", metavar="NN", help="numbers of notebooks, such as 01")
    figures.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", dest="settings", help="notebook parameters"
    )
    figures.add_argument("--output", default="build/notebooks", help="where the executed notebooks go")
    figures.add_argument(
        "--refresh", action="store_true", help="write the outputs into the notebooks themselves (demo defaults)"
    )
    figures.add_argument("--jobs", type=int, help="notebooks at a time (default: one per core, up to 4; paper profile: 1)")
    commands.add_parser("doctor", help="what is installed, which data and weights are found, what to do next")
    prepare = commands.add_parser("prepare", help="decode and prepare mammograms once, into PNG files that are quick to read")
    prepare.add_argument("dataset", choices=["vindr"])
    prepare.add_argument("--path", help="folder with images/ and the tables (default: vindr-mammo in the data folder)")
    prepare.add_argument("--output", help="where images_png/ and copies of the tables go (default: the same folder)")
    prepare.add_argument("--split", default="all", help="all (default), test or training")
    prepare.add_argument("--bits", type=int, default=8, help="8 (default, as published) or 16")
    prepare.add_argument("--voi", action="store_true", help="apply the display window that the files bring along")
    prepare.add_argument("--workers", type=int, help="processes (default: one per core)")
    finetune = commands.add_parser("finetune", help="fine-tune a target into a classifier")
    add_finetune_arguments(finetune)
    options = parser.parse_args(argv)
    run = {"doctor": _doctor, "figures": _figures, "prepare": _prepare, "finetune": _finetune}[options.command]
    try:
        return run(options)
    except (ValueError, OSError) as error:
        commands.choices[options.command].error(str(error))


def _doctor(options: argparse.Namespace) -> int:
    from mdissect.commands.doctor import report

    return report()


def _figures(options: argparse.Namespace) -> int:
    from mdissect.commands.figures import run_notebooks

    return run_notebooks(options.profile, options.only, options.settings, options.output, options.refresh, options.jobs)


def _prepare(options: argparse.Namespace) -> int:
    from mdissect.commands.prepare import prepare_vindr, report
    from mdissect.probes.mammograms import Preparation

    preparation = Preparation(bits=options.bits, voi=options.voi)
    return report(prepare_vindr(options.path, options.output, options.split, preparation, options.workers))


def _finetune(options: argparse.Namespace) -> int:
    from mdissect.commands.finetune import run

    return run(options)


if __name__ == "__main__":
    sys.exit(main())
