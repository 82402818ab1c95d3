"""Real labelled images that need no download: scikit-learn's digits, a classifier of them, the names of its neurons."""

import numpy as np
import torch

from mdissect.dissection import Dissection
from mdissect.method import dissect
from mdissect.models import load_dissector, load_target
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe
from mdissect.reading import PassOptions

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def dissect_digits(n_training: int = 900, n_random: int = 0, top_k: int = 50, seed: int = 0) -> Dissection:
    """The outputs of a linear classifier of digits, named through the labels of images that it did not learn from.

    Parameters
    ----------
    n_training : int
        Of 1,797 images of 8 x 8 pixels; at most 900: the other 897 are the probe.
    n_random : int
        Further output neurons with random weights, which stand for nothing.
    top_k : int
    seed : int
        Of the split and of the random weights.

    Returns
    -------
    Dissection
        Layer "1" with the neurons of `NAMES` and then the random ones; the concepts are `NAMES`.
    """
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    data, rng = load_digits(), np.random.default_rng(seed)
    images, order = np.round(data.images / 16 * 255).astype(np.uint8), rng.permutation(len(data.images))
    seen, probed = order[:n_training], order[900:]
    fit = LogisticRegression(max_iter=1000).fit(images[seen].reshape(len(seen), -1) / 255, data.target[seen])
    linear = torch.nn.Linear(64, 10 + n_random)
    weights = [fit.coef_, rng.standard_normal((n_random, 64))], [fit.intercept_, np.zeros(n_random)]
    linear.weight.data, linear.bias.data = (torch.tensor(np.concatenate(w), dtype=torch.float32) for w in weights)
    probe = Probe.from_arrays(list(images[probed]), table={"digit": [NAMES[i] for i in data.target[probed]]})
    contract, quiet = Preprocess(size=(8, 8), scale="dtype", channels=1), PassOptions(progress=False)
    target = load_target(torch.nn.Sequential(torch.nn.Flatten(), linear), preprocess=contract, layers=["1"])
    return dissect(target, load_dissector("labels", probe=probe, column="digit"), probe, NAMES, top_k=top_k, options=quiet)
