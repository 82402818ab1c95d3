"""What the tests of the explorers share: names of a result, what is seen of an explorer, and dissectors of words."""

import re
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from traitlets import TraitError

from mdissect.models import Dissector

NAMES = ["implant", "silicone implant", "benign mass", "density <4>", "pumpkin"]
N_IMAGES = 30


def similarity(n_neurons, seed):
    """Neuron i is named by concept i % 5, the more surely the higher its number."""
    scores = np.random.default_rng(seed).uniform(0, 0.5, (n_neurons, 5)).astype(np.float32)
    scores[np.arange(n_neurons), np.arange(n_neurons) % 5] = 1 + np.arange(n_neurons) / 10
    return scores


def parts(explorer):
    """What is seen: heading, bars, histogram, message, captions and pictures of the tiles in view."""
    tiles = [(tile.frame.image, tile.caption) for tile in explorer._gallery.tiles]
    return {
        "heading": re.sub("</?abbr[^>]*>", "", explorer._heading.value),  # without the tooltips
        "bars": explorer._bars.value,
        "histogram": explorer._histogram.spread,
        "message": explorer._message.value,
        "captions": [caption.value for _, caption in tiles],
        "pictures": [image.value for image, _ in tiles],
        "sizes": [(image.width, image.height) for image, _ in tiles],
    }


def drawn(explorer):
    """The figure of an explorer, drawn, and all texts in it."""
    with mpl.rc_context({"backend": "agg"}):
        fig = explorer.figure()
        fig.canvas.draw()
    return fig, [text.get_text() for text in fig.findobj(mpl.text.Text)]


def assert_refused(explorer, state, message, seen):
    """A state is refused, and both the state and what is `seen` of the explorer stay."""
    before, shown = explorer.state, seen(explorer)
    with pytest.raises(TraitError, match=message):
        explorer.state = state
    assert explorer.state == before
    assert seen(explorer) == shown


class Words(Dissector):
    """Embeds names as axes, and further words as told; other words are not known."""

    def __init__(self, names, **further):
        self.axes = dict(zip(names, torch.eye(len(names)), strict=True))
        self.axes |= {word: torch.tensor(axis, dtype=torch.float32) for word, axis in further.items()}

    def embed_texts(self, texts):
        if unknown := [text for text in texts if text not in self.axes]:
            raise ValueError(f"no known word in {unknown[0]!r}")
        return torch.stack([self.axes[text] for text in texts])


def run_without_models(folder, *lines):
    """Run lines of code in a process of its own; it prints `loaded("torch", ...)`, which of these libraries are imported."""
    code = ["import sys, mdissect", "loaded = lambda *names: print([name for name in names if name in sys.modules])", *lines]
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout
