"""The profiles of the study: setups and probes of the demo and of the paper.

A setup is a target, a dissector and a probe under a short name, as in Tables 1 and 4 of the paper: G (trained on natural
images) and M (trained on mammograms) each dissected by its own image-text model; "G by M" is G's target under M's dissector,
which separates what is due to the target from what is due to the dissector.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mdissect.models import has_demo
from mdissect.probes import Probe, load_probe
from mdissect.trust.baselines import KINDS, RANDOM, UNTRAINED

OWN_LABELS = "labels"  # the dissector made of a probe's own labels
TRAINING = "training"  # labelled mammograms of other patients than those of the mammograms that are dissected


@dataclass(frozen=True)
class Setup:
    """A target and a dissector, as `load_target` and `load_dissector` take them, and the name of one of the profile's probes.

    `probe` may join several: "mammograms + natural". `top_k` stands in for the profile's where given. `constant`: all neurons
    get the setup's commonest label, a baseline (`mdissect.trust.constant_label`).
    """

    target: str
    dissector: str
    probe: str = "mammograms"
    target_options: Mapping = field(default_factory=dict)
    dissector_options: Mapping = field(default_factory=dict)
    top_k: int | None = None
    constant: bool = False


@dataclass(frozen=True)
class ProbeSpec:
    """Arguments of `load_probe`; `balanced=(column, n)` keeps the first n images with the column set and n without."""

    spec: str
    options: Mapping = field(default_factory=dict)
    balanced: tuple[str, int] | None = None

    def load(self) -> Probe:
        """The probe; a ValueError where it has too few images for `balanced`."""
        probe = load_probe(self.spec, **self.options)
        if self.balanced is None:
            return probe
        column, n = self.balanced
        has = (probe.table[column].notna() & probe.table[column].map(bool)).to_numpy()
        if min(has.sum(), (~has).sum()) < n:
            raise ValueError(
                f"{probe.name} has {has.sum()} images with {column} and {(~has).sum()} without; {n} of each are wanted"
            )
        return probe.subset(np.sort(np.concatenate([np.flatnonzero(has)[:n], np.flatnonzero(~has)[:n]])))


@dataclass(frozen=True)
class Profile:
    """The defaults of a study.

    Attributes
    ----------
    setups, probes : mapping of name to Setup and ProbeSpec
    concepts : str
        Spec for `load_concepts`.
    top_k : int
        Top images per neuron.
    layers : sequence of str or None
        Layers of the named setups' targets, from shallow to deep; None: each target's own choice.
    similarity_options : mapping
        Options of soft_wpmi that depart from the paper's defaults.
    shipped : bool
        All that it needs comes with mdissect, so that `data/paths.toml` does not concern it.
    trainings : mapping of name to mapping
        Further trainings: for each target and dissector that was trained again, what loads it in that training.
    """

    name: str
    setups: Mapping[str, Setup]
    probes: Mapping[str, ProbeSpec]
    concepts: str
    top_k: int
    layers: Sequence[str] | None = None
    similarity_options: Mapping = field(default_factory=dict)
    shipped: bool = False
    trainings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


DEMO = Profile(
    name="demo",
    setups={
        "G": Setup("demo/general", "demo/general"),
        "G by M": Setup("demo/general", "demo/mammo"),
        "M": Setup("demo/mammo", "demo/mammo"),
        **{f"C{i}": Setup(f"demo/C{i}", "demo/mammo") for i in (1, 2, 3, 4)},
        "M on implants": Setup("demo/mammo", "demo/mammo", "implants"),
        "A": Setup("demo/general", "demo/clip", "natural"),
        "B": Setup("demo/mammo", "demo/clip", "natural"),
        "C": Setup("demo/general", "demo/general", "mammograms + natural"),
        "D": Setup("demo/mammo", "demo/mammo", "mammograms + natural"),
    },
    probes={
        "mammograms": ProbeSpec("phantom", {"n_images": 800, "seed": 7}),
        "implants": ProbeSpec("phantom", {"n_images": 600, "seed": 8}, balanced=("implant", 42)),
        "natural": ProbeSpec("natural", {"n_images": 500, "seed": 7}),
        TRAINING: ProbeSpec("phantom", {"n_images": 1000, "seed": 21}),
    },
    concepts="mammography",
    top_k=20,
    shipped=True,
    trainings={
        f"s{seed}": {f"demo/{name}": f"demo/replicates/{name}-s{seed}" for name in ("mammo", "C1", "C2", "C3", "C4")}
        for seed in (0, 1, 3, 4)  # the shipped one is of seed 2
    },
)

NATURAL = "imagenette + imagewoof"
PAPER = Profile(
    name="paper",
    setups={
        "G": Setup("general", "general"),
        "G by M": Setup("general", "mammo-clip"),
        "M": Setup("mammo-clip", "mammo-clip"),
        "C1": Setup("mammo-classifier/density", "mammo-clip"),
        "C2": Setup("mammo-classifier/birads", "mammo-clip"),
        "C3": Setup("mammo-classifier/mass", "mammo-clip"),
        "C4": Setup("mammo-classifier/calcification", "mammo-clip"),
        "M on implants": Setup("mammo-clip", "mammo-clip", "implants", top_k=84),
        "A": Setup("general", "clip", NATURAL),
        "B": Setup("mammo-clip", "clip", NATURAL),
        "C": Setup("general", "general", f"mammograms + {NATURAL}"),
        "D": Setup("mammo-clip", "mammo-clip", f"mammograms + {NATURAL}"),
    },
    probes={
        "mammograms": ProbeSpec("vindr", {"split": "test"}),
        TRAINING: ProbeSpec("vindr", {"split": "training"}),
        "implants": ProbeSpec("embed", {"subset": "implants"}),
        "imagenette": ProbeSpec("imagenette", {"n_images": 3000}),
        "imagewoof": ProbeSpec("imagewoof", {"n_images": 2000}),
    },
    concepts="published",
    top_k=100,
)

PROFILES = {profile.name: profile for profile in (DEMO, PAPER)}


def only_setups(profile: Profile, setups: Sequence[str] | None) -> Profile:
    """The profile with the named setups alone, in that order."""
    wanted = list(profile.setups) if setups is None else list(setups)
    if not wanted:
        raise ValueError(f"setups is empty; name one at least of {', '.join(profile.setups)}")
    if unknown := [name for name in wanted if name not in profile.setups]:
        raise ValueError(f"profile {profile.name!r} has no setup {', '.join(unknown)}; it has {', '.join(profile.setups)}")
    return replace(profile, setups={name: profile.setups[name] for name in wanted})


def with_targets(profile: Profile, targets: Mapping[str, Mapping]) -> Profile:
    """The profile with a setup for each further target, dissected as the last setup of the mammograms by default."""
    setups = dict(profile.setups)
    last = [*setups.values(), *(setup for setup in setups.values() if setup.probe == "mammograms")][-1]
    for name, entry in targets.items():
        entry = dict(entry)
        if "target" not in entry:
            raise ValueError(f"targets[{name!r}] has {sorted(entry)}, but no 'target', such as 'timm/resnet18'")
        target, dissector = entry.pop("target"), entry.pop("dissector", "")
        own = _by(last, dissector) if dissector else last
        setups[name] = replace(own, target=target, target_options=entry)
    return replace(profile, setups=setups)


def with_dissector(profile: Profile, dissector: str) -> Profile:
    """The profile with one dissector in all setups; setups that thereby become the same are kept once."""
    setups: dict[str, Setup] = {}
    for name, setup in profile.setups.items():
        setup = _by(setup, dissector)
        if setup not in setups.values():
            setups[name] = setup
    own = next(iter(setups.values())).dissector == OWN_LABELS
    return replace(profile, setups=setups, concepts=OWN_LABELS if own else profile.concepts)


def _by(setup: Setup, dissector: str) -> Setup:
    """The setup with another dissector: a name for `load_dissector`, or "labels:<column>"."""
    spec, _, column = dissector.partition(":")
    return replace(setup, dissector=spec, dissector_options={"column": column} if column else {})


def with_probe(profile: Profile, probe: str, options: Mapping) -> Profile:
    """The profile with another probe, or other options, in place of its mammograms."""
    own = profile.probes["mammograms"]
    changed = ProbeSpec(probe, options) if probe else replace(own, options={**own.options, **options})
    return replace(profile, probes={**profile.probes, "mammograms": changed})


def baseline_setup(name: str, setups: Mapping[str, Setup], seed: int = 0) -> Setup:
    """A baseline of one of a study's setups: its name and one of `KINDS`, else ValueError.

    >>> baseline_setup("M untrained", {"M": Setup("demo/mammo", "demo/mammo")}).target_options
    {'untrained': 0}
    """
    kind = next((kind for kind in KINDS if name.endswith(f" {kind}")), None)
    base = name.removesuffix(f" {kind}") if kind else ""
    if base not in setups:
        raise ValueError(
            f"baseline {name!r} is not of a setup: expected one of {', '.join(setups)}, then one of {', '.join(KINDS)}, "
            f"such as '{next(iter(setups))} {UNTRAINED}'"
        )
    setup = setups[base]
    if kind == UNTRAINED:
        return replace(setup, target_options={**setup.target_options, "untrained": seed})
    if kind == RANDOM:
        return replace(setup, dissector_options={**setup.dissector_options, "random_projection": seed})
    return replace(setup, constant=True)


def trained_again(setup: Setup, networks: Mapping[str, str]) -> Setup | None:
    """A setup with the networks of another training, the same where it has none of them; None where one is not there."""
    changed = {part: networks[getattr(setup, part)] for part in ("target", "dissector") if getattr(setup, part) in networks}
    return replace(setup, **changed) if all(map(has_demo, changed.values())) else None
