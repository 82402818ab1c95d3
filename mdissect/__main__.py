"""``python -m mdissect``: make the figures without a browser, or see what is there and what is missing."""

import argparse
import sys


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 when something is missing or failed. SystemExit(2): wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m mdissect", description="What has this mammography network learnt?")
    commands = parser.add_subparsers(dest="command", required=True)
    figures = commands.add_parser("figures", help="run the notebooks and write their figures")
    figures.add_argument("--profile", default="demo", help="which study: demo (default)")
    figures.add_argument("--only", nargs="+", action="extend", metavar="NN", help="numbers of notebooks, such as 01")
    figures.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", dest="settings", help="notebook parameters"
    )
    figures.add_argument("--output", default="build/notebooks", help="where the executed notebooks go")
    figures.add_argument(
        "--refresh", action="store_true", help="write the outputs into the notebooks themselves (demo defaults)"
    )
    commands.add_parser("doctor", help="what is installed, which data and weights are found, what to do next")
    options = parser.parse_args(argv)
    if options.command == "doctor":
        from mdissect.doctor import report

        return report()
    from mdissect.headless import run_notebooks

    try:
        return run_notebooks(options.profile, options.only, options.settings, options.output, options.refresh)
    except (ValueError, OSError) as error:
        figures.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
