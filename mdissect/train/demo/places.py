"""Where findings lie on the last map of a demo model in training."""

import math

import torch
from torch import Tensor

from mdissect.train.demo.world import World


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


def fact_boxes(boxes: list[dict], world: World, position: int) -> list[dict]:
    """An image's boxes, once for each fact that is true of their finding: a mass also as mass_margin=spiculated."""
    held = [key for key, holds in zip(world.keys, world.facts[position], strict=True) if holds]
    names = [(box, box["finding"].replace(" ", "_")) for box in boxes]
    return [{**box, "finding": key} for box, name in names for key in held if key.startswith(name)]


def shifted(x: Tensor, down: int, right: int) -> Tensor:
    """An image (channels, height, width) shifted by whole pixels; the edge is repeated, so that the chest wall continues."""
    height, width = x.shape[1:]
    rows = (torch.arange(height) - down).clamp(0, height - 1)
    columns = (torch.arange(width) - right).clamp(0, width - 1)
    return x[:, rows][:, :, columns]
