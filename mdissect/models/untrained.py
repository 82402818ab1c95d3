"""Control baselines: a target before training, and a dissector with scrambled embeddings."""

import copy
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdissect.arguments import listed
from mdissect.models.checkpoints import weights_fingerprint
from mdissect.models.dissector import Dissector, joint_fingerprint
from mdissect.models.later import Later, on_record, put_on_record, record_key
from mdissect.models.target import Target, freeze
from mdissect.signatures import validated

# Statistics of normalisation layers that have no reset_parameters, such as frozen ones whose scale and shift are buffers too.
_FRESH_STATISTICS = {"running_mean": 0.0, "running_var": 1.0, "num_batches_tracked": 0.0, "weight": 1.0, "bias": 0.0}


@validated()
def untrained(target: Target, seed: int = 0) -> Target:
    """The same architecture before any training, on the CPU, called "<name> (untrained)", with a fingerprint of its own.

    >>> untrained(load_target("demo/mammo"), seed=1).name
    'demo/mammo (untrained)'

    Every part is initialised again by its own ``reset_parameters``, running statistics of batch norms included. A parameter
    that none of them reaches (class tokens, position embeddings, layer scales) keeps its values in random order, so that the
    network still works but nothing learnt is in its place; the notes name these, and the single numbers and other buffers
    that stay as they are. The given target and torch's random state are left alone. ValueError: a target without parameters.
    """
    key = record_key("untrained", target.present_fingerprint(), str(seed)) if target.from_files else ""
    module = Later(partial(_build_untrained, target, seed, key))
    known = on_record(key, {"fingerprint": str, "notes": list}) if key else None
    if known is None:
        fresh, notes = _untrained(target, seed)
        known = {"fingerprint": weights_fingerprint(fresh), "notes": notes}
        if key:
            put_on_record(key, known)
        module = fresh
    name, notes = f"{target.name} (untrained)", (*target.notes, *known["notes"])
    return target.changed(name=name, module=module, fingerprint=known["fingerprint"], notes=notes)


def _build_untrained(target: Target, seed: int, key: str) -> nn.Module:
    """The network of a target that was on record under a key."""
    module, notes = _untrained(target, seed)
    put_on_record(key, {"fingerprint": weights_fingerprint(module), "notes": notes})
    return module


def _untrained(target: Target, seed: int) -> tuple[nn.Module, list[str]]:
    """The network of a target before any training, and what should be known of it."""
    module = copy.deepcopy(target.module).cpu()
    trained = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    if not trained:
        raise ValueError(f"target {target.name!r} has no parameters, so that trained and untrained are the same")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        left = _initialise(module)
        for name in left:
            values = trained[name].flatten()
            module.get_parameter(name).copy_(values[torch.randperm(len(values))].view_as(trained[name]))
        kept = _reset_buffers(module)
    shuffled, single = ([n for n in left if (trained[n].numel() == 1) is one] for one in (False, True))
    notes = [f"untrained: every part initialised anew, seed {seed}"]
    notes += [f"untrained: no reset_parameters sets {listed(shuffled)}; trained values in random order"] * bool(shuffled)
    notes += [f"untrained: kept as trained: {listed([*single, *kept])}"] * bool(single or kept)
    return freeze(module), notes


@validated()
def random_projection(dissector: Dissector, seed: int = 0) -> "RandomProjection":
    """A scrambled dissector: image and text embeddings are each multiplied by their own random matrix.

    Images that were alike stay about as alike, and so do texts, but which text belongs to which image is left to chance.

    Parameters
    ----------
    dissector : Dissector
        Its towers are shared.

    Returns
    -------
    RandomProjection
        Not aligned; called "<name> (random projection)".
    """
    return RandomProjection(dissector, seed)


class RandomProjection(Dissector):
    """See `random_projection`."""

    aligned = False

    def __init__(self, dissector: Dissector, seed: int):
        self.dissector, self.seed = dissector, seed
        self.name = f"{dissector.name} (random projection)"
        self.needs_pixels, self.preprocess = dissector.needs_pixels, dissector.preprocess
        self.notes = (*dissector.notes, f"images and texts under independent random matrices, seed {seed}: labels by chance")

    @property
    def image_tower(self) -> nn.Module | None:
        return self.dissector.image_tower

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

    def alike(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """Groups of different texts with the same embedding in the original dissector."""
        return self.dissector.alike(texts)

    def to(self, device: torch.device | str) -> "RandomProjection":
        """Move the towers to a device (in place) and return the dissector."""
        self.dissector.to(device)
        return self

    def with_image_tower(self, tower: nn.Module) -> "RandomProjection | None":
        """The same with a copy of the image tower in the place of that; None where the original cannot be given one."""
        other = self.dissector.with_image_tower(tower)
        return None if other is None else RandomProjection(other, self.seed)

    def _scramble(self, embeddings: Tensor, side: int) -> Tensor:
        """Unit vectors (n, d) under the random matrix of the images (side 0) or of the texts (side 1)."""
        d = embeddings.shape[1]
        matrices = torch.randn(2, d, d, generator=torch.Generator().manual_seed(self.seed))
        return F.normalize(embeddings.float() @ matrices[side].to(embeddings.device), dim=1)


def _initialise(module: nn.Module) -> list[str]:
    """Call every part's own reset_parameters; gives the parameters that none of them set."""
    floats = {name: parameter for name, parameter in module.named_parameters() if parameter.is_floating_point()}
    for parameter in floats.values():
        parameter.fill_(torch.nan)  # so that what was not set can be seen
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
