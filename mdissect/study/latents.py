"""The latents of a sparse autoencoder beside the channels that they are made of, in a study."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, RATE
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.method import dissect
from mdissect.models import Dissector, Target, load_target
from mdissect.predictions import CausalEffects
from mdissect.probes import Probe
from mdissect.sae import attach, fidelity, train
from mdissect.sae.attach import SUFFIX
from mdissect.signatures import validated
from mdissect.store import StoreLike
from mdissect.study.profiles import ProbeSpec
from mdissect.study.rules import effects_of, own_factors_by
from mdissect.study.study import Study


@dataclass(frozen=True)
class Latents:
    """A layer and the latents of an autoencoder of it, dissected on patients that it was not trained on.

    Attributes
    ----------
    dissection : Dissection
        Of both layers: the layer and "<layer>:sae".
    fidelity : DataFrame
        `mdissect.sae.fidelity` on the dissected images.
    n_training : int
        Images that the autoencoder was trained on.
    effects : CausalEffects or None
        The causal test of both layers; None where no image can be changed.
    """

    dissection: Dissection
    fidelity: pd.DataFrame
    n_training: int
    effects: CausalEffects | None = None

    @validated(q=RATE, n_boot=AT_LEAST_ONE)
    def own_factors(self, q: float = 0.05, n_boot: int = 500, store: StoreLike = None) -> dict[str, pd.DataFrame]:
        """`predictions.own_factor_shares` of the calibrated labels of "channels" and "latents"; {} without effects."""
        if self.effects is None:
            return {}
        shares = own_factors_by(self.effects, {"calibrated": self.dissection.labels(q=q, store=store)}, n_boot)
        sides = ("channels", "latents")
        return {side: shares[shares.layer == layer] for side, layer in zip(sides, self.dissection.layers, strict=True)}


@validated(n_images=AT_LEAST_ONE)
def other_patients(
    study: Study, name: str = "mammograms", n_images: int = 1200, options: Mapping | None = None
) -> Probe | None:
    """Images of other patients than a probe of the study has.

    Further phantoms, or VinDr-Mammo's training images; of another probe those that its `options` choose. None where no options
    are given for such a probe.

    Raises
    ------
    ValueError
        The options choose images of the probe's own patients.
    """
    own = study.profile.probes[name]
    if not options:
        if own.spec == "phantom":
            options = {"start": own.options.get("start", 0) + own.options["n_images"], "n_images": n_images}
        elif own.spec == "vindr":
            options = {"split": "training"}
        else:
            return None
    found = ProbeSpec(own.spec, {**own.options, **options}).load()
    if shared := set(found.patients) & set(study.probe(name).patients):
        raise ValueError(
            f"{len(shared)} patients of these images are among those of probe {name!r}, which is dissected; choose others"
        )
    found = found.subset(range(min(n_images, len(found))))
    found.warm(progress=study.pass_options.progress)
    return found


@validated(n_latents=AT_LEAST_ONE, steps=AT_LEAST_ONE, n_pairs=AT_LEAST_ONE)
def with_latents(
    study: Study, name: str, layer: str, training: Probe, n_latents: int = 128, steps: int = 1000, n_pairs: int = 40
) -> Latents:
    """An autoencoder of a setup's layer, trained on `training`; its latents are dissected like the layer. Kept in the store."""
    setup = study.profile.setups[name]
    target, probe = load_target(setup.target, **setup.target_options), study.probe(setup.probe)
    profile = study.profile
    settings = {"top_k": setup.top_k or profile.top_k, **profile.similarity_options}
    asked = _Asked(layer, n_latents, steps, n_pairs, settings)
    made = study.kept(_latents, ignore=["study"])
    return made(study, target, study.dissector(name), probe, study.concepts, training, asked)


@dataclass(frozen=True)
class _Asked:
    """What `with_latents` was asked for, and the settings of the dissection."""

    layer: str
    n_latents: int
    steps: int
    n_pairs: int
    settings: dict


def _latents(
    study: Study, target: Target, dissector: Dissector, probe: Probe, concepts: ConceptSet, training: Probe, asked: _Asked
) -> Latents:
    """`with_latents`; of the study only the store and how a pass runs, which change no number."""
    passing, store, layer = study.pass_options, study.store, asked.layer
    options = {"store": store, "passing": passing}
    sae = train(target, layer, training, asked.n_latents, steps=asked.steps, progress=passing.progress, **options)
    both, layers = attach(target, layer, sae), [layer, layer + SUFFIX]
    found = dissect(both, dissector, probe, concepts, layers, store=store, options=passing, **asked.settings)
    measured = fidelity(sae, target, probe, **options)
    return Latents(found, measured, len(training), effects_of(study, both, found, probe, asked.n_pairs))
