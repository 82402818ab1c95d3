"""Where in the image a neuron responds.

Activation maps and their overlays, the breast without the air around it, receptive fields, and how well a map points at a
finding.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "breast": "OFF_BREAST air_level breast_region",
        "maps": "activation_map activation_maps check_neuron overlay peaks upsample",
        "pointing": "box_region iou of_finding overlap_scores pointing_game pointing_summary top_region",
        "receptive": "Patch ReceptiveField receptive_field top_patch",
    },
)
