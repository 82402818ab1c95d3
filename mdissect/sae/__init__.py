"""Sparse autoencoders: the activations of a layer as sparse sums of directions, and their latents as neurons.

Training, saving and loading, measures of fidelity, and an autoencoder as a further layer of a target.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "attach": "attach",
        "autoencoder": "SparseAutoencoder",
        "compare": "compare",
        "fidelity": "fidelity",
        "options": "SAEOptions",
        "saving": "load_sae save_sae",
        "train": "train",
    },
)
