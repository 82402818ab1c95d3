"""Several targets on one probe in one pass."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain

import numpy as np
import torch

from mdissect.arguments import AT_LEAST_ONE, known_option, shown, texts
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection, as_concepts
from mdissect.embed import Recording, embed_probes, fill_store, store_probe
from mdissect.hooks import POOLS
from mdissect.method import Found, Naming, naming_by
from mdissect.models import Dissector, Target
from mdissect.outputs import as_layouts
from mdissect.passing import PassOptions
from mdissect.precision import FIRST_IMAGES, checked_precision
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.similarity import SIMILARITIES
from mdissect.store import StoreLike, open_store
from mdissect.streaming import is_streamed, on_disk

Agreed = tuple[PassOptions, dict[str, float]]


def _layers(name: str, value: object) -> Mapping[str, tuple[str, ...]]:
    """The check of layers by target."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}={shown(value)} must be a mapping of targets to their layers, such as {{'M': ['blocks.6.2']}}")
    return {target: texts(f"{name}[{target!r}]", layers) for target, layers in value.items()}


@validated(
    layers=_layers, similarity=SIMILARITIES, top_k=AT_LEAST_ONE, pool=POOLS, concepts=lambda _, value: as_concepts(value)
)
def dissect_many(
    targets: Mapping[str, Target],
    dissector: Dissector,
    probe: Probe,
    concepts: ConceptSet | Sequence[str],
    layers: Mapping[str, Sequence[str]] | None = None,
    similarity: str = "soft_wpmi",
    top_k: int = 100,
    pool: str = "mean",
    store: StoreLike = None,
    device: str | torch.device = "auto",
    options: PassOptions | None = None,
    **similarity_options: float,
) -> dict[str, Dissection]:
    """Name the neurons of several targets, in one pass over the probe: what `dissect` gives of each, by name.

    >>> found = dissect_many({"M": load_target("demo/mammo"), "C1": load_target("demo/C1")}, load_dissector("demo/mammo"),
    ...                      load_probe("phantom", n_images=500), load_concepts("mammography"))     # doctest: +SKIP
    >>> found["C1"].similarity["bn2"].shape                                                         # doctest: +SKIP
    (256, 791)

    Each image is read once, and prepared once in each way that a model asks for; the dissector sees it once, and a target that
    is its image tower shares its forward pass. The store's entries are those of `dissect`: what either left there is not
    computed again.

    Parameters
    ----------
    targets : mapping of str to Target
        All of them are in the device's memory together.
    layers : mapping of str to sequence of str, optional
        By target, its module paths; the target's own choice where none are given.
    options : PassOptions, optional
        Its `axes` hold for the layers of that name of every target; a target whose labels in bf16 differ from those in float32
        runs in float32, in a pass of its own.
    dissector, probe, concepts, similarity, top_k, pool, store, device, **similarity_options
        As in `dissect`.

    Raises
    ------
    ValueError
        No target, layers of one that is not there, and what `dissect` raises.
    TypeError
        An argument of another kind.

    Warns
    -----
    UserWarning
        As `dissect`.
    """
    if not targets:
        raise ValueError("targets is empty; give one at least, such as {'M': load_target('demo/mammo')}")
    known_option("layers", layers or {}, targets)
    wanted = {name: texts("layers", (layers or {}).get(name, target.layers)) for name, target in targets.items()}
    options, store = options or PassOptions(), open_store(store)
    as_layouts(options.axes or {}, list(chain.from_iterable(wanted.values())))  # an unknown layer is an error
    rule = {"similarity": similarity, "top_k": top_k, **similarity_options}
    naming = naming_by(dissector, probe, concepts, rule, pool, store, device)

    def run(names: Sequence[str], images: Probe, chosen: PassOptions) -> dict[str, Recording]:
        some, own = {name: targets[name] for name in names}, {name: wanted[name] for name in names}
        return embed_probes(some, dissector, images, own, pool, store, device, chosen.of(chain.from_iterable(own.values())))

    def first(chosen: PassOptions) -> dict[str, Recording]:
        return run(list(targets), probe.subset(slice(FIRST_IMAGES)), chosen)

    agreed = _agreed(targets, naming, options.on(naming.device), first)
    passes = [
        (chosen, [name for name, (options, _) in agreed.items() if options == chosen])
        for chosen in {options.precision: options for options, _ in agreed.values()}.values()
    ]
    found: dict[str, Found] = {}
    if is_streamed(options, len(probe), store):
        with on_disk(store) as kept:
            for chosen, names in passes:
                some, own = {name: targets[name] for name in names}, {name: wanted[name] for name in names}
                fill_store(some, [dissector], probe, own, kept, pool, device, chosen.of(chain.from_iterable(own.values())))
            for name, target in targets.items():
                record = partial(store_probe, target, dissector, probe, wanted[name], pool, device=device)
                found[name] = naming.in_blocks(record, kept, agreed[name][0].of(wanted[name]))
    left = [(chosen, [name for name in names if found.get(name) is None]) for chosen, names in passes]
    for chosen, names in left:
        found |= {name: naming.at_once(one) for name, one in run(names, probe, chosen).items()} if names else {}
    dissections = {}
    for name, target in targets.items():  # no comprehension: a warning is to point at the caller
        chosen, agreement = agreed[name]
        dissections[name] = naming.dissection(target, found[name], chosen.of(wanted[name]), agreement)
    return dissections


def _agreed(
    targets: Mapping[str, Target], naming: Naming, options: PassOptions, first: Callable[[PassOptions], dict[str, Recording]]
) -> dict[str, Agreed]:
    """By target, what `checked_precision` gives; the first images run once in each precision for all targets."""
    known: dict[str, dict[str, Recording]] = {}

    def scores_of(name: str, chosen: PassOptions) -> dict[str, np.ndarray]:
        if chosen.precision not in known:
            known[chosen.precision] = first(chosen)
        return naming.first_scores(known[chosen.precision][name])

    return {name: checked_precision(options, partial(scores_of, name)) for name in targets}
