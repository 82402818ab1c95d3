"""The whole method: show a probe to a target and a dissector, and name each neuron by the concept it responds to."""

import inspect
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import PurePosixPath

import numpy as np
import torch

from mdissect import __version__
from mdissect.arguments import AT_LEAST_ONE, known_option, texts
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection, as_concepts
from mdissect.embed import PassOptions, Recording, StoredRecording, embed_concepts, embed_probe, store_probe
from mdissect.files import without_folders
from mdissect.hooks import POOLS
from mdissect.models import Dissector, Target, resolve_device
from mdissect.precision import FIRST_IMAGES, checked_precision
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.similarity import SIMILARITIES, has_contrast, nameable, tied_neurons
from mdissect.store import MemoryStore, Store, StoreLike, open_store
from mdissect.streaming import in_blocks, is_streamed

NO_CONTRAST = "no contrast"  # the note of neurons when the dissector does not distinguish the concepts


@validated(layers=texts, similarity=SIMILARITIES, top_k=AT_LEAST_ONE, pool=POOLS, concepts=lambda _, value: as_concepts(value))
def dissect(
    target: Target,
    dissector: Dissector,
    probe: Probe,
    concepts: ConceptSet | Sequence[str],
    layers: Sequence[str] | None = None,
    similarity: str = "soft_wpmi",
    top_k: int = 100,
    pool: str = "mean",
    store: StoreLike = None,
    device: str | torch.device = "auto",
    options: PassOptions | None = None,
    axes: Mapping[str, str] | None = None,
    engine: str | None = None,
    keep: str | None = None,
    **similarity_options: float,
) -> Dissection:
    """Name the neurons of a target: the method of Mammo-CLIP Dissect (arXiv 2509.21102).

    >>> found = dissect(load_target("demo/mammo"), load_dissector("demo/mammo"), load_probe("phantom", n_images=500),
    ...                 load_concepts("mammography"))
    >>> found.similarity["bn2"].shape
    (256, 791)

    Parameters
    ----------
    target, dissector, probe, concepts
        See `load_target`, `load_dissector`, `load_probe`, `load_concepts`; concepts may be a list of str.
    layers : sequence of str, optional
        Module paths; the target's own choice when None.
    similarity : str
        A rule of `mdissect.similarity`: "soft_wpmi" (the paper's), "wpmi", "cos_similarity", "cos_similarity_cubed",
        "rank_reorder", "contrastive", "top_auc", "following" or "rising".
    top_k : int
        Top images per neuron (Z of the paper), for similarities that count them.
    pool : {"mean", "max", "cls", "patches"}
        How a map, or tokens, become one activation per image: see `mdissect.hooks.record`.
    store : path, optional
        Where activations and embeddings are kept; a second call with the same inputs runs no model.
    options : PassOptions, optional
        Batch size, reading processes, progress bar, precision, and axes of outputs that are ambiguous.
    axes : mapping of str to str, optional
        By layer, which axis of its output is which ("NHWC", "TNC"), as `PassOptions.axes`: where an error asks for it.
    engine : {"local", "ray"}, optional
        Where the images run through the models, as `PassOptions.engine`: in this process, or on a Ray cluster.
    keep : {"all", "top", "none"}, optional
        Of which images the result holds activations, as `PassOptions.keep`; with "top" and "none" memory does not grow with
        the number of images. Labels are the same.
    **similarity_options
        Passed to the similarity function, such as ``a=10.0, lam=1.0``.

    Raises
    ------
    ValueError
        Unknown layer, pool, similarity, device or option; a number out of range; top_k above the number of images; no concepts.
    TypeError
        An argument of another kind; the message says how to make the expected one.

    Warns
    -----
    UserWarning
        top_k leaves no contrast; the dissector does not distinguish the concepts: no neuron is labelled then; or labels in
        bf16 differ from those in float32, and the pass goes back to that.
    """
    if axes is not None:
        options = replace(options or PassOptions(), axes=axes)
    if engine is not None:
        options = replace(options or PassOptions(), engine=engine)
    if keep is not None:
        options = replace(options or PassOptions(), keep=keep)
    layers, store = texts("layers", layers or target.layers), open_store(store)
    rule = {"similarity": similarity, "top_k": top_k, **similarity_options}
    naming = naming_by(dissector, probe, concepts, rule, pool, store, device)
    run = partial(embed_probe, target, dissector, layers=layers, pool=pool, store=store, device=device)

    def first_scores(chosen: PassOptions) -> dict[str, np.ndarray]:
        return naming.first_scores(run(probe.subset(slice(FIRST_IMAGES)), options=chosen))

    options, agreement = checked_precision((options or PassOptions()).on(naming.device), first_scores)
    found = None
    if is_streamed(options, len(probe), store):
        found = naming.in_blocks(partial(store_probe, target, dissector, probe, layers, pool, device=device), store, options)
    return naming.dissection(target, found or naming.at_once(run(probe, options=options)), options, agreement)


# Fields of a Dissection, whether the dissector distinguishes the concepts, and the probe's intensities
Found = tuple[dict, bool, dict]


@dataclass(frozen=True)
class Naming:
    """How neurons are named by their activations: all that several targets of one dissection share."""

    dissector: Dissector
    probe: Probe
    concepts: ConceptSet
    text_embeddings: np.ndarray
    similarity: str
    similarity_options: dict
    top_k: int
    pool: str
    device: torch.device

    def sims(self, recording: Recording) -> torch.Tensor:
        """Image-concept similarities (n_images, n_concepts) on the device."""
        of_images, of_texts = (
            torch.from_numpy(one).to(self.device) for one in (recording.image_embeddings, self.text_embeddings)
        )
        return of_images @ of_texts.T

    def first_scores(self, some: Recording) -> dict[str, np.ndarray]:
        """Similarities by layer, from the first images alone."""
        options = _of_few(self.similarity_options, len(some.image_embeddings))
        return _scores(self.sims(some), some.activations, self.similarity, options)[0]

    def at_once(self, recording: Recording) -> Found:
        """What a recording in memory gives."""
        sims = self.sims(recording)
        scores, notes = _scores(sims, recording.activations, self.similarity, self.similarity_options)
        parts = {"similarity": scores, "notes": notes, "activations": recording.activations}
        parts |= {"image_concept_sims": sims.cpu().numpy(), "image_embeddings": recording.image_embeddings}
        return parts, has_contrast(sims), recording.intensities

    def in_blocks(
        self, record: Callable[..., StoredRecording], store: Store | MemoryStore, options: PassOptions
    ) -> Found | None:
        """The same of a recording that `record(store=, options=)` makes, read in blocks; None where it fits into memory."""
        rule = (self.similarity, self.similarity_options, min(self.top_k, len(self.probe)))
        return in_blocks(partial(record, options=options), store, self.text_embeddings, *rule, options)

    def dissection(self, target: Target, found: Found, options: PassOptions, agreement: Mapping[str, float]) -> Dissection:
        """The dissection of a target; a warning where the dissector does not distinguish the concepts."""
        dissector, probe, concepts, (parts, contrast, intensities) = self.dissector, self.probe, self.concepts, found
        for layer in () if contrast else parts["similarity"]:
            parts["similarity"][layer][:], parts["notes"][layer][:] = np.nan, NO_CONTRAST
        if not contrast:
            warnings.warn(
                f"dissector {dissector.name!r} tells none of the {len(concepts)} concepts from the others on any image of "
                f"probe {probe.name!r}: no neuron is labelled (their note: {NO_CONTRAST!r}); use other concepts or another "
                "dissector",
                stacklevel=4,
            )
        return Dissection(
            **parts,
            text_embeddings=self.text_embeddings,
            concepts=concepts,
            probe_table=probe.table.loc[probe.ids],
            settings=_settings(target, dissector, probe, self.pool, {"similarity": self.similarity, **self.similarity_options})
            | concepts.prompts.stated()
            | {"n_concepts": len(concepts), "probe_intensities": intensities}
            | options.stated()
            | ({} if options.keep == "all" else {"keep": options.keep})
            | ({"bf16_agreement": agreement} if agreement else {}),
        )


def naming_by(
    dissector: Dissector,
    probe: Probe,
    concepts: ConceptSet,
    rule: Mapping[str, object],
    pool: str,
    store: StoreLike,
    device: str | torch.device,
) -> Naming:
    """How neurons are named by a rule (similarity, top_k and its options), concepts embedded; an error for a wrong option."""
    given = {name: value for name, value in rule.items() if name not in ("similarity", "top_k")}
    options = _similarity_options(rule["similarity"], rule["top_k"], given)
    if "top_k" in options:
        check_top_k(rule["top_k"], len(probe))
    at = resolve_device(device)
    text_embeddings = embed_concepts(dissector.to(at), concepts, store)  # before any image: a concept may be refused
    return Naming(dissector, probe, concepts, text_embeddings, rule["similarity"], options, rule["top_k"], pool, at)


def check_top_k(top_k: int, n_images: int) -> None:
    """Raise when top_k exceeds the probe, warn when it leaves no contrast (half of the probe or more)."""
    if top_k > n_images:
        raise ValueError(f"top_k={top_k} exceeds the {n_images} probe images; lower top_k")
    if top_k >= n_images / 2:
        warnings.warn(
            f"top_k={top_k} is half or more of the {n_images} probe images: every neuron shares most of its top images with "
            "every other, and only the rank weights separate them; a tenth of the probe is a usual choice",
            stacklevel=5,  # where dissect was called: between stand two functions and the check of its arguments
        )


def _similarity_options(similarity: str, top_k: int, given: dict) -> dict:
    """All options of the similarity function by name, defaults included."""
    parameters = list(inspect.signature(SIMILARITIES[similarity]).parameters.values())[2:]
    known = {p.name: p.default for p in parameters}
    known_option(similarity, given, known)
    given = {name: SIMILARITIES[similarity].plain(name, value) for name, value in given.items()}
    return known | ({"top_k": top_k} if "top_k" in known else {}) | given


def _scores(sims: torch.Tensor, activations: dict[str, np.ndarray], similarity: str, options: dict) -> tuple[dict, dict]:
    """`_score` of all layers: similarities and notes by layer."""
    found = {
        layer: _score(sims, torch.from_numpy(one).to(sims.device), similarity, options) for layer, one in activations.items()
    }
    return {layer: scores for layer, (scores, _) in found.items()}, {layer: notes for layer, (_, notes) in found.items()}


def _of_few(options: dict, n_images: int) -> dict:
    """A rule's options for a part of the probe: no more top images than leave a contrast."""
    return options | ({"top_k": max(1, min(options["top_k"], n_images // 8))} if "top_k" in options else {})


def _score(sims: torch.Tensor, activations: torch.Tensor, similarity: str, options: dict) -> tuple[np.ndarray, np.ndarray]:
    """Similarity (n_neurons, n_concepts) and notes (n_neurons,); neurons that cannot be named are left out of the prior."""
    finite, constant = nameable(activations)
    usable = finite & ~constant
    scores = activations.new_full((len(usable), sims.shape[1]), torch.nan)
    tied = torch.zeros_like(usable)
    if usable.any():
        good = activations[:, usable]
        found = SIMILARITIES[similarity](sims, good, **options)
        scores[usable] = found.where(found.isfinite(), torch.nan)
        tied[usable] = tied_neurons(good, options["top_k"]) if "top_k" in options else ~found.isfinite().all(dim=1)
    notes = np.full(len(usable), "", dtype=object)
    for note, which in (("not finite", ~finite), ("constant", constant), ("tied", tied)):
        notes[which.cpu().numpy()] = note
    return scores.cpu().numpy(), notes


def _skipped(probe: Probe) -> list[list]:
    """Each reason for which images were left out, and of how many; without their ids, which may name patients."""
    reasons = Counter()
    for image_id, reason in probe.skipped:
        named = dict.fromkeys((image_id, PurePosixPath(image_id).name, PurePosixPath(image_id).stem))
        plain = re.sub(
            "|".join(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])" for name in named), "the image", without_folders(reason)
        )
        reasons[plain.removeprefix("the image: ")] += 1
    return [[reason, n] for reason, n in reasons.items()]


def _settings(target: Target, dissector: Dissector, probe: Probe, pool: str, options: dict) -> dict:
    """What the result depends on, as plain JSON values; without the folders of this machine."""
    settings = {
        "target": target.name,
        "target_weights": target.fingerprint,
        "target_notes": list(target.notes),
        "target_preprocess": asdict(target.preprocess),
        "dissector": dissector.name,
        "dissector_weights": dissector.fingerprint,
        "dissector_aligned": dissector.aligned,
        "dissector_notes": list(dissector.notes),
        "probe": probe.name,
        "probe_key": probe.key(),
        "n_images": len(probe),
        "skipped": _skipped(probe),
        "pool": pool,
        **options,
        "mdissect": __version__,
    }
    return without_folders(settings)
