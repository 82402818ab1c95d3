"""Where in the image a neuron responds.

Activation maps and their overlays, the breast without the air around it, receptive fields, and how well a map points at a
finding.
"""

from mdissect.localize.breast import OFF_BREAST, air_level, breast_region
from mdissect.localize.maps import activation_map, activation_maps, check_neuron, overlay, peaks, upsample
from mdissect.localize.pointing import box_region, iou, of_finding, overlap_scores, pointing_game, pointing_summary, top_region
from mdissect.localize.receptive import Patch, ReceptiveField, receptive_field, top_patch

__all__ = [
    "OFF_BREAST", "Patch", "ReceptiveField", "activation_map", "activation_maps", "air_level", "box_region", "breast_region",
    "check_neuron", "iou", "of_finding", "overlap_scores", "overlay", "peaks", "pointing_game", "pointing_summary",
    "receptive_field", "top_patch", "top_region", "upsample",
]  # fmt: skip
