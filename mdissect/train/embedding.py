"""Embeddings of images and texts by a model in training."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F

from mdissect.models import ImageTextModel

Tokens = Callable[[Sequence[str]], tuple[Tensor, Tensor]]  # texts -> input_ids, attention_mask
GROUPS = 4


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager:
    """Mixed precision of a forward pass; nothing for float32."""
    return nullcontext() if precision is torch.float32 else torch.autocast(device.type, dtype=precision)


def embedded_images(model: ImageTextModel, x: Tensor, precision: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Unit embeddings (n, d) of images in float32; also the last maps and the pooled features.

    The tower runs in `precision`, the rest in float32.
    """
    with autocast(x.device, precision):
        maps = model.image_features(x)
    maps = maps.float()
    pooled = model.pool_image(maps)
    return F.normalize(model.image_projection(pooled), dim=1), maps, pooled


def embedded_texts(
    model: ImageTextModel, tokens: Tokens, texts: Sequence[str], precision: torch.dtype = torch.float32, groups: int = GROUPS
) -> Tensor:
    """Unit embeddings (n_texts, d) in the order given, in float32, computed in groups of similar length to save padding."""
    device = model.logit_scale.device
    if not texts:
        return model.text_projection.weight.new_zeros(0, model.text_projection.out_features)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    size = -(-len(order) // groups)
    parts = []
    for start in range(0, len(order), size):
        ids, mask = (tensor.to(device) for tensor in tokens([texts[i] for i in order[start : start + size]]))
        with autocast(device, precision):
            states = model.text_states(ids, mask)
        parts.append(model.project_text(states.float(), mask))
    back = torch.empty(len(order), dtype=torch.long, device=device)
    back[torch.tensor(order, device=device)] = torch.arange(len(order), device=device)
    return torch.cat(parts)[back]
