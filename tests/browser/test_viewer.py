"""Tests of the viewer as Python sees it; tests/explorers/test_browser_pictures.py uses it in a browser."""

import numpy as np

from mdissect.browser import Over, Viewer


def test_a_preview_comes_first_and_all_of_it_on_request():
    viewer, image = Viewer(), np.zeros((2080, 100), dtype=np.uint16)
    image[5, 5] = 4000
    viewer.show("a", "Image a", lambda: image)
    assert (viewer.facts["more"], viewer.facts["deep"], viewer.facts["high"]) == (True, False, 4000.0)
    before, shown = viewer.picture, viewer.shown
    viewer.show("a", "Image a, again", lambda: 1 / 0)  # the same image is not read again
    assert (viewer.picture, viewer.facts["alt"]) == (before, "Image a, again")
    viewer.show("a", "Image a", lambda: image)
    viewer._handle_custom_msg({"kind": "detail"}, [])
    assert (viewer.facts["more"], viewer.facts["deep"], viewer.facts["key"]) == (False, True, "a")
    assert viewer.shown > shown
    viewer._handle_custom_msg({"kind": "other"}, [])
    viewer._handle_custom_msg("detail", [])


def test_what_lies_over_a_picture_is_sent_and_taken_away():
    viewer, image = Viewer(), np.zeros((20, 10), dtype=np.uint8)
    box = {"finding": "mass", "x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0, "named": True}
    heat = np.arange(6, dtype=np.uint8).reshape(3, 2)
    viewer.show("a", "", lambda: image, Over(heat, 2.5, "maximum over the probe", np.full((4, 2), 255, np.uint8), [box]))
    assert (viewer.heat, viewer.heat_facts) == (
        bytes(range(6)),
        {"width": 2, "height": 3, "highest": 2.5, "of": "maximum over the probe"},
    )
    assert (len(viewer.breast), viewer.breast_facts, viewer.marked) == (8, {"width": 2, "height": 4}, [box])
    viewer.show("b", "", lambda: image)
    assert (viewer.heat, viewer.breast, viewer.marked) == (b"", b"", [])
