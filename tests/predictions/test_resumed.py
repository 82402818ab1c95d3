"""A network that is run again from a layer on gives what a whole pass gives, bit by bit."""

import nets
import pytest
import torch
from torch import nn

from mdissect.axes import Layout
from mdissect.hooks import edit
from mdissect.predictions.resumed import Resumed, resumed

pytestmark = pytest.mark.slow

X = torch.rand(3, 1, nets.SIDE, nets.SIDE, generator=torch.Generator().manual_seed(1))


class Residual(nn.Module):
    """Blocks in a list, added in place, with an activation that is used twice."""

    def __init__(self):
        super().__init__()
        self.stem, self.act = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)) for _ in range(3))
        self.head = nn.Linear(4, 2)
        self.runs = []

    def forward(self, x):
        x = self.act(self.stem(x))
        for i, block in enumerate(self.blocks):
            out = block(x)
            out += x
            x = self.act(out)
            self.runs.append(i)
        return self.head(x.mean(dim=(2, 3)))


@pytest.mark.parametrize("layer", ["stem", "act", "blocks.0", "blocks.1.0", "blocks.1", "blocks.2.1"])
def test_the_same_as_a_whole_pass(layer):
    torch.manual_seed(0)
    module, layout = Residual().eval(), Layout("NCHW")
    with torch.no_grad():
        whole = []
        for change in ({1: 0.5}, {(0, 3): -1.0}, lambda a: 2 * a):
            with edit(module, layer, change, {layer: layout}):
                whole.append(module(X))
        untouched = module(X)
        with resumed(module, layer, X, layout) as rerun:
            found = [rerun(change) for change in ({1: 0.5}, {(0, 3): -1.0}, lambda a: 2 * a)]
            assert torch.equal(rerun.output, untouched)
            assert torch.equal(rerun(lambda a: a), untouched)
        assert all(map(torch.equal, found, whole))
        assert torch.equal(module(X), untouched)
    assert not any(part._forward_hooks or "forward" in vars(part) for part in module.modules())


def test_what_stands_before_the_layer_does_not_run_again():
    module = nets.net(nets.AvgMax(), nn.Linear(6, 2))
    ran = []
    for part in (module[0], module[2], module[4]):
        part.forward = lambda x, part=part, run=part.forward: (ran.append(type(part).__name__), run(x))[1]
    own = [part.forward for part in (module[0], module[2])]
    with torch.no_grad(), resumed(module, "2", X, Layout("NCHW")) as rerun:
        ran.clear()
        rerun({0: 0.0})
        assert ran == ["Linear"]
    assert [module[0].forward, module[2].forward] == own  # a forward of its own is back


def test_nothing_is_left_behind_after_an_error():
    module = nets.net(nets.AvgMax(), nn.Linear(6, 2))
    rerun = Resumed(module, "2", X, Layout("NCHW"))
    with pytest.raises(ZeroDivisionError):
        rerun(lambda _: 1 / 0)
    assert not any(part._forward_hooks or "forward" in vars(part) for part in module.modules())
