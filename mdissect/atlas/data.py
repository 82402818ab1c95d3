"""What an atlas says of the neurons: columns of a table, and what a neuron's page shows, as plain values for JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mdissect.atlas.further import BINS, Further, binned, further_images
from mdissect.atlas.images import Images, nearest_images, safe_facts, top_images
from mdissect.atlas.relations import concept_map, similar_neurons
from mdissect.columns import KEYS
from mdissect.concepts import ConceptSet, NameSearch, one_row_each
from mdissect.concepts.concept_set import needed
from mdissect.dissection import Dissection
from mdissect.explorers.glossary import meanings
from mdissect.explorers.reading import thresholds_by_depth
from mdissect.explorers.reading_list import result_digest
from mdissect.explorers.trust_table import Trust
from mdissect.explorers.verdicts import label_rule
from mdissect.facts import shared_facts
from mdissect.files import without_folders
from mdissect.metrics import strongest

CONCEPTS = 10  # most similar concepts listed of a neuron
NEURONS = 6  # most similar neurons listed of a concept, in each layer
FACTS = 5
SETTINGS = ("target", "dissector", "probe", "n_images", "n_concepts", "similarity", "top_k", "pool", "mdissect")
TRUSTED = ("q", "p", "p_label", "stability", "flag")


@dataclass
class Tables:
    """The data of an atlas: `plain` for JSON; `lists` are the images of each layer's neurons, `nearest` of each concept."""

    plain: dict
    images: Images
    lists: list[np.ndarray] = field(default_factory=list)
    nearest: list[np.ndarray] = field(default_factory=list)
    further: list[Further] = field(default_factory=list)  # of each layer


def tables(
    found: Mapping[str, Dissection],
    images: Images,
    trust: Mapping[str, pd.DataFrame | None],
    heads: Mapping[str, dict | None],
    rule: str = "top",
) -> Tables:
    """All that an atlas says of some dissections; `heads` are as `head_weights` returns them."""
    concepts = _all_concepts(found)
    place = {name: i for i, name in enumerate(concepts["name"])}
    taus, remarks = _thresholds(found, rule)
    result = Tables({"concepts": concepts, "remarks": remarks, "search": NameSearch(concepts["name"]).data()}, images)
    models, parts, draws, start = [], [], [], 0
    for number, (model, dissection) in enumerate(found.items()):
        layers = []
        for layer, scores in dissection.similarity.items():
            layers.append({"name": layer, "n": len(scores), "start": start, "threshold": _rounded(taus[model][layer])})
            start += len(scores)
        models.append(_model(model, dissection, layers, heads.get(model)))
        known = Trust(_trust(dissection, trust.get(model)), dissection)
        draws.append(known.draws)
        parts.append(_neurons(dissection, number, known, taus[model], place))
        result.lists += [_image_numbers(dissection, layer, images, model) for layer in dissection.layers]
        result.further += further_images(dissection, images, model, _label_names(dissection))
    neurons = _joined(parts)
    neurons |= _of_all(found, heads, place)
    neurons["images"] = [[int(i) for i in row] for one in result.lists for row in one]
    neurons["shows"] = [one and [one[0], _rounded(one[1])] for layer in result.further for one in layer.shows]
    near = [(model, one) for model, d in found.items() if (one := nearest_images(d)) is not None]
    result.nearest = [images.of(model, one) for model, one in near]
    concepts["images"] = _concept_images(found, result.nearest, [model for model, _ in near], place)
    concepts["neurons"] = _concept_neurons(found, place)
    shown = {"id": images.shown, "caption": images.captions, "patient": images.patients, "side": images.sides}
    alike = draws[0] if all(one == draws[0] for one in draws) else {}
    terms = meanings(rule, alike, compared=len(found) > 1 and _alike(found))
    result.plain |= {"models": models, "neurons": neurons, "images": shown, "terms": terms}
    return result


def _label_names(dissection: Dissection) -> dict[str, list[str]]:
    """The labels of each layer's neurons; "" for none."""
    labels = dissection.labels()
    return {layer: rows.sort_values("neuron").concept.tolist() for layer, rows in labels.groupby("layer", sort=False)}


def _all_concepts(found: Mapping[str, Dissection]) -> dict:
    rows = pd.concat([dissection.concepts.table for dissection in found.values()], ignore_index=True)
    each = one_row_each(ConceptSet.from_table(rows.drop_duplicates(["concept", "category", "broad_category"])))
    needs = each.evidence.map(needed)
    return {"name": [*each.concept], "category": [*each.category], "broad": [*each.broad_category], "needs": [*needs]}


def _thresholds(found: Mapping[str, Dissection], rule: str) -> tuple[dict[str, dict[str, float | None]], list[str]]:
    """Thresholds by model and layer: the models' largest at each depth, if they have as many layers; and remarks on that."""
    alike = _alike(found)
    remarks = [] if alike else ["The models have different numbers of layers: each has its own thresholds."]
    if len({dissection.trusted is not None for dissection in found.values()}) > 1:
        remarks.append("Only some of the models are calibrated: which labels count is decided differently.")
    if len({(d.settings.get("dissector"), d.settings.get("dissector_weights")) for d in found.values()}) > 1:
        remarks.append("The models were labelled by different dissectors: their similarities are not on one scale.")
    shared = thresholds_by_depth(list(found.values()), rule) if alike else None
    taus = {
        model: dict(zip(d.layers, shared if alike else thresholds_by_depth([d], rule), strict=True))
        for model, d in found.items()
    }
    return taus, remarks


def _alike(found: Mapping[str, Dissection]) -> bool:
    """Whether all models have as many layers, so that these are compared by their depth."""
    return len({len(dissection.layers) for dissection in found.values()}) == 1


def _trust(dissection: Dissection, table: pd.DataFrame | None) -> pd.DataFrame | None:
    return dissection.trusted if table is None else table


def _model(name: str, dissection: Dissection, layers: Sequence[dict], head: dict | None) -> dict:
    settings = {key: dissection.settings[key] for key in SETTINGS if key in dissection.settings}
    notes = without_folders([str(note) for note in dissection.settings.get("target_notes", ())])
    return {
        "name": name,
        "layers": list(layers),
        "settings": {key: str(value) for key, value in without_folders(settings).items()},
        "notes": notes,
        "calibrated": dissection.trusted is not None,
        "digest": result_digest(dissection),
        "rule": label_rule(dissection),
        "patients": len(set(dissection.patients)) if dissection.patients else None,
        "head": {key: head[key] for key in ("layer", "classes")} if head else None,
    }


def _neurons(
    dissection: Dissection, model: int, trust: Trust, taus: Mapping[str, float | None], place: Mapping[str, int]
) -> dict[str, list]:
    """Columns of a model's neurons, in the order of its layers."""
    labels = dissection.labels()
    order = {layer: i for i, layer in enumerate(dissection.layers)}
    labels = labels.iloc[np.lexsort((labels.neuron, labels.layer.map(order)))].reset_index(drop=True)
    known = trust.columns(labels[["layer", "neuron", "concept"]])
    named = labels.concept != ""
    tau = labels.layer.map(lambda layer: taus[layer] if taus[layer] is not None else np.inf)
    passes = named if dissection.trusted is not None else named & (labels.similarity >= tau)
    columns = {
        "model": [model] * len(labels),
        "label": [place.get(name, -1) for name in labels.concept],
        "similarity": _numbers(labels.similarity),
        "passes": [int(one) for one in passes],
        "note": [str(one) for one in labels.note],
    }
    for name in TRUSTED:
        if name in known:
            columns[name] = [_cell(value) for value in known[name]]
    if "calibrated_concept" in known:
        columns["calibrated"] = [place.get(name, -1) for name in known.calibrated_concept.fillna("")]
    if dissection.columns is not None:
        attached = [name for name in dissection.columns if name not in KEYS]
        columns["attached"] = {str(name): [_cell(value) for value in known[name]] for name in attached}
    return columns


def _joined(parts: Sequence[dict]) -> dict:
    """Columns of several models one after the other; null where a model does not have one."""
    sizes = [len(part["label"]) for part in parts]

    def column(name: str, columns: Sequence[dict]) -> list:
        return [value for one, n in zip(columns, sizes, strict=True) for value in one.get(name, [None] * n)]

    names = dict.fromkeys(name for part in parts for name in part if name != "attached")
    attached = [part.get("attached", {}) for part in parts]
    more = dict.fromkeys(name for one in attached for name in one)
    return {name: column(name, parts) for name in names} | {"attached": {name: column(name, attached) for name in more}}


def _of_all(found: Mapping[str, Dissection], heads: Mapping[str, dict | None], place: Mapping[str, int]) -> dict[str, list]:
    """What the pages of the neurons show, neuron by neuron through all models and layers."""
    own = {model: np.array([place[name] for name in d.concepts.names]) for model, d in found.items()}
    rows: dict[str, list] = {name: [] for name in ("concepts", "activations", "bins", "facts", "weights", "similar")}
    for model, dissection in found.items():
        head = heads.get(model)
        safe = Dissection(
            dissection.similarity, dissection.concepts, dissection.settings, dissection.activations,
            probe_table=safe_facts(dissection.probe_table),
        )  # fmt: skip
        for layer, scores in dissection.similarity.items():
            rows["concepts"] += _best(scores, own[model])
            weights = head["weights"] if head and head["layer"] == layer else [[]] * len(scores)
            rows["weights"] += weights
            best = top_images(dissection, layer)
            rows["activations"] += [[]] * len(scores) if best is None else [_numbers(values) for values in best.activations]
            if layer not in dissection.activations:
                for name in ("bins", "facts"):
                    rows[name] += [[]] * len(scores)
                continue
            rows["bins"] += [_histogram(column) for column in dissection.activations[layer].T]
            rows["facts"] += _facts(safe, layer, len(scores))
    rows["similar"] = _similar(found)
    rows["places"] = _places(found)
    return rows


def _best(scores: np.ndarray, own: np.ndarray) -> list[list]:
    filled = np.where(np.isnan(scores), -np.inf, scores)
    order = strongest(filled, CONCEPTS, axis=1)
    values = np.take_along_axis(filled, order, axis=1)
    return [
        [[int(own[c]), _rounded(v)] for c, v in zip(row, value, strict=True) if np.isfinite(v)]
        for row, value in zip(order, values, strict=True)
    ]


def _histogram(column: np.ndarray) -> list:
    """Least, most, and the number of images in each of 24 bins between."""
    if (found := binned(column)) is None:
        return []
    low, high, bins = found
    return [_rounded(low), _rounded(high), np.bincount(bins[bins >= 0], minlength=BINS).tolist()]


def _facts(dissection: Dissection, layer: str, n_neurons: int) -> list[list]:
    shared = shared_facts(dissection, layer)
    rows: list[list] = [[] for _ in range(n_neurons)]
    columns = (shared.neuron, shared.fact, shared.in_top, shared.of_top, shared.share_all)
    for neuron, fact, in_top, of_top, share in zip(*columns, strict=True):
        if len(rows[neuron]) < FACTS:
            rows[neuron].append([str(fact), int(in_top), int(of_top), _rounded(share)])
    return rows


def _similar(found: Mapping[str, Dissection]) -> list[list]:
    """Similar neurons of all neurons; only models that were shown the same images are compared."""
    rows: list[list] = [[] for d in found.values() for scores in d.similarity.values() for _ in scores]
    groups: dict[tuple, list[tuple[int, int, np.ndarray]]] = {}
    start = 0
    for number, dissection in enumerate(found.values()):
        for layer, scores in dissection.similarity.items():
            if layer in dissection.activations:
                key = tuple(dissection.probe_table.index)
                groups.setdefault(key, []).append((number, start, dissection.activations[layer]))
            start += len(scores)
    for group in groups.values():
        numbers = np.concatenate([np.arange(first, first + one.shape[1]) for _, first, one in group])
        for at, near in zip(numbers, similar_neurons([one for *_, one in group], [m for m, *_ in group]), strict=True):
            rows[at] = [[int(numbers[i]), r] for i, r in near]
    return rows


def _places(found: Mapping[str, Dissection]) -> list:
    """Places of all neurons on the map, in thousandths; null where one has none."""
    first, *others = [dissection.concepts.names for dissection in found.values()]
    everywhere = set(first).intersection(*others)
    shared = [name for name in first if name in everywhere]
    profiles = []
    for dissection in found.values():
        at = {name: i for i, name in enumerate(dissection.concepts.names)}
        columns = [at[name] for name in shared]
        profiles += [scores[:, columns] for scores in dissection.similarity.values()]
    places = concept_map(np.concatenate(profiles)) if shared else np.full((sum(map(len, profiles)), 2), np.nan)
    return [[round(1000 * x), round(1000 * y)] if math.isfinite(x) else None for x, y in places.tolist()]


def _image_numbers(dissection: Dissection, layer: str, images: Images, model: str) -> np.ndarray:
    best = top_images(dissection, layer)
    if best is None:
        return np.empty((len(dissection.similarity[layer]), 0), dtype=int)
    return images.of(model, best.images)


def _concept_images(found: Mapping, nearest: Sequence[np.ndarray], models: Sequence[str], place: Mapping[str, int]) -> list:
    """The images nearest to each concept, in the first model that knows them."""
    rows: list[list] = [[] for _ in place]
    for model, numbers in zip(models, nearest, strict=True):
        for name, own in zip(found[model].concepts.names, numbers, strict=True):
            rows[place[name]] = rows[place[name]] or [int(i) for i in own]
    return rows


def _concept_neurons(found: Mapping[str, Dissection], place: Mapping[str, int]) -> list[list]:
    """The most similar neurons of each concept, a few in each layer of each model: [neuron, similarity]."""
    rows: list[list] = [[] for _ in place]
    start = 0
    for dissection in found.values():
        for scores in dissection.similarity.values():
            filled = np.where(np.isnan(scores), -np.inf, scores)
            order = strongest(filled, NEURONS)
            for column, name in enumerate(dissection.concepts.names):
                best = [(int(n), filled[n, column]) for n in order[:, column]]
                rows[place[name]] += [[start + n, _rounded(value)] for n, value in best if np.isfinite(value)]
            start += len(scores)
    return rows


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [_rounded(value) for value in values]


def _rounded(value: float | None) -> float | None:
    """A number with four digits; None where it is missing or not finite."""
    return float(f"{value:.4g}") if value is not None and math.isfinite(value) else None


def _cell(value: object) -> float | str | bool | None:
    """A value of an attached column for JSON."""
    if value is None or value is pd.NA or value != value:
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return _rounded(float(value)) if isinstance(value, (int, float, np.number)) else str(without_folders(str(value)))
