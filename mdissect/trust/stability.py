"""Label stability: under patient bootstrap, and under other settings of the method."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from mdissect.arguments import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, Check, shown, texts
from mdissect.calibrate import judge_neurons
from mdissect.chance import Null, random_rankings
from mdissect.choice import choose
from mdissect.concepts import ConceptSet, variant_key
from mdissect.dissection import Dissection
from mdissect.labels import LayerData, check_calibratable, layer_of, nulls_of
from mdissect.signatures import validated
from mdissect.store import StoreLike

KINDS = ("same_concept", "same_category", "same_broad_category", "same_keyword")
RULES = ("calibrated", "published")
GRID_NULL = 200  # random rankings at each point of the grid: enough for a gate


@validated(layers=texts, n_boot=AT_LEAST_ONE, rule=RULES)
def stability(
    dissection: Dissection,
    layers: Sequence[str] | None = None,
    n_boot: int = 200,
    seed: int = 0,
    rule: str = "calibrated",
    store: StoreLike = None,
) -> pd.DataFrame:
    """Share of bootstrap resamples of the patients in which a neuron keeps its label.

    >>> stability(found, ["bn2"], n_boot=50)[["neuron", "concept", "same_concept", "score"]]      # doctest: +SKIP

    Patients are drawn with replacement, each with all images; if the probe names no patients, images are drawn. Evidence is
    always compared with the whole probe's null.

    Parameters
    ----------
    layers : sequence of str, optional
        All of the dissection's when None.
    n_boot : int
        Resamples.
    rule : {"calibrated", "published"}
        By which rule neurons are named.

    Returns
    -------
    DataFrame
        A row per neuron that can be named: layer, neuron, concept (by the rule, whatever q is), same_concept, same_category,
        same_broad_category, same_keyword (shares of the resamples whose label agrees with it in that; a keyword is the last
        word of a concept, "mass" of "oval mass"), score (their mean).

    Raises
    ------
    ValueError
        Unknown rule or layer, n_boot below 1, a single patient, or a dissection that cannot be calibrated (see
        `trusted_labels`).
    """
    check_calibratable(dissection)
    layers = dissection.layers if layers is None else list(layers)
    if unknown := sorted(set(layers) - set(dissection.layers)):
        raise ValueError(f"no layer {', '.join(unknown)}; there are {', '.join(dissection.layers)}")
    null = nulls_of(dissection, store=store)[0]
    samples, parts = resamples(dissection, n_boot, seed), []
    alike, names = _agreeing(dissection.concepts), np.array(dissection.concepts.names, dtype=object)
    for layer in layers:
        data = layer_of(dissection, layer)
        name = _naming(data, null, rule)
        label, again = name(data), [name(data.on(images)) for images in samples]
        shares = {kind: np.mean([same[label, one] for one in again], axis=0) for kind, same in alike.items()}
        table = pd.DataFrame({"layer": layer, "neuron": data.neurons, "concept": names[label], **shares})
        parts.append(table.assign(score=table[list(KINDS)].mean(axis=1)))
    return pd.concat(parts, ignore_index=True)


def _points(check: Check) -> Check:
    """The check of a list of settings."""

    def each(name: str, values: Sequence) -> list:
        if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable):
            raise TypeError(f"{name}={shown(values)} must be a list of numbers")
        if not (values := list(values)):
            raise ValueError(
                f"{name}=[] must be a list of numbers, one at least; None: half, exactly and twice the own setting"
            )
        return [check(f"{name}[{i}]", one) for i, one in enumerate(values)]

    return each


@validated(top_k=_points(AT_LEAST_ONE), a=_points(POSITIVE), lam=_points(NOT_NEGATIVE), rule=RULES)
def sensitivity(
    dissection: Dissection,
    layer: str,
    top_k: Sequence[int] | None = None,
    a: Sequence[float] | None = None,
    lam: Sequence[float] | None = None,
    rule: str = "calibrated",
) -> pd.DataFrame:
    """Share of labels that stay the same under other settings of the method.

    Parameters
    ----------
    top_k, a, lam : sequences
        Half of, exactly, and twice the dissection's own setting when None.

    Returns
    -------
    DataFrame
        A row per combination: top_k, a, lam, own (bool: the dissection's own setting), then the shares of neurons whose label
        agrees with the one of the own setting: same_concept, same_category, same_broad_category, same_keyword.
    """
    check_calibratable(dissection)
    data, n_images = layer_of(dissection, layer), len(dissection.image_concept_sims)
    own = {"top_k": data.top_k, "a": data.options.a, "lam": data.options.lam}
    around = {name: [value / 2, value, value * 2] for name, value in own.items()}
    top_k = top_k or sorted({min(max(1, int(k)), n_images) for k in around["top_k"]})
    points = [{"top_k": k, "a": s, "lam": w} for k in top_k for s in a or around["a"] for w in lam or around["lam"]]
    nulls = {}

    def labels_at(point: dict) -> np.ndarray:
        options = replace(data.options, a=point["a"], lam=point["lam"])
        if (key := (point["top_k"], point["a"])) not in nulls:  # lam does not change it
            nulls[key] = random_rankings(data.sims, point["top_k"], GRID_NULL, patients=dissection.patients, options=options)
        return _naming(data, replace(nulls[key], options=options), rule)(data)

    reference, alike, rows = labels_at(own), _agreeing(dissection.concepts), []
    for point in points:
        label = labels_at(point)
        rows.append({**point, "own": point == own} | {kind: same[reference, label].mean() for kind, same in alike.items()})
    return pd.DataFrame(rows)


def _naming(data: LayerData, null: Null, rule: str) -> Callable[[LayerData], np.ndarray]:
    """Labels a layer on any of its images: (n_usable,) positions of concepts, for neurons usable on the images of `data`."""
    if rule == "published":
        return lambda part: replace(part, top_k=null.top_k, options=null.options).similarity().argmax(dim=1).numpy()
    named = judge_neurons(data.sims, data.activations, [null]).label >= 0
    passing = torch.from_numpy(named.to_numpy(copy=True))

    def name(part: LayerData) -> np.ndarray:
        statistic = null.evidence(part.likelihood(null)).amax(dim=1)
        return choose(part.scores(null), statistic, passing).numpy()

    return name


def resamples(dissection: Dissection, n_boot: int, seed: int) -> list[np.ndarray]:
    """Positions of the images of each bootstrap sample: patients drawn with replacement, each with all images."""
    n_images, rng = len(dissection.image_concept_sims), np.random.default_rng(seed)
    code = pd.factorize(np.array(dissection.patients or range(n_images), dtype=object))[0]
    if code.max() == 0:
        of_one = "there is one image" if n_images == 1 else f"all {n_images} images are of one patient"
        raise ValueError(f"{of_one}, so that nothing can be resampled; use a probe of more patients")
    images = [np.flatnonzero(code == patient) for patient in range(code.max() + 1)]
    return [np.concatenate([images[i] for i in rng.integers(0, len(images), len(images))]) for _ in range(n_boot)]


def _agreeing(concepts: ConceptSet) -> dict[str, np.ndarray]:
    """For each of `KINDS`, (n_concepts, n_concepts) bool: whether two labels agree in that."""
    names, result = list(concepts.names), {"same_concept": np.eye(len(concepts), dtype=bool)}
    groups = [concepts.table[["concept", column]] for column in ("category", "broad_category")]
    keywords = pd.DataFrame({"concept": names, "keyword": [variant_key(name.split()[-1]) for name in names]})
    for kind, pairs in zip(KINDS[1:], [*groups, keywords], strict=True):
        named = pairs[pairs.iloc[:, 1] != ""]
        member = pd.crosstab(named.iloc[:, 0], named.iloc[:, 1]).reindex(names, fill_value=0).to_numpy() > 0
        result[kind] = (member.astype(np.float32) @ member.T.astype(np.float32) > 0) | result["same_concept"]
    return result
