"""What the tests of the neuron explorer share: how its results are named, and what is seen of it."""

import numpy as np

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
        "heading": explorer._heading.value,
        "bars": explorer._bars.value,
        "histogram": explorer._histogram.value,
        "message": explorer._message.value,
        "captions": [caption.value for _, caption in tiles],
        "pictures": [image.value for image, _ in tiles],
        "sizes": [(image.width, image.height) for image, _ in tiles],
    }
