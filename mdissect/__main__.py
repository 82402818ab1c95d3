"""``python -m mdissect``: run the notebooks without a browser, report what is missing, prepare mammograms, train."""

import argparse
import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mdissect import __version__, commands
from mdissect.commands import COMMANDS
from mdissect.paths import export_absolute

# Mistakes of the user and limits of the machine; torch raises RuntimeError for an unknown device or one without free memory.
MISTAKES = (ValueError, TypeError, OSError, ImportError, MemoryError, OverflowError, RuntimeError)
PATIENCE = 8  # seconds that a command has for cleaning up when it is stopped
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 when something is missing or failed, 128 + n when signal n stopped it.

    SystemExit(2): wrong arguments. A mistake of the user is reported in one line.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names that the terminal cannot show are escaped
    try:
        with _stoppable():
            status = _run(sys.argv[1:] if argv is None else argv)
            if sys.stdout:
                sys.stdout.flush()  # here, so that a closed pipe gives no traceback
            return status
    except BrokenPipeError:  # ... | head
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush when Python exits
        return 128 + getattr(signal, "SIGPIPE", 13)
    except KeyboardInterrupt as stopped:
        number = stopped.args[0] if stopped.args else signal.SIGINT
        print(_stopped(number), file=sys.stderr)
        return 128 + number


def _run(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m mdissect", description="What has this mammography network learnt?")
    parser.add_argument("--version", action="version", version=f"mdissect {__version__}")
    parsers = parser.add_subparsers(dest="command", title="commands", metavar="command")
    for name, purpose in COMMANDS.items():
        parsers.add_parser(name, help=purpose)
    if name := next((name for name in argv if name in COMMANDS), None):  # only the command that runs is imported
        command = getattr(commands, name)
        command.add_arguments(parsers.choices[name])
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        export_absolute()
        return command.run(options)
    except BrokenPipeError:
        raise
    except MISTAKES as error:
        said = " ".join(str(error).split()) or type(error).__name__
        parsers.choices[options.command].exit(2, f"{parsers.choices[options.command].prog}: error: {said}\n")


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn signals that ask to stop into KeyboardInterrupt, so that the command cleans up.

    Where that takes long, or a library swallows the exception, the process ends after `PATIENCE` seconds; further signals
    are ignored until then (`timeout` sends each twice). A signal that was ignored before, as by nohup, stays ignored.
    Processes forked meanwhile end silently.
    """
    owner, before, ends = os.getpid(), {}, []

    def stop(number: int, frame) -> None:
        if os.getpid() != owner:
            os._exit(128 + number)
        if not ends:
            ends.append(threading.Timer(PATIENCE, _give_up, [number]))
            ends[0].daemon = True
            ends[0].start()
            raise KeyboardInterrupt(number)

    try:
        with suppress(ValueError):  # signals are for the main thread alone
            for one in SIGNALS:
                if signal.getsignal(one) not in (signal.SIG_IGN, None):
                    before[one] = signal.signal(one, stop)
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        for timer in ends:
            timer.cancel()


def _give_up(number: int) -> None:
    print(_stopped(number), file=sys.stderr, flush=True)
    os._exit(128 + number)


def _stopped(number: int) -> str:
    return f"mdissect: stopped by {signal.Signals(number).name}"


def _end(status: int) -> None:
    """Exit with a status; after a signal without sys.exit, as Python reports an interrupted exec() as a kill."""
    if status > 128:
        atexit._run_exitfuncs()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    _end(main())
