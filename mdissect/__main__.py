"""``python -m mdissect``: make the figures without a browser, see what is missing, prepare mammograms, train."""

import argparse
import sys

from mdissect import commands
from mdissect.commands import COMMANDS


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 when something is missing or failed. SystemExit(2): wrong arguments."""
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="python -m mdissect", description="What has this mammography network learnt?")
    parsers = parser.add_subparsers(dest="command", required=True)
    for name, purpose in COMMANDS.items():
        parsers.add_parser(name, help=purpose)
    if name := next((name for name in argv if name in COMMANDS), None):  # the other commands need not be imported
        command = getattr(commands, name)
        command.add_arguments(parsers.choices[name])
    options = parser.parse_args(argv)
    try:
        return command.run(options)
    except (ValueError, OSError) as error:
        parsers.choices[options.command].error(str(error))


if __name__ == "__main__":
    sys.exit(main())
