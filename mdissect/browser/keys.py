"""Keyboard, focus and names for screen readers of an explorer, as an invisible widget inside it."""

from pathlib import Path

import anywidget
import ipywidgets as widgets


class Keys(anywidget.AnyWidget):
    """Makes the explorer that it stands in usable without a mouse or without sight; acts on CSS classes.

    Escape presses `mdissect-close` of a large image, else `mdissect-back`. The arrows press `mdissect-before` and
    `mdissect-after` of a large image, else `mdissect-step-before` and `mdissect-step-after`. "v" goes to `mdissect-verdict`,
    "/" to `mdissect-search`. The focus follows when `mdissect-large` or `mdissect-detail` opens, and returns when it closes.
    Changes of what has `mdissect-live` are read out. `mdissect-own-keys` marks what uses the arrows itself.
    """

    _esm = Path(__file__).parent / "keys.js"

    def __init__(self):
        super().__init__(layout=widgets.Layout(display="none"))
