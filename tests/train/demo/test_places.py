"""Where findings lie on the last map of a demo model."""

import pytest
import torch

from mdissect.train.demo.places import box_targets


def cells(box, shift=(0, 0), finding="mass"):
    """Target and weight of one box (ymin, ymax, xmin, xmax) in an image of 40 x 60 pixels on a map of 4 x 6 cells."""
    box = dict(zip(("ymin", "ymax", "xmin", "xmax"), box, strict=True), finding=finding)
    target, weight = box_targets([[box]], [shift], ["clip", "mass"], (40, 60), (4, 6))
    assert target.shape == weight.shape == (1, 2, 4, 6)
    assert not target[0, 0].any()
    assert weight[0, 0].all()
    return target[0, 1], weight[0, 1]


def grid(*rows):
    return torch.tensor([[float(cell) for cell in row] for row in rows])


@pytest.mark.parametrize(
    ("box", "shift", "target", "ignored"),
    [
        # whole cells: nothing doubtful around them
        ((10, 30, 20, 40), (0, 0), ("000000", "001100", "001100", "000000"), ("000000",) * 4),
        # cells touched without their centre do not count
        ((14, 36, 24, 47), (0, 0), ("000000", "001110", "001110", "001110"), ("000000",) * 4),
        ((6, 24, 16, 40), (0, 0), ("000000", "001100", "000000", "000000"), ("011100", "010000", "011100", "000000")),
        # smaller than a cell: the cell that holds its middle
        ((11, 13, 31, 34), (0, 0), ("000000", "000100", "000000", "000000"), ("000000",) * 4),
        ((18, 23, 28, 33), (0, 0), ("000000", "000000", "000100", "000000"), ("000000", "001100", "001000", "000000")),
        # moved with its image: down and to the right, then partly and wholly out of it
        ((10, 30, 20, 40), (10, -20), ("000000", "000000", "110000", "110000"), ("000000",) * 4),
        ((0, 20, 40, 60), (-13, 10), ("000001", "000000", "000000", "000000"), ("000000",) * 4),
        ((0, 10, 0, 10), (-10, 0), ("000000",) * 4, ("000000",) * 4),
        ((0, 10, 0, 10), (-30, 0), ("000000",) * 4, ("000000",) * 4),
        ((30, 40, 50, 60), (0, 10), ("000000",) * 4, ("000000",) * 4),
    ],
)
def test_cells_of_a_box(box, shift, target, ignored):
    found, weight = cells(box, shift)
    assert torch.equal(found, grid(*target))
    assert torch.equal(weight, 1 - grid(*ignored))


def test_a_finding_without_a_channel_leaves_no_trace():
    target, weight = cells((10, 30, 20, 40), finding="pacemaker")
    assert not target.any()
    assert weight.all()


def test_boxes_of_one_finding_do_not_hide_each_other():
    first = {"finding": "mass", "ymin": 0, "ymax": 20, "xmin": 0, "xmax": 20}
    second = {"finding": "mass", "ymin": 6, "ymax": 34, "xmin": 6, "xmax": 34}  # only touches some cells of the first
    for boxes in ([first, second], [second, first]):
        target, weight = box_targets([boxes, []], [(0, 0)] * 2, ["mass"], (40, 60), (4, 6))
        assert torch.equal(target[0, 0], grid("110000", "111000", "011000", "000000"))
        assert torch.equal(weight[0, 0], 1 - grid("001100", "000100", "100100", "111100"))
        assert not target[1].any()
        assert weight[1].all()
