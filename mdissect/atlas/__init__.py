"""The atlas: a whole dissection in one HTML file, read in a browser without Python or network.

Its data and pictures, and the page (HTML, CSS, JavaScript) that shows them.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(__name__, {"write": "Written write_atlas"})
