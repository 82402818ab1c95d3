"""Which neurons a reader study is about, and the order in which each reader sees them; the atlas uses the same order."""

import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from mdissect.arguments import has_columns, shown, whole_number
from mdissect.dissection import Dissection

Place = tuple[str, int]  # layer and neuron
IDENTITY = ("target", "target_weights", "dissector", "dissector_weights", "probe", "probe_key", "n_images", "pool", "source")


def neurons_of_study(name: str, value: object) -> int | list[Place] | None:
    """The check of `Notes(neurons=)`: None (all), a number in each layer, or a list or table of layers and neurons."""
    if value is None:
        return None
    if isinstance(value, pd.DataFrame):
        has_columns(name, value, "layer", "neuron")
        value = list(zip(value.layer, value.neuron, strict=True))
    if not isinstance(value, (list, tuple)):
        if isinstance(value, str) or not np.isscalar(value):
            raise TypeError(f"{name}={shown(value)} must be a number in each layer, or a list of (layer, neuron)")
        return whole_number(name, value, least=1)
    places: list[Place] = []
    for one in value:
        if not (isinstance(one, (list, tuple)) and len(one) == 2 and isinstance(one[0], str)):
            raise TypeError(f"{name} holds {shown(one)}; expected (layer, neuron), such as ('bn2', 73)")
        places.append((one[0], whole_number(f"{name}: neuron", one[1], least=0)))
    if not places:
        raise ValueError(f"{name}=[] is empty; give the neurons to judge, or None for all")
    return list(dict.fromkeys(places))


def reading_list(
    dissection: Dissection,
    neurons: int | Sequence[Place] | None,
    result: str = "",
    seed: int = 0,
    named: Iterable[Place] | None = None,
) -> list[Place]:
    """The neurons to judge, by layer and number: all, those given, or a random sample of each layer (all of a smaller one).

    `named`: only these count, where given. ValueError: a place that the dissection does not have.
    """
    there = {layer: len(scores) for layer, scores in dissection.similarity.items()}
    only = None if named is None else set(named)
    if isinstance(neurons, list):
        for layer, neuron in neurons:
            if not 0 <= neuron < there.get(layer, 0):
                has = ", ".join(f"{name} (0 to {n - 1})" for name, n in there.items())
                raise ValueError(f"neurons: this dissection has no neuron {neuron} of {layer!r}; it has {has}")
        order = list(there)
        kept = sorted(neurons, key=lambda place: (order.index(place[0]), place[1]))
        return [place for place in kept if only is None or place in only]
    chosen: list[Place] = []
    for layer, n in there.items():
        places = [(layer, neuron) for neuron in range(n) if only is None or (layer, neuron) in only]
        chosen += sorted(in_order(places, result, "", seed)[: len(places) if neurons is None else neurons])
    return chosen


def in_order(places: Iterable[Place], result: str, reader: str, seed: int = 0) -> list[Place]:
    """The places shuffled for a reader: always the same for the same seed, on every machine."""
    return sorted(places, key=lambda place: (shuffling_key(f"{seed}|{reader}|{result}|{place[0]}|{place[1]}"), place))


def shuffling_key(text: str) -> int:
    """32 bits of a text's UTF-8 (FNV-1a, mixed as in MurmurHash3), to shuffle by; `shufflingKey` of the atlas is the same."""
    key = 0x811C9DC5
    for byte in text.encode("utf-8", "replace"):
        key = (key ^ byte) * 0x01000193 & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        key = (key ^ key >> shift) * factor & 0xFFFFFFFF
    return key ^ key >> 16


def result_digest(dissection: Dissection) -> str:
    """Twelve digits of what a verdict is about: networks, probe, concepts and layers; no computed number is in them."""
    facts = {name: dissection.settings[name] for name in IDENTITY if name in dissection.settings}
    layers = {layer: len(scores) for layer, scores in dissection.similarity.items()}
    text = json.dumps([facts, layers, list(dissection.concepts.names)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
