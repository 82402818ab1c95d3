"""Contrastive pretraining of image-text models on texts that are true of many images."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def compatibility(facts: Tensor, asserted: Tensor, denied: Tensor) -> Tensor:
    """Whether each text is true of each image, (n_images, n_texts) bool: all asserted keys are true and no denied one.

    facts (n_images, n_keys), asserted and denied (n_texts, n_keys) : float of 0 and 1
    """
    return ((1 - facts) @ asserted.T + facts @ denied.T) == 0


def multi_positive_loss(image_embeddings: Tensor, text_embeddings: Tensor, compatible: Tensor, scale: Tensor) -> Tensor:
    """Contrastive loss in which every text that is true of an image is its positive: no false negatives.

    For each image the mean negative log-probability of its texts among all texts, and the same for each text that is
    true of an image of the batch; half of each (with one positive a row: the loss of CLIP, Radford et al. 2021).

    image_embeddings (n_images, d), text_embeddings (n_texts, d) : unit norm
    compatible : (n_images, n_texts) bool, at least one text per image
    scale : factor on the cosine similarities
    """
    logits = scale * image_embeddings @ text_embeddings.T
    positive = compatible.to(logits.dtype)
    per_image = (F.log_softmax(logits, dim=1) * positive).sum(1) / positive.sum(1)
    used = positive.sum(0) > 0
    per_text = (F.log_softmax(logits, dim=0) * positive).sum(0)[used] / positive.sum(0)[used]
    return -0.5 * (per_image.mean() + per_text.mean())


def encode_by_length(model, tokenizer, texts: list[str], groups: int = 4) -> Tensor:
    """Text embeddings (n_texts, d) in the order given, computed in groups of similar length to save padding."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    size = -(-len(order) // groups)
    parts = [
        model.encode_tokens(*tokenizer([texts[i] for i in order[start : start + size]])) for start in range(0, len(order), size)
    ]
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return torch.cat(parts)[back]


def box_targets(
    boxes: list[list[dict]],
    shifts: list[tuple[int, int]],
    findings: list[str],
    image_size: tuple[int, int],
    grid: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """The place of each finding on the last feature map: target and weight, (n_images, n_findings, *grid) float.

    The target is 1 in cells whose centre lies in a box (at least the cell of the box's centre); the weight is 0 in the other
    cells that the box touches, which are neither right nor wrong.

    boxes : per image its boxes (finding, xmin, ymin, xmax, ymax)
    shifts : per image by how many pixels (down, right) it was moved
    findings : the channels of the result
    image_size, grid : (height, width) of the images and of the map
    """
    target = torch.zeros(len(boxes), len(findings), *grid)
    weight = torch.ones_like(target)
    row = {finding: i for i, finding in enumerate(findings)}
    for i, (found, (down, right)) in enumerate(zip(boxes, shifts, strict=True)):
        for box in found:
            if box["finding"] not in row:
                continue
            y, x = grid[0] / image_size[0], grid[1] / image_size[1]
            rows, in_rows, middle_row = _cells((box["ymin"] + down) * y, (box["ymax"] + down) * y, grid[0])
            columns, in_columns, middle_column = _cells((box["xmin"] + right) * x, (box["xmax"] + right) * x, grid[1])
            inside = in_rows[:, None] & in_columns
            if not inside.any():
                inside = middle_row[:, None] & middle_column
            place = (i, row[box["finding"]], rows, columns)
            target[place] = torch.maximum(target[place], inside.float())
            weight[place] = (target[place] > 0).float()
    return target, weight


def _cells(start: float, stop: float, size: int) -> tuple[slice, Tensor, Tensor]:
    """The cells of a row of `size` that an interval touches; which of them have their centre in it; which holds its middle.

    An interval beside the row touches none.
    """
    first, end = min(max(math.floor(start), 0), size), min(max(math.ceil(stop), 0), size)
    cells = torch.arange(first, max(first, end))
    centres = cells + 0.5
    middle = min(max(math.floor((start + stop) / 2), 0), size - 1)
    return slice(first, first + len(cells)), (centres > start) & (centres < stop), cells == middle
