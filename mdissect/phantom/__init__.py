"""Mammogram phantoms and natural scenes: images and texts whose truth is known.

A leaf: it imports nothing else of mdissect.
"""

from mdissect.phantom.text import Text

__all__ = ["Text"]
