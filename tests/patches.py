"""A network whose maps are the brightness of patches, and images with a bright spot."""

import numpy as np
import torch
from torch import nn

from mdissect.models import load_target
from mdissect.preprocess import Preprocess


class Patches(nn.Module):
    """Neuron 0 is the brightness of 4 x 4 patches, neuron 1 its negative; then a pooled layer, and one that sees everything."""

    def __init__(self):
        super().__init__()
        self.grid = nn.AvgPool2d(4)
        self.signs = nn.Conv2d(1, 2, 1, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.signs.weight[:] = torch.tensor([1.0, -1.0])[:, None, None, None]

    def forward(self, x):
        return self.head(self.pool(self.act(self.signs(self.grid(x)))).flatten(1))


def target(module=None, size=(32, 24), orient=None, layers=("signs",)):
    return load_target(module or Patches(), preprocess=Preprocess(size, "dtype", channels=1, orient=orient), layers=layers)


def spot(row, column, shape=(64, 48)):
    """A black image with a bright square of 8 x 8 pixels."""
    image = np.zeros(shape, np.uint8)
    image[row : row + 8, column : column + 8] = 255
    return image
