"""What a result is worth beside one that must mean nothing: untrained targets, a scrambled dissector, one label for all."""

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdissect.checkpoints import weights_fingerprint
from mdissect.dissection import Dissection
from mdissect.models import Dissector, Target, freeze, joint_fingerprint
from mdissect.profiles import Setup

UNTRAINED, RANDOM, CONSTANT = "untrained", "random dissector", "constant"
KINDS = (UNTRAINED, RANDOM, CONSTANT)
# Statistics of normalisation layers that have no reset_parameters, such as frozen ones whose scale and shift are buffers too.
_FRESH_STATISTICS = {"running_mean": 0.0, "running_var": 1.0, "num_batches_tracked": 0.0, "weight": 1.0, "bias": 0.0}


def untrained(target: Target, seed: int = 0) -> Target:
    """The same architecture before any training.

    Every part is initialised anew by its own ``reset_parameters``, running statistics of batch norms included. A parameter
    that none of them reaches (class tokens, position embeddings, layer scales) keeps its values in random order, so that the
    network still works but nothing learnt is in its place; the notes name these, and the single numbers and other buffers
    that stay as they are.

    Parameters
    ----------
    target : Target
        Stays as it is.
    seed : int
        Of the initialisation; the random state of torch is left alone.

    Returns
    -------
    Target
        On the CPU, called "<name> (untrained)", with a fingerprint of its own.

    Raises
    ------
    TypeError
        `seed` is no whole number.
    ValueError
        A target without parameters.

    Examples
    --------
    >>> untrained(load_target("demo/mammo"), seed=1).name
    'demo/mammo (untrained)'
    """
    check_seed("untrained", seed)
    module = copy.deepcopy(target.module).cpu()
    trained = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    if not trained:
        raise ValueError(f"target {target.name!r} has no parameters, so that it cannot be told from an untrained one")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        left = _initialise(module)
        for name in left:
            values = trained[name].flatten()
            module.get_parameter(name).copy_(values[torch.randperm(len(values))].view_as(trained[name]))
        kept = _reset_buffers(module)
    shuffled, single = ([n for n in left if (trained[n].numel() == 1) is one] for one in (False, True))
    notes = [f"untrained: every part initialised anew, seed {seed}"]
    notes += [f"untrained: no reset_parameters sets {_listed(shuffled)}; trained values in random order"] * bool(shuffled)
    notes += [f"untrained: kept as trained: {_listed([*single, *kept])}"] * bool(single or kept)
    freeze(module)
    name, fingerprint = f"{target.name} (untrained)", weights_fingerprint(module)
    return replace(target, name=name, module=module, fingerprint=fingerprint, notes=(*target.notes, *notes))


def random_projection(dissector: Dissector, seed: int = 0) -> "RandomProjection":
    """A dissector whose images and texts no longer meet: each side is multiplied by a random matrix of its own.

    Images that were alike stay about as alike, and so do texts, but which text belongs to which image is left to chance.

    Parameters
    ----------
    dissector : Dissector
        Its towers are shared.
    seed : int

    Returns
    -------
    RandomProjection
        Not aligned; called "<name> (random projection)".
    """
    check_seed("random_projection", seed)
    return RandomProjection(dissector, seed)


class RandomProjection(Dissector):
    """See `random_projection`."""

    aligned = False

    def __init__(self, dissector: Dissector, seed: int):
        self.dissector, self.seed = dissector, seed
        self.name = f"{dissector.name} (random projection)"
        self.needs_pixels, self.preprocess = dissector.needs_pixels, dissector.preprocess
        self.image_tower = dissector.image_tower
        self.notes = (*dissector.notes, f"images and texts under independent random matrices, seed {seed}: labels by chance")

    @property
    def image_fingerprint(self) -> str | None:
        return self.dissector.image_fingerprint

    @property
    def fingerprint(self) -> str:
        return joint_fingerprint(self.dissector.fingerprint, "images under a random matrix", str(self.seed))

    @property
    def text_fingerprint(self) -> str:
        return joint_fingerprint(self.dissector.text_fingerprint, "texts under a random matrix", str(self.seed))

    def embed_images(self, batch: Tensor) -> Tensor:
        """Embed prepared images (n, channels, height, width) as unit vectors (n, d)."""
        return self._scramble(self.dissector.embed_images(batch), side=0)

    def encode_ids(self, ids: Sequence[str]) -> Tensor:
        """Embed images, known by their ids, as unit vectors (n, d)."""
        return self._scramble(self.dissector.encode_ids(ids), side=0)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as unit vectors (n, d)."""
        return self._scramble(self.dissector.embed_texts(texts), side=1)

    def to(self, device: torch.device | str) -> "RandomProjection":
        """Move the towers to a device (in place) and return the dissector."""
        self.dissector.to(device)
        return self

    def _scramble(self, embeddings: Tensor, side: int) -> Tensor:
        """Unit vectors (n, d) under the random matrix of the images (side 0) or of the texts (side 1)."""
        d = embeddings.shape[1]
        matrices = torch.randn(2, d, d, generator=torch.Generator().manual_seed(self.seed))
        return F.normalize(embeddings.float() @ matrices[side].to(embeddings.device), dim=1)


def constant_label(dissection: Dissection, concept: str | None = None) -> Dissection:
    """Every neuron called by one and the same concept: what a rule scores that looks at no neuron.

    Parameters
    ----------
    dissection : Dissection
    concept : str, optional
        By default the most common label that reaches its layer's threshold (`mdissect.analysis.thresholds`), over all layers.

    Returns
    -------
    Dissection
        With the similarity of all other concepts NaN; everything in `mdissect.analysis` takes it, save the threshold rule
        "all". What needs random rankings or drawings refuses it (its settings say similarity "constant label"): a constant
        answers to nothing.

    Raises
    ------
    ValueError
        The concept is not in the concept set.
    """
    from mdissect.analysis import judge, thresholds
    from mdissect.concepts import closest

    dissection, names = dissection.published, list(dissection.concepts.names)
    if concept is None:
        concept = judge(dissection, thresholds(dissection)).query("passes").concept.mode().iloc[0]
    if concept not in names:
        raise ValueError(f"the concept set has no {concept!r}{closest(concept, names)}")
    others = np.arange(len(names)) != names.index(concept)
    similarity = {layer: np.where(others, np.float32(np.nan), scores) for layer, scores in dissection.similarity.items()}
    settings = {**dissection.settings, "similarity": "constant label", "constant_label": concept}
    return replace(dissection, similarity=similarity, settings=settings)


def baseline_setup(name: str, setups: Mapping[str, Setup], seed: int = 0) -> Setup:
    """A baseline of one of a study's setups, by name.

    Parameters
    ----------
    name : str
        A setup's name and one of `KINDS`: "M untrained", "M random dissector", "M constant".
    setups : mapping of name to Setup
    seed : int

    Raises
    ------
    ValueError
        No such kind of baseline, or no such setup.

    Examples
    --------
    >>> baseline_setup("M untrained", {"M": Setup("demo/mammo", "demo/mammo")}).target_options
    {'untrained': 0}
    """
    kind = next((kind for kind in KINDS if name.endswith(f" {kind}")), None)
    base = name.removesuffix(f" {kind}") if kind else ""
    if base not in setups:
        raise ValueError(
            f"baseline {name!r} is none of a setup: expected one of {', '.join(setups)}, then one of {', '.join(KINDS)}, "
            f"such as '{next(iter(setups))} {UNTRAINED}'"
        )
    setup = setups[base]
    if kind == UNTRAINED:
        return replace(setup, target_options={**setup.target_options, "untrained": seed})
    if kind == RANDOM:
        return replace(setup, dissector_options={**setup.dissector_options, "random_projection": seed})
    return replace(setup, constant=True)


def scores(dissections: Mapping[str, Dissection], layer: str, q: float = 0.05, top: int = 20, **calibration) -> pd.DataFrame:
    """A layer under several dissections, baselines among them, side by side.

    Parameters
    ----------
    dissections : mapping of setup to Dissection
    layer : str
        All of them have it.
    q : float
        False discovery rate of the labels that count as better than chance.
    top : int
        Strongest images of a neuron that its label is held against.
    **calibration
        n_null, seed, store, as `Dissection.labels` takes them with q.

    Returns
    -------
    DataFrame
        setup, kind ("model", or which of `KINDS` its name ends with), threshold (tau), better (share of neurons with a label
        better than chance), concepts (how many different ones these are: an untrained network answers to a few things that
        leap to the eye, well enough, with many neurons), precision (mean share of a neuron's strongest images that show its
        published label), prevalence (mean share of all images that do), lift (precision over prevalence). better and concepts
        are NaN for a constant label, the last three where nothing is known of what images show (see `known_presence`).
    """
    from mdissect.analysis import thresholds

    rows = []
    for setup, dissection in dissections.items():
        kind = next((kind for kind in KINDS if setup.endswith(f" {kind}")), "model")
        alone = _only(dissection, layer)
        row = {"setup": setup, "kind": kind, "threshold": thresholds(alone).threshold[0], "better": np.nan, "concepts": np.nan}
        if alone.settings.get("similarity") != "constant label":
            named = alone.labels(q=q, **calibration).concept
            row |= {"better": (named != "").mean(), "concepts": named[named != ""].nunique()}
        rows.append(row | _precision(alone, top))
    table = pd.DataFrame(rows)
    return table.assign(lift=table.precision / table.prevalence)


def check_seed(what: str, seed: int) -> None:
    """Raise TypeError for what is no seed: True and False would otherwise be taken for 1 and 0."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"{what} takes a seed, a whole number such as {what}=0, found {seed!r}")


def _initialise(module: nn.Module) -> list[str]:
    """Call every part's own reset_parameters; gives the parameters that none of them set."""
    floats = {name: parameter for name, parameter in module.named_parameters() if parameter.is_floating_point()}
    for parameter in floats.values():
        parameter.fill_(torch.nan)  # so that what stays can be told from what was set
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
        if callable(reset):
            reset()
    return [name for name, parameter in floats.items() if parameter.isnan().any()]


def _reset_buffers(module: nn.Module) -> list[str]:
    """Fresh statistics where no reset_parameters made them; gives the floating-point buffers of state that stay."""
    kept, stored = [], module.state_dict(keep_vars=True)
    for path, part in module.named_modules():
        own = {name: buffer for name, buffer in part.named_buffers(recurse=False) if f"{path}.{name}".lstrip(".") in stored}
        known = _FRESH_STATISTICS if "running_var" in own else {}
        for name, buffer in own.items():
            if name in known:
                buffer.fill_(known[name])
            elif buffer.is_floating_point():
                kept.append(f"{path}.{name}".lstrip("."))
    return kept


def _precision(dissection: Dissection, top: int) -> dict[str, float]:
    """Mean precision and prevalence of the labels whose presence is known; NaN where that of none is."""
    from mdissect.reportcard import known_presence

    presence = known_presence(dissection)
    shown = presence.astype("boolean").to_numpy(dtype=float, na_value=np.nan)  # (n_images, n_known)
    labels = dissection.labels()
    labels = labels[labels.concept.isin(presence.columns)]
    if labels.empty:
        return {"precision": np.nan, "prevalence": np.nan}
    column = presence.columns.get_indexer(labels.concept)
    strongest = {layer: np.argsort(-a, axis=0, kind="stable")[:top] for layer, a in dissection.activations.items()}
    among = [shown[strongest[row.layer][:, row.neuron], i] for row, i in zip(labels.itertuples(), column, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a label of whose strongest images nothing is known
        precision, prevalence = np.nanmean(among, axis=1), np.nanmean(shown, axis=0)[column]
    return {"precision": float(np.nanmean(precision)), "prevalence": float(np.nanmean(prevalence))}


def _only(dissection: Dissection, layer: str) -> Dissection:
    """The dissection with one layer alone, under the published rule."""
    if layer not in dissection.similarity:
        raise ValueError(f"no layer {layer!r}; there are {', '.join(dissection.layers)}")
    parts = {name: getattr(dissection, name) for name in ("similarity", "activations", "notes")}
    parts = {name: {layer: arrays[layer]} if layer in arrays else {} for name, arrays in parts.items()}
    return replace(dissection.published, **parts)


def _listed(names: Sequence[str], shown: int = 4) -> str:
    more = f", ... ({len(names) - shown} more)" if len(names) > shown else ""
    return f"{', '.join(names[:shown])}{more}"
