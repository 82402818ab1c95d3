"""The store's entries of a pass over a probe: what their values depend on."""

from collections.abc import Mapping, Sequence
from itertools import chain

from torch import nn

from mdissect.arguments import known_option, strings
from mdissect.models import Dissector, Target, weights_fingerprint
from mdissect.outputs import as_layouts, find_layer
from mdissect.passing import PassOptions
from mdissect.probes import Probe
from mdissect.store import Entry, MemoryStore, Store, entry_name

LAYOUT = "settled by sizes and modules"  # activations of older rules, which went by the number of axes, are not read


def embeddings_entry(
    dissector: Dissector, probe: Probe, probe_key: str, store: Store | MemoryStore, options: PassOptions
) -> Entry:
    """The store's entry of a dissector's image embeddings."""
    return store.entry(
        {
            "kind": "images",
            "probe": probe_key,
            "weights": dissector.fingerprint,
            "versions": library_versions(),
            "preprocess": dissector.preprocess.key() if dissector.needs_pixels else None,
        }
        | (options.numerics(own_tower(dissector), dissector.preprocess) if dissector.needs_pixels else {}),
        len(probe),
        about={"model": dissector.name, "probe": probe.name},
    )


def activation_entries(
    target: Target,
    probe: Probe,
    probe_key: str,
    layers: Sequence[str],
    pool: str,
    store: Store | MemoryStore,
    options: PassOptions,
) -> dict[str, Entry]:
    """The store's entries of a target's layers on a probe; an error for what cannot be recorded."""
    for layer in layers:
        find_layer(target.module, layer)
    as_layouts(options.axes or {}, layers)  # an unknown layer is an error
    check_unchanged(target)
    seen = {"probe": probe_key, "pool": pool, "weights": target.fingerprint, "preprocess": target.preprocess.key()}
    seen |= {"layout": LAYOUT} | options.numerics(target.module, target.preprocess)
    return {
        layer: store.entry(
            {"kind": "activations", "layer": layer, **seen, "versions": library_versions(), **options.key(layer, pool)},
            len(probe),
            about={"model": target.name, "probe": probe.name},
        )
        for layer in layers
    }


def target_entries(
    targets: Mapping[str, Target],
    layers: Mapping[str, Sequence[str]],
    probe: Probe,
    probe_key: str,
    pool: str,
    store: Store | MemoryStore,
    options: PassOptions,
) -> dict[str, dict[str, Entry]]:
    """`activation_entries` of several targets by name; an entry that several of them need is one.

    A target whose layers are not given has its own choice. ValueError for no target at all, and layers or axes of none.
    """
    if not targets:
        raise ValueError("targets is empty; give one at least, such as {'M': load_target('demo/mammo')}")
    known_option("layers", layers, targets)
    wanted = {name: strings(f"layers[{name!r}]", layers.get(name, target.layers)) for name, target in targets.items()}
    as_layouts(options.axes or {}, list(dict.fromkeys(chain.from_iterable(wanted.values()))))  # an unknown layer is an error
    entries, known = {}, {}
    for name, target in targets.items():
        own = activation_entries(target, probe, probe_key, wanted[name], pool, store, options.of(wanted[name]))
        entries[name] = {layer: known.setdefault(entry_name(entry.key), entry) for layer, entry in own.items()}
    return entries


def own_tower(dissector: Dissector) -> nn.Module | None:
    """The image tower of a dissector that can be given another one."""
    tower = dissector.image_tower
    return None if tower is None or dissector.with_image_tower(tower) is None else tower


def check_unchanged(target: Target) -> None:
    """Raise ValueError for a target whose weights are no longer those that its fingerprint is of."""
    if weights_fingerprint(target.module) != target.fingerprint:
        raise ValueError(
            f"the weights of target {target.name!r} changed since it was loaded; make a new target: load_target(...)"
        )


def library_versions() -> dict[str, str]:
    """Versions of the libraries that the stored values depend on."""
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "timm", "transformers")}
