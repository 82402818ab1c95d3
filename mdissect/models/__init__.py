"""Models: the targets that are dissected, and the dissectors that compare images with concepts.

A loader per kind of model behind `load_target` and `load_dissector`; their towers, tokens, checkpoints and weights.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "checkpoints": "CheckpointError read_checkpoint weights_fingerprint",
        "demo": "demo_folder files_digest has_demo read_config save_demo save_demo_classifier",
        "dissector": "Dissector ImageTextDissector joint_fingerprint",
        "efficientnet": "recognise released_name",
        "fitting": "load_weights",
        "image_text": "new_model save_image_text",
        "load": "dissector_options load_dissector load_target register_dissector register_target target_options",
        "manifest": "MANIFEST",
        "oracle": "LabelDissector",
        "state_dicts": "read_state_dict",
        "target": "Target as_layers default_layers dtype_of freeze resolve_device",
        "tokens": "WordPieceTexts",
        "towers": "ImageTextModel build_image_text default_config",
        "untrained": "random_projection",
        "weights": "whereabouts",
    },
)
