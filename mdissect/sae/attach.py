"""A sparse autoencoder as a further layer of a target: its latents are recorded, dissected and located like any neurons."""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from mdissect.axes import Layout
from mdissect.hooks import pool_neurons
from mdissect.models import Target, dtype_of, freeze, weights_fingerprint
from mdissect.outputs import evaluating, find_layer, tensor_of
from mdissect.sae.autoencoder import PLACES, SparseAutoencoder
from mdissect.signatures import validated

SUFFIX = ":sae"


@validated()
def attach(target: Target, layer: str, sae: SparseAutoencoder, strict: bool = True) -> Target:
    """A target with the latents of an autoencoder as the layer "<layer>:sae".

    >>> target = attach(load_target("demo/mammo"), "bn2", load_sae("out/bn2"))                   # doctest: +SKIP
    >>> dissect(target, dissector, probe, concepts, layers=["bn2", "bn2:sae"])                   # doctest: +SKIP

    The network computes as before and is shared, weights and all; the given target is left alone. Where places were encoded,
    the new layer has the axes of the old one: each place of a map (n, channels, h, w) becomes latents (n, n_latents, h, w),
    which are then pooled and located like any layer's. Where pooled vectors were encoded, it gives (n, n_latents), without
    places. The target's fingerprint, and with it the store's keys, includes the autoencoder.

    Parameters
    ----------
    layer : str
        The one that the autoencoder was trained on.
    strict : bool
        False: take it also for another layer or network than it was trained on, of the same width, such as one that was
        fine-tuned since; the target's notes say so.

    Raises
    ------
    ValueError
        Unknown layer, another width or other axes, a layer that has an autoencoder already, or (strict) another layer,
        network or preprocessing than it was trained on, with both hashes.
    """
    find_layer(target.module, layer)
    differing = _differences(target, layer, sae)
    if strict and differing:
        raise ValueError(
            f"this autoencoder was trained on something else: {'; '.join(differing)}. Train one here (mdissect.sae.train), or "
            "take it all the same with strict=False"
        )
    name = layer + SUFFIX
    if name in dict(target.module.named_modules()):
        raise ValueError(f"layer {layer!r} has an autoencoder already, {name!r}; attach the other one to the original target")
    module = freeze_latents(WithLatents(target.module, layer, Latents(copy.deepcopy(sae), layer)))
    module.__dict__["network_fingerprint"] = _network_fingerprint(target)
    _try(module, target)
    settings = sae.settings
    note = f"{name}: {sae.n_latents} latents ({sae.extra_repr()}) trained on {settings.get('probe', 'unknown images')}"
    notes = (*target.notes, note, *(f"{name}: not trained here: {one}" for one in differing))
    return replace(
        target,
        name=f"{target.name} with latents",
        module=module,
        layers=(*target.layers, name),
        fingerprint=weights_fingerprint(module),
        notes=notes,
    )


class Latents(nn.Module):
    """The latents of what a layer gives, with its axes; (n, n_latents) where pooled vectors are encoded."""

    def __init__(self, sae: SparseAutoencoder, layer: str):
        super().__init__()
        self.layer, self.inputs = layer, sae.settings.get("inputs", PLACES)
        self.layout = Layout(sae.settings.get("axes", ""), sae.settings.get("prefix"))
        self.num_channels = sae.n_latents  # where the axes of its output are settled
        self.sae = sae

    def extra_repr(self) -> str:
        """What is encoded; part of a target's fingerprint."""
        return f"{self.layer}, {self.inputs}, {self.layout.letters}"

    def forward(self, output: Tensor) -> Tensor:
        """Latents of the layer's output."""
        letters, found = self.layout.letters or {2: "NC", 3: "NTC", 4: "NCHW"}.get(output.ndim, ""), tuple(output.shape)
        if len(letters) != output.ndim or output.shape[letters.index("C")] != self.sae.width:
            expected = f"{self.sae.width} channels in axes {letters or 'NC'}"
            raise ValueError(f"layer {self.layer!r} gives {found}; its autoencoder was made for {expected}")
        if self.inputs != PLACES:
            return self.sae.encode(pool_neurons(output, self.inputs, self.layer, Layout(letters, self.layout.prefix)))
        channels = letters.index("C")
        return self.sae.encode(output.movedim(channels, -1)).movedim(-1, channels)


class WithLatents(nn.Module):
    """A network, and beside it the latents of one of its layers, computed whenever that runs.

    Children, parameters and buffers are the network's own, under the same paths; what else is asked of it, the network
    answers. The latents stand at the path "<layer>:sae", points within it included.
    """

    def __init__(self, network: nn.Module, layer: str, latents: Latents):
        super().__init__()
        own = {name: network.__dict__[name] for name in ("_parameters", "_buffers", "_non_persistent_buffers_set")}
        self.__dict__ |= {**own, "network": network, "layer": layer, "training": network.training}
        self.__dict__["_modules"] = {**network._modules, layer + SUFFIX: latents}

    def forward(self, *args, **kwargs):
        """The network's own answer."""
        latents = self._modules[self.layer + SUFFIX]

        def encode(_module, _inputs, output) -> None:
            latents(tensor_of(output, self.layer))

        self.network.training = self.training  # of the network itself, which is not among the children
        handle = find_layer(self.network, self.layer).register_forward_hook(encode)
        try:
            return self.network(*args, **kwargs)
        finally:
            handle.remove()

    def get_submodule(self, target: str) -> nn.Module:
        """The module at a path; those of latents may have points within a name."""
        for name, module in self._modules.items():
            if name.endswith(SUFFIX) and (target == name or target.startswith(f"{name}.")):
                return module.get_submodule(target[len(name) + 1 :])
        return super().get_submodule(target)

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "network" not in self.__dict__:  # not yet, while it is copied
                raise
            return getattr(self.__dict__["network"], name)


def freeze_latents(module: WithLatents) -> WithLatents:
    """Latents in eval mode, without gradients of their weights, on the network's device."""
    latents = module._modules[module.layer + SUFFIX]
    device = next((parameter.device for parameter in module.network.parameters()), torch.device("cpu"))
    freeze(latents.to(device))
    return module


def _differences(target: Target, layer: str, sae: SparseAutoencoder) -> list[str]:
    """In what a target's layer differs from the one that an autoencoder was trained on."""
    settings = sae.settings
    here = {
        "layer": (settings.get("layer"), layer),
        "network": (_short(settings.get("target_weights")), _short(_network_fingerprint(target))),
        "preprocessing": (settings.get("target_preprocess"), target.preprocess.key()),
    }
    return [f"{what} {there!r} there, {own!r} here" for what, (there, own) in here.items() if there not in (None, own)]


def _short(fingerprint: str | None) -> str | None:
    return None if fingerprint is None else fingerprint[:16]


def _network_fingerprint(target: Target) -> str:
    """The fingerprint of the network without latents."""
    return target.module.__dict__.get("network_fingerprint", target.fingerprint)


@torch.inference_mode()
def _try(module: WithLatents, target: Target) -> None:
    """Run one black image, so that another width is an error here."""
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    image = torch.zeros((1, target.preprocess.channels, *target.preprocess.size), device=device, dtype=dtype_of(module))
    with evaluating(module):
        module(image)
