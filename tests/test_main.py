"""The command line: its arguments, how quick it is, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from mdissect import __main__, __version__
from mdissect.commands import COMMANDS, figures
from mdissect.paths import data_dir

HEAVY = ("torch", "timm", "transformers", "matplotlib", "pandas", "zarr", "papermill", "wordcloud")


@pytest.fixture
def calls(monkeypatch) -> list:
    """What run_notebooks was called with; it runs nothing."""
    made = []
    monkeypatch.setattr(figures, "run_notebooks", lambda *given: made.append(given) or 0)
    return made


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("", ("demo", None, [], "build/notebooks", False, None)),
        (
            "--profile paper --only 01 3 --set a=1 b=x --output out --refresh --jobs 3",
            ("paper", ["01", "3"], ["a=1", "b=x"], "out", True, 3),
        ),
        (
            "--set a=1 --only 01 --set b=2 c=3 --only 02",  # given again, they add up
            ("demo", ["01", "02"], ["a=1", "b=2", "c=3"], "build/notebooks", False, None),
        ),
    ],
)
def test_options_of_figures(calls, argv, expected):
    assert __main__.main(["figures", *argv.split()]) == 0
    __main__.main(["figures", "--set", "d=4"])  # the next call begins anew
    assert calls == [expected, ("demo", None, ["d=4"], "build/notebooks", False, None)]


@pytest.mark.parametrize("argv", [["figure"], ["figures", "--onyl", "01"], ["figures", "--set"]])
def test_wrong_arguments(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        __main__.main(argv)
    assert stopped.value.code == 2
    assert "usage: python -m mdissect" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["--help"]])
def test_without_a_command_the_help_is_shown(argv, capsys):
    with suppress(SystemExit):
        assert __main__.main(argv) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: python -m mdissect")
    assert all(f"    {name} " in shown for name in COMMANDS)


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        __main__.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"mdissect {__version__}\n"


def test_hints_name_options_that_exist(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    with pytest.raises(SystemExit):
        __main__.main(["prepare", "vindr"])
    assert "--path" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        __main__.main(["prepare", "--help"])
    assert "--path PATH" in capsys.readouterr().out


def test_the_help_of_figures_has_an_example(capsys):
    with pytest.raises(SystemExit):
        __main__.main(["figures", "--help"])
    assert "python -m mdissect figures --only 01 --set n_images=500" in capsys.readouterr().out


def test_the_status_of_the_notebooks_is_that_of_the_command(monkeypatch):
    monkeypatch.setattr(figures, "run_notebooks", lambda *given: 1)
    assert __main__.main(["figures"]) == 1


def test_what_the_user_got_wrong_is_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit) as stopped:
        __main__.main(["figures"])
    assert stopped.value.code == 2
    assert f"error: no data folder at {tmp_path / 'nowhere'}" in capsys.readouterr().err


def python(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True, cwd=data_dir().parent)


def test_help_and_import_are_quick():
    shown = python("-X", "importtime", "-m", "mdissect", "figures", "--help")
    assert "--only NN [NN ...]" in shown.stdout
    imported = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines() if line.startswith("import time:")}
    assert "mdissect" in imported
    assert not imported & set(HEAVY)
    loaded = python("-c", "import sys, json, mdissect; dir(mdissect); print(json.dumps(sorted(sys.modules)))")
    assert not set(json.loads(loaded.stdout)) & {*HEAVY, "numpy"}


def test_help_of_every_command_is_quick(capsys):
    """In one process: none of them imports a big library for its arguments."""
    program = (
        "import sys\nfrom mdissect.__main__ import main\nfrom mdissect.commands import COMMANDS\n"
        "for name in COMMANDS:\n    try: main([name, '--help'])\n    except SystemExit as end: assert end.code == 0\n"
        "print(sorted(sys.modules), file=sys.stderr)"
    )
    shown = python("-c", program)
    assert all(f"usage: python -m mdissect {name} " in shown.stdout for name in COMMANDS)
    assert not any(f"'{name}'" in shown.stderr for name in HEAVY)


def failing(monkeypatch, error: BaseException):
    """The command `figures` as one that raises an error."""

    def run(*_):
        raise error

    monkeypatch.setattr(figures, "run_notebooks", run)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("top_k=5 is\n  too much"), "top_k=5 is too much"),
        (TypeError("options of the probe: unknown: x"), "options of the probe: unknown: x"),
        (FileNotFoundError(2, "No such file", "/x/y"), "[Errno 2] No such file: '/x/y'"),
        (PermissionError(13, "Permission denied", "build"), "[Errno 13] Permission denied: 'build'"),
        (UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "bad"), "'utf-8' codec can't decode byte 0xe9 in position 0: bad"),
        (ImportError("no module x"), "no module x"),
        (MemoryError(), "MemoryError"),
        (OverflowError("too large"), "too large"),
        (RuntimeError("CUDA out of memory"), "CUDA out of memory"),
        (RecursionError(), "RecursionError"),
    ],
)
def test_an_error_is_one_line(error, said, monkeypatch, capsys):
    failing(monkeypatch, error)
    with pytest.raises(SystemExit) as stopped:
        __main__.main(["figures"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"python -m mdissect figures: error: {said}\n"


def test_a_bug_is_no_users_mistake(monkeypatch):
    failing(monkeypatch, KeyError("internal"))
    with pytest.raises(KeyError):
        __main__.main(["figures"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_a_command_in_one_line(number, monkeypatch, capsys, request):
    inherited = signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(number, inherited))  # a shell or nohup may have had it ignored
    before, cleaned = signal.getsignal(number), []

    def run(*_):
        try:
            os.kill(os.getpid(), number)
            time.sleep(30)
        finally:
            os.kill(os.getpid(), number)  # the same again, as `timeout` sends it, does not disturb what cleans up
            cleaned.append(True)

    monkeypatch.setattr(figures, "run_notebooks", run)
    assert __main__.main(["figures"]) == 128 + number
    assert capsys.readouterr().err == f"mdissect: stopped by {number.name}\n"
    assert cleaned == [True]
    assert signal.getsignal(number) is before


def test_a_command_that_swallows_the_signal_ends_soon(monkeypatch, capsys):
    ended = threading.Event()
    monkeypatch.setattr(__main__, "PATIENCE", 0.05)
    monkeypatch.setattr(os, "_exit", lambda status: ended.status.append(status) or ended.set())
    ended.status = []

    def run(*_):
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(30)
        return 0 if ended.wait(10) else 1

    monkeypatch.setattr(figures, "run_notebooks", run)
    assert __main__.main(["figures"]) == 0  # only as os._exit does nothing here
    assert ended.status == [128 + signal.SIGTERM]
    assert capsys.readouterr().err == "mdissect: stopped by SIGTERM\n"


def test_a_signal_that_is_ignored_stays_so(monkeypatch):
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr(figures, "run_notebooks", lambda *_: os.kill(os.getpid(), signal.SIGHUP) or 0)
        assert __main__.main(["figures"]) == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_reader_that_is_gone_is_no_error(monkeypatch, capsys):
    failing(monkeypatch, BrokenPipeError(32, "Broken pipe"))
    monkeypatch.setattr(os, "dup2", lambda *_: None)  # the tests' own output stays
    assert __main__.main(["figures"]) == 128 + signal.SIGPIPE
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_output_that_nobody_reads_and_that_is_no_utf8(tmp_path):
    """As of `mdissect doctor | head -1`, in a folder whose name ASCII does not have."""
    (tmp_path / "döta").mkdir()
    own = {"MDISSECT_DATA": str(tmp_path / "döta"), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "mdissect", "doctor"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | own)
    shown = [process.stdout.readline() for _ in range(2)]
    rest = process.stdout.read()
    assert shown[0].startswith(b"mdissect ")
    assert rb"d\xf6ta" in b"".join(shown) + rest
    assert process.stderr.read() == b""
    assert process.wait() == 1
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | own)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 128 + signal.SIGPIPE
