"""A sparse autoencoder with random weights, for tests."""

import torch

from mdissect.sae import SparseAutoencoder


def random_sae(seed: int, width: int = 5, n_latents: int = 12, k: int = 3, **options) -> SparseAutoencoder:
    generator = torch.Generator().manual_seed(seed)
    sae = SparseAutoencoder(width, n_latents, k=k, **options).requires_grad_(False)
    for parameter in sae.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator))
    sae.scale.fill_(2.5)
    return sae
