"""A layer gives its axes in any order, of lengths that collide: the right neurons or one error, never other numbers."""

from itertools import permutations

import pytest
import torch
from emitters import Emitter, images
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mdissect.axes import UnsettledAxesError
from mdissect.hooks import record

ORDERS = [
    "".join(order)
    for letters in ("NC", "NTC", "NCHW")
    for order in permutations(letters)
    if "".join(order).replace("N", "").replace("C", "") in ("", "T", "HW")
]
LENGTHS = st.integers(1, 17)


def recorded(module, x, pool="mean", **options):
    with torch.no_grad(), record(module.eval(), ["out"], pool, **options) as found:
        module(x)
    return found["out"]


@settings(deadline=None)
@given(order=st.sampled_from(ORDERS), n=LENGTHS, channels=LENGTHS, rows=st.integers(2, 9), columns=st.integers(2, 9))
def test_a_network_of_any_image_size_is_always_told(order, n, channels, rows, columns):
    module, x = Emitter(order, channels), images(n, 2 * rows, 2 * columns)
    torch.testing.assert_close(recorded(module, x), module.expected(x), rtol=1e-4, atol=1e-5)


@settings(deadline=None)
@given(
    order=st.sampled_from(ORDERS),
    n=LENGTHS,
    channels=LENGTHS,
    side=st.integers(1, 9),
    prefix=st.integers(0, 3),
    norm=st.booleans(),
)
def test_a_network_of_one_image_size_is_told_or_refused(order, n, channels, side, prefix, norm):
    behind = nn.LayerNorm(channels) if norm and order[-1] == "C" else None
    module = Emitter(order, channels, prefix, fixed=2 * side, behind=behind)
    try:
        found = recorded(module, images(n, 2 * side), "max")
    except UnsettledAxesError:
        assert behind is None
    else:
        maps = module.patches(images(n, 2 * side)) if set(order) != {"N", "C"} else module.expected(images(n, 2 * side))
        expected = maps.flatten(2).amax(dim=2) if maps.ndim == 4 else maps
        if "T" in order and prefix:
            expected = expected.clamp(min=100)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@settings(deadline=None)
@given(
    n=LENGTHS,
    rows=st.integers(2, 6),
    columns=st.integers(2, 6),
    prefix=st.integers(0, 5),
    order=st.sampled_from(["NTC", "TNC", "NCT"]),
)
def test_patches_leave_out_the_tokens_before_them(n, rows, columns, prefix, order):
    module, x = Emitter(order, 6, prefix), images(n, 2 * rows, 2 * columns)
    torch.testing.assert_close(recorded(module, x, "patches", prefix_tokens=prefix), module.expected(x), rtol=1e-4, atol=1e-4)
    try:
        found = recorded(module, x, "patches")
    except UnsettledAxesError:
        return
    torch.testing.assert_close(found, module.expected(x), rtol=1e-4, atol=1e-4)


@settings(deadline=None)
@given(order=st.sampled_from(ORDERS), n=LENGTHS, channels=LENGTHS, side=st.integers(1, 9))
def test_given_axes_are_taken(order, n, channels, side):
    module, x = Emitter(order, channels, fixed=2 * side), images(n, 2 * side)
    torch.testing.assert_close(recorded(module, x, axes={"out": order}), module.expected(x), rtol=1e-4, atol=1e-5)


def test_tokens_as_many_as_images_are_told_apart():
    module, x = Emitter("TNC", 17, prefix=1), images(17, 8)
    torch.testing.assert_close(recorded(module, x, "patches"), module.expected(x), rtol=1e-4, atol=1e-4)
    with pytest.raises(
        UnsettledAxesError, match=r"layer 'out' gives \(17, 3, 17\) for 3 images of 8 x 8: it is ambiguous which"
    ):
        recorded(Emitter("TNC", 17, prefix=1, fixed=8), x)
