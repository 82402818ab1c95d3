"""Options of a sparse autoencoder's training."""

from dataclasses import asdict, dataclass, field

from mdissect.arguments import kind_of, number, one_of, true_or_false, whole_number
from mdissect.embed import PassOptions
from mdissect.sae.autoencoder import INPUTS, KINDS

_RUNNING = ("save_every", "progress", "passing")  # change no number


@dataclass(frozen=True)
class SAEOptions:
    """How a sparse autoencoder is trained.

    Attributes
    ----------
    kind : {"topk", "relu"}
        Sparse because only the `k` largest latents are kept, or because their sum is penalised.
    k : int
        Active latents per input, of kind "topk".
    l1 : float
        Weight of the sum of the latents beside the squared error, of kind "relu"; inputs have a mean squared norm of 1.
    inputs : {"places", "mean", "max", "cls"}
        What is encoded: each place of a map (or each token) by itself, or an image's vector pooled so.
    places : int
        Places drawn from each image, if it has more.
    steps, batch_size, learning_rate
        Of Adam; the rate rises for 100 steps, then falls by half a cosine.
    held_out : float
        Share of the probe's patients whose images are not trained on, for the explained variance.
    dead_after : int
        A latent that was 0 in so many steps is dead. Of kind "topk" the dead ones learn to explain the error that is left
        (the auxiliary loss of Gao et al., appendix A.2, with its weight 1 / 32 and at most width / 2 of them at a time); of
        kind "relu" they start again as the worst explained inputs, every so many steps in the first three quarters of the
        training (Bricken et al.).
    revive : bool
        Whether dead latents are revived.
    save_every : int
        Steps between two savings of the state that an interrupted training resumes from.
    passing : PassOptions
        How the probe runs through the target, and axes that are ambiguous.
    """

    kind: str = "topk"
    k: int = 16
    l1: float = 0.3
    inputs: str = "places"
    places: int = 16
    steps: int = 2000
    batch_size: int = 512
    learning_rate: float = 1e-3
    held_out: float = 0.1
    dead_after: int = 100
    revive: bool = True
    seed: int = 0
    save_every: int = 500
    progress: bool = True
    passing: PassOptions = field(default_factory=PassOptions)

    def __post_init__(self):
        for name in ("k", "places", "steps", "batch_size", "dead_after", "save_every"):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), 1))
        object.__setattr__(self, "seed", whole_number("seed", self.seed, 0))
        one_of("kind", self.kind, KINDS)
        one_of("inputs", self.inputs, INPUTS)
        number("l1", self.l1, least=0)
        number("learning_rate", self.learning_rate, above=0)
        number("held_out", self.held_out, least=0, most=0.9)
        for name in ("revive", "progress"):
            true_or_false(name, getattr(self, name))
        kind_of("passing", self.passing, PassOptions, "PassOptions(batch_size=...)")

    def stated(self) -> dict:
        """The options that change the weights, as plain values."""
        known = {name: value for name, value in asdict(self).items() if name not in _RUNNING}
        unused = {"topk": ("l1",), "relu": ("k",)}[self.kind] + (() if self.inputs == "places" else ("places",))
        return {name: value for name, value in known.items() if name not in unused} | self.passing.stated()
