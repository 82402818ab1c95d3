"""Sparse autoencoders: the activations of a layer as sparse sums of directions, and their latents as neurons.

Training, saving and loading, measures of fidelity, and an autoencoder as a further layer of a target.
"""

# Imported at once, not on first use as in other folders: the function train has the name of its module.
from mdissect.sae.attach import attach
from mdissect.sae.autoencoder import SparseAutoencoder
from mdissect.sae.compare import compare
from mdissect.sae.fidelity import fidelity
from mdissect.sae.options import SAEOptions
from mdissect.sae.saving import load_sae, save_sae
from mdissect.sae.train import train

__all__ = ["SAEOptions", "SparseAutoencoder", "attach", "compare", "fidelity", "load_sae", "save_sae", "train"]
