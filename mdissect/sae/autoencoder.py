"""A sparse autoencoder: a layer's activation vector as a sparse sum of directions, one for each latent."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdissect.arguments import AT_LEAST_ONE
from mdissect.signatures import validated

KINDS = ("topk", "relu")
PLACES = "places"
INPUTS = (PLACES, "mean", "max", "cls")  # what is encoded: each place by itself, or the pooled vector of an image


class SparseAutoencoder(nn.Module):
    """Encodes vectors (..., width) as latents (..., n_latents), most of them 0, and decodes them again.

    >>> sae = SparseAutoencoder(width=256, n_latents=1024, k=16)
    >>> sae.encode(torch.randn(8, 256)).shape
    torch.Size([8, 1024])

    With the input z = x / scale, the pre-activations are encoder (z - pre_bias) + bias. "topk" keeps the k largest of them (of
    exact ties the first) and of these what is above 0 (Gao et al., "Scaling and evaluating sparse autoencoders", ICLR 2025,
    equation 2); "relu" keeps whatever is above 0 (Bricken et al., "Towards monosemanticity", 2023). Decoding is
    scale * (latents @ decoder + pre_bias), the rows of the decoder having unit norm.

    Attributes
    ----------
    encoder, decoder : (n_latents, width) float32
    bias : (n_latents,)
    pre_bias : (width,)
    scale : ()
        The root mean square norm of the training inputs about their geometric median.
    dead : (n_latents,) bool
        The latents that are 0 for every training input.
    settings : dict
        Layer, target and its hash, probe and its key, options: all that the weights depend on.
    history : list of dict
        A row for every hundredth step: step, loss, explained and l0 (of the training batch), dead (share of the latents that
        were 0 in the last batches), held_out and held_out_l0 (explained variance and active latents of the held-out patients).
    """

    @validated(width=AT_LEAST_ONE, n_latents=AT_LEAST_ONE, kind=KINDS, k=AT_LEAST_ONE)
    def __init__(self, width: int, n_latents: int, kind: str = "topk", k: int = 16):
        super().__init__()
        if kind == "topk" and k > n_latents:
            raise ValueError(f"k={k} exceeds the {n_latents} latents; lower k")
        self.kind, self.k = kind, k
        self.decoder = nn.Parameter(torch.eye(n_latents, width))
        self.encoder = nn.Parameter(torch.eye(n_latents, width))
        self.bias = nn.Parameter(torch.zeros(n_latents))
        self.pre_bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("dead", torch.zeros(n_latents, dtype=torch.bool))
        self.settings: dict = {}
        self.history: list[dict] = []

    @property
    def width(self) -> int:
        return self.decoder.shape[1]

    @property
    def n_latents(self) -> int:
        return self.decoder.shape[0]

    def extra_repr(self) -> str:
        """Kind and sizes; part of a target's fingerprint."""
        return f"{self.width} to {self.n_latents}, {self.kind}" + f" {self.k}" * (self.kind == "topk")

    def pre_activations(self, x: Tensor) -> Tensor:
        """What the latents (..., n_latents) are chosen from, float32."""
        if x.shape[-1] != self.width:
            raise ValueError(f"x has vectors of {x.shape[-1]} numbers, this autoencoder was made for {self.width}")
        return F.linear(x.float() / self.scale - self.pre_bias, self.encoder, self.bias)

    def active(self, pre_activations: Tensor) -> Tensor:
        """The latents of pre-activations; NaN for a vector that holds NaN."""
        if self.kind == "relu":
            return pre_activations.relu()
        unknown = pre_activations.isnan().any(dim=-1, keepdim=True)
        return largest(pre_activations, self.k).relu().masked_fill(unknown, torch.nan)

    @validated()
    def encode(self, x: Tensor) -> Tensor:
        """Latents (..., n_latents) of vectors (..., width)."""
        return self.active(self.pre_activations(x))

    @validated()
    def decode(self, latents: Tensor) -> Tensor:
        """Vectors (..., width) of latents (..., n_latents)."""
        return self.scale * (latents @ self.decoder + self.pre_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors, encoded and decoded."""
        return self.decode(self.encode(x))

    @torch.no_grad()
    def start(self, x: Tensor, generator: torch.Generator) -> None:
        """First weights for inputs (n, width): scale and pre-bias of these, random directions, the encoder tied to them."""
        centre = geometric_median(x)
        scale = float((x - centre).square().sum(dim=1).mean().sqrt())
        if not scale > 1e-6 * float(centre.norm()):
            raise ValueError(f"all {len(x)} training inputs are the same vector, up to rounding: there is nothing to encode")
        self.scale.fill_(scale)
        self.pre_bias.copy_(centre / scale)
        directions = F.normalize(torch.randn(self.n_latents, self.width, generator=generator), dim=1).to(x.device)
        self.decoder.copy_(directions)
        self.encoder.copy_(directions)
        self.bias.zero_()


def largest(values: Tensor, k: int) -> Tensor:
    """The k largest values of each row (..., n), and -inf elsewhere; of exact ties the first.

    >>> largest(torch.tensor([2.0, 1.0, 2.0, 2.0]), 2).tolist()
    [2.0, -inf, 2.0, -inf]
    """
    least = values.topk(k, dim=-1).values[..., -1:]
    above, equal = values > least, values == least
    kept = above | (equal & (equal.cumsum(dim=-1) <= k - above.sum(dim=-1, keepdim=True)))
    return values.masked_fill(~kept, -torch.inf)


def geometric_median(x: Tensor, most: int = 4096, steps: int = 50) -> Tensor:
    """The vector (width,) with the least sum of distances to rows of x (n, width), by Weiszfeld's iteration.

    Of more than `most` rows every so many-th is taken.
    """
    x = x[:: -(-len(x) // most)].double()
    centre = x.mean(dim=0)
    near = 1e-9 * float((x - centre).norm(dim=1).mean()) + 1e-30
    for _ in range(steps):
        weights = 1 / (x - centre).norm(dim=1, keepdim=True).clamp(min=near)
        centre = (weights * x).sum(dim=0) / weights.sum()
    return centre.float()


def as_inputs(values: np.ndarray) -> Tensor:
    """Training inputs (n, width) as a float32 tensor."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
