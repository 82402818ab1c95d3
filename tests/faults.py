"""Faults made to order: a process that dies, and a disk that is full, at each step of what is written.

Run as a script it saves results or fine-tunes, for tests that kill it: `python tests/faults.py save|finetune FOLDER`.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

STEPS = ("replace", "fsync", "unlink", "open")  # what the writer of files asks the system for
DIED = 77
MOMENTS = 20 if os.environ.get("MDISSECT_FUZZ") == "long" else 3


@contextmanager
def fault_at(step: int, fault: Callable[[], None]) -> Iterator[list[str]]:
    """Call `fault` in place of, or just before, the `step`-th call (from 0) of the system; gives the calls made so far."""
    calls, real = [], {name: getattr(os, name) for name in STEPS}

    def counted(name):
        def call(*given, **options):
            calls.append(name)
            if len(calls) == step + 1:
                fault()
            return real[name](*given, **options)

        return call

    for name in STEPS:
        setattr(os, name, counted(name))
    try:
        yield calls
    finally:
        for name in STEPS:
            setattr(os, name, real[name])


def deaths(act: Callable[[], object]) -> Iterator[int]:
    """Let a copy of this process die at every step of an act, one after the other; at the end it came to an end."""
    for step in range(1000):
        if (child := os.fork()) == 0:
            try:
                with fault_at(step, lambda: os._exit(DIED)):
                    act()
                os._exit(0)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, DIED), "the act itself failed"
        yield step
        if code == 0:
            return


def full_disks(act: Callable[[], object]) -> Iterator[OSError]:
    """Let each step of an act that may need room fail for want of it; gives the errors that come out of it."""

    def no_space():
        raise OSError(28, "No space left on device")

    with fault_at(-1, no_space) as calls:
        act()
    for step, name in enumerate(list(calls)):
        if name in ("fsync", "open"):
            try:
                with fault_at(step, no_space):
                    act()
            except OSError as error:
                yield error


def environment() -> dict[str, str]:
    """For this script as a process of its own."""
    here = Path(__file__).parent
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(here.parent), str(here)]), "OMP_NUM_THREADS": "1"}


def killed(what: str, folder: Path, moment: random.Random, length: float) -> None:
    """Start this script, and kill it at a random moment of `length` seconds from its first breath on."""
    command = [sys.executable, __file__, what, str(folder)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(moment.uniform(0, length))
        process.send_signal(signal.SIGKILL)


def results():
    """Two results that differ in everything."""
    import made_up
    import numpy as np

    found = []
    for seed in (1, 2):
        rng, names = np.random.default_rng(seed), [f"concept {seed} {i}" for i in range(5)]
        found.append(made_up.dissected(rng.random((60, 5), np.float32), rng.random((60, 40), np.float32), names, per_patient=2))
        found[-1].settings["seed"] = seed
    return found


def bars():
    """Images of standing stripes, lying stripes or none; two images a patient."""
    import numpy as np

    from mdissect.probes import Probe

    rng, n_patients = np.random.default_rng(0), 32
    images = rng.uniform(0, 120, (2 * n_patients, 8, 8))
    kinds = np.repeat(np.arange(n_patients) % 3, 2)
    images[kinds == 0, :, ::2] += 60
    images[kinds == 1, ::2] += 60
    table = {"patient": np.repeat([f"P{i}" for i in range(n_patients)], 2), "standing": kinds == 0}
    return Probe.from_arrays(images.astype(np.uint8), table=table, name="bars")


def tune(folder: Path):
    """A quick fine-tuning of a toy."""
    import toys

    from mdissect.train import Augment, Recipe, Running, finetune

    recipe = Recipe(epochs=6, batch_size=8, learning_rate=0.02, warmup_steps=2, augment=Augment(degrees=10, elastic_alpha=0))
    running = Running(device="cpu", workers=0, save_every=1, progress=False)
    return finetune(toys.toy_target(toys.TinyCNN, layers=("stem", "deep")), bars(), "standing", folder, recipe, running)


if __name__ == "__main__":
    task, place = sys.argv[1], Path(sys.argv[2])
    saved = results() if task == "save" else []
    if task == "finetune":
        import toys  # noqa: F401, before the clock starts

        import mdissect.train  # noqa: F401
    print("ready", flush=True)
    if task == "finetune":
        tune(place)
    while task == "save":
        for one in saved:
            one.save(place)
