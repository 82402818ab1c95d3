"""Toy networks whose layer "out" gives the patches of an image with its axes in any order."""

import torch
from torch import Tensor, nn


class Emitter(nn.Module):
    """Patches of (n, 3, height, width) as `channels` numbers each, with the axes of "out" as `letters` say.

    "NC" alone is their mean. With T, `prefix` tokens of a constant 100 stand before the patches. `fixed`: a side of the images
    that it takes, and no other. `behind`: what takes the very tensor next.
    """

    def __init__(self, letters: str, channels: int = 5, prefix: int = 0, fixed: int | None = None, behind=None, side: int = 2):
        super().__init__()
        self.letters, self.prefix, self.fixed = letters, prefix, fixed
        self.patches = nn.Conv2d(3, channels, side, stride=side)
        self.out = nn.Identity()
        self.behind = behind or nn.Identity()
        with torch.no_grad():
            self.patches.weight.copy_(torch.linspace(-1, 1, self.patches.weight.numel()).view_as(self.patches.weight).sin())
            self.patches.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        if self.fixed is not None and x.shape[-1] != self.fixed:
            raise AssertionError(f"images of {self.fixed} pixels, please")
        maps, order = self.patches(x), "NCHW"
        if set(self.letters) == {"N", "C"}:
            maps, order = maps.mean(dim=(2, 3)), "NC"
        elif "T" in self.letters:
            fixed = maps.new_full((*maps.shape[:2], self.prefix), 100.0)
            maps, order = torch.cat([fixed, maps.flatten(2)], dim=2), "NCT"
        return self.behind(self.out(maps.permute([order.index(letter) for letter in self.letters])))

    def expected(self, x: Tensor) -> Tensor:
        """The mean over the patches, (n, channels)."""
        return self.patches(x).mean(dim=(2, 3)).detach()


def images(n: int, height: int = 8, width: int | None = None) -> Tensor:
    """Random images (n, 3, height, width), the same every time."""
    return torch.rand((n, 3, height, width or height), generator=torch.Generator().manual_seed(n))
