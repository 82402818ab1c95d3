"""Toy networks that die, warn or fail on the way, for the tests of the cluster.

Run as a script, it is a pass that is to be killed: `python tests/toy_passes.py STORE`.
"""

import os
import signal
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import torch
import toys
from torch import nn

from mdissect.method import dissect
from mdissect.models import Target, load_target


class Mortal(nn.Module):
    """A TinyCNN whose process is killed by the system when it is first shown image 100."""

    def __init__(self, mark: Path):
        super().__init__()
        self.inner, self.mark = toys.seeded(toys.TinyCNN), mark

    def forward(self, x):
        numbers = (x[:, 0, -1, -1] * 65535).round().int().tolist()
        if 100 in numbers and len(set(numbers)) > 1 and not self.mark.exists():
            self.mark.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        if 3 in numbers:
            warnings.warn("image 3 is odd", stacklevel=1)
        return self.inner(x)


class Failing(nn.Module):
    """A network that cannot take image 70."""

    def __init__(self):
        super().__init__()
        self.inner = toys.seeded(toys.TinyCNN)

    def forward(self, x):
        if 70 in (x[:, 0, -1, -1] * 65535).round().int().tolist():
            raise ValueError("this network cannot take image 70")
        return self.inner(x)


class Slow(nn.Module):
    """A TinyCNN that takes its time."""

    def __init__(self):
        super().__init__()
        self.inner = toys.seeded(toys.TinyCNN)

    def forward(self, x):
        time.sleep(0.02 * len(x))
        return self.inner(x)


def target_of(module: nn.Module) -> Target:
    """A target of a toy, whose layers are those of a TinyCNN."""
    return load_target(module, preprocess=toys.PREPROCESS, layers=["inner.stem", "inner.deep"], name="toy")


if __name__ == "__main__":
    torch.set_num_threads(1)
    options = replace(toys.SMALL, engine="ray", workers=1)
    import toy_passes  # the workers know the networks by this name

    slow = target_of(toy_passes.Slow())
    dissect(slow, toys.RowDissector(), toys.toy_probe(640), toys.CONCEPTS, top_k=16, store=sys.argv[1], options=options)
