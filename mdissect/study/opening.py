"""Opening a study: a profile with what a user changes of it."""

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from numbers import Real

import numpy as np

from mdissect.arguments import AT_LEAST_ONE, NOT_NEGATIVE, RATE, Check, kind_of, known_option, shown, texts, whole_number
from mdissect.embed import PassOptions
from mdissect.paths import figures_dir, store_dir
from mdissect.signatures import ANYTHING, validated
from mdissect.study.locations import with_local_paths
from mdissect.study.profiles import PROFILES, baseline_setup, only_setups, with_dissector, with_probe, with_targets
from mdissect.study.study import Study


def _name_or_path(name: str, value: str | os.PathLike) -> str:
    kind_of(name, value, (str, os.PathLike))
    return str(value)


_SETTINGS: dict[str, Check] = {
    "n_images": AT_LEAST_ONE,
    "seed": partial(whole_number, least=0),
    "top_k": AT_LEAST_ONE,
    "lam": NOT_NEGATIVE,
    "layers": texts,
    "concepts": _name_or_path,
}


def _level(name: str, value: bool | float) -> float | None:
    """The false discovery rate of calibrated labels; None for False."""
    if isinstance(value, (bool, np.bool_)):
        return 0.05 if value else None
    if not isinstance(value, (Real, np.number)):
        raise TypeError(f"{name}={shown(value)} must be True, False, or a rate above 0 and below 1, such as 0.05")
    return RATE(name, value)


@validated(
    profile=PROFILES,
    calibrated=ANYTHING,
)
def open_study(
    profile: str = "demo",
    *,
    setups: Sequence[str] | None = None,
    probe: str = "",
    probe_options: Mapping | None = None,
    targets: Mapping[str, Mapping] | None = None,
    dissector: str = "",
    baselines: Sequence[str] = (),
    calibrated: bool | float = False,
    known_only: bool = False,
    progress: bool = True,
    **settings,
) -> Study:
    """Open a study; whatever is left empty comes from the profile.

    >>> study = open_study("demo", n_images=500)
    >>> study.dissect("M").labels()

    Parameters
    ----------
    profile : str
        "demo" or "paper".
    setups : sequence of str
        The setups wanted, by name; what they need of a probe is computed in one pass. All of the profile's when None.
    probe, probe_options
        Another probe in place of the mammograms, such as ``probe="folder", probe_options={"path": "my_images"}``; options
        alone change the profile's.
    targets : mapping
        Further setups by name: ``{"mine": {"target": "timm/resnet18", "checkpoint": "net.pth"}}``; "dissector" may name
        another dissector ("labels:<column>" too) than the last setup's, the rest of an entry is handed to `load_target`.
    dissector : str
        One dissector for all setups in place of each setup's own: a fair comparison of targets. "labels:<column>" makes the
        oracle of a metadata column of the probe; its labels then are the concepts, unless `concepts` names others.
    baselines : sequence of str
        Control baselines, set after the others: the name of a setup and "untrained", "random dissector" or "constant",
        such as "M untrained" (see `mdissect.trust.baselines`).
    calibrated : bool or float
        True: only labels count that are better than chance at a false discovery rate of 0.05 (see
        `mdissect.Dissection.calibrated`); a number: at that rate.
    known_only : bool
        Leave out the concepts that a setup's dissector cannot tell from chance (see `trust.report_card`): the presence
        of some concepts in the probe's images must be known.
    **settings
        n_images and seed (of a generated probe), top_k (of every setup), lam (of soft_wpmi), layers (of all targets), concepts
        (a name or path); None or "" leaves the profile's.

    Raises
    ------
    ValueError
        Unknown profile, setup, baseline or setting, or an entry of `targets` without "target".
    """
    known_option("open_study", settings, _SETTINGS)
    given = {name: _SETTINGS[name](name, value) for name, value in settings.items() if value is not None and str(value) != ""}
    chosen = with_targets(only_setups(with_local_paths(PROFILES[profile]), setups), targets or {})
    if dissector:
        chosen = with_dissector(chosen, dissector)
    added = {name: baseline_setup(name, chosen.setups) for name in baselines}
    chosen = replace(chosen, setups={**chosen.setups, **added})
    options = dict(probe_options or {}) | {name: given.pop(name) for name in ("n_images", "seed") if name in given}
    chosen = with_probe(chosen, probe, options)
    if "top_k" in given:
        chosen = replace(chosen, setups={name: replace(setup, top_k=None) for name, setup in chosen.setups.items()})
    if "lam" in given:
        given["similarity_options"] = {**chosen.similarity_options, "lam": given.pop("lam")}
    level = _level("calibrated", calibrated)
    places = store_dir(), figures_dir() / profile
    together = setups is not None  # those who name setups want them all
    return Study(replace(chosen, **given), *places, PassOptions(progress=progress), level, known_only, together)


@validated()
def chosen(namespace: Mapping) -> dict:
    """Those of a notebook's parameters that `open_study` takes.

    >>> chosen({"profile": "demo", "top_k": 20, "word": "implant"})
    {'profile': 'demo', 'top_k': 20}
    """
    named = [name for name, one in inspect.signature(open_study).parameters.items() if one.kind is not one.VAR_KEYWORD]
    return {name: namespace[name] for name in (*named, *_SETTINGS) if name in namespace}
