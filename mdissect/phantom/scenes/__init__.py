"""Natural scenes: images of things before landscapes, textures and colours, and captions that are true of them.

Everything follows from a seed and an index.
"""

from mdissect.phantom.scenes.scenes import SCENES_VERSION, render_scene, sample_scene

__all__ = ["SCENES_VERSION", "render_scene", "sample_scene"]
