"""``python -m mdissect``: make the figures without a browser, see what is missing, prepare mammograms, train."""

import argparse
import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mdissect import commands
from mdissect.commands import COMMANDS
from mdissect.paths import export_absolute

# What the user got wrong, or the machine lacks; torch raises RuntimeError for a device that is none or has no memory left.
MISTAKES = (ValueError, TypeError, OSError, ImportError, MemoryError, OverflowError, RuntimeError)
PATIENCE = 8  # seconds that a command has for cleaning up when it is stopped
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 when something is missing or failed, 128 + n when signal n stopped it.

    SystemExit(2): wrong arguments. Whatever the user can mend is told in one line.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no reason to stop
    try:
        with _stoppable():
            status = _run(sys.argv[1:] if argv is None else argv)
            if sys.stdout:
                sys.stdout.flush()  # here, where a reader that is gone is no traceback
            return status
    except BrokenPipeError:  # ... | head
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end of Python
        return 128 + getattr(signal, "SIGPIPE", 13)
    except KeyboardInterrupt as stopped:
        number = stopped.args[0] if stopped.args else signal.SIGINT
        print(_stopped(number), file=sys.stderr)
        return 128 + number


def _run(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m mdissect", description="What has this mammography network learnt?")
    parsers = parser.add_subparsers(dest="command", required=True)
    for name, purpose in COMMANDS.items():
        parsers.add_parser(name, help=purpose)
    if name := next((name for name in argv if name in COMMANDS), None):  # the other commands need not be imported
        command = getattr(commands, name)
        command.add_arguments(parsers.choices[name])
    options = parser.parse_args(argv)
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
    """Turn a signal that asks to stop into KeyboardInterrupt, so that whatever runs cleans up.

    Where that takes long, or a library swallows the exception, the process ends after `PATIENCE` seconds; so other signals
    meanwhile mean nothing (`timeout` sends each twice). A signal that is ignored, as by nohup, stays so. Processes forked
    meanwhile end without a word.
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
    """End Python with a status, that of a signal even where it interrupted exec(), which Python takes for a kill."""
    if status > 128:
        atexit._run_exitfuncs()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    _end(main())
