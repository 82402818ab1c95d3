"""Settings of a training: the recipe, which determines the result, and the way it runs, which does not."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from mdissect.arguments import kind_of, number, one_of, strings, true_or_false, whole_number

BALANCES = ("binary", "all", "none")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
MISSING = ("drop", "error")
FLIPS = ("horizontal", "vertical")


@dataclass(frozen=True)
class Augment:
    """Augmentation of preprocessed training images; the defaults are the study's. Pixels from outside the image are black.

    Attributes
    ----------
    flips : tuple of {"horizontal", "vertical"}
        Each happens to every second image.
    degrees : float
        Largest rotation either way.
    shift : float
        Largest shift, as a fraction of height and width.
    scale : (float, float)
        Least and greatest magnification.
    shear : float
        Largest shear along the width, in degrees.
    elastic_alpha, elastic_sigma : float
        Strength and smoothness (pixels) of an elastic deformation; strength 0 turns it off.
    """

    flips: tuple[str, ...] = FLIPS
    degrees: float = 20.0
    shift: float = 0.1
    scale: tuple[float, float] = (0.8, 1.2)
    shear: float = 20.0
    elastic_alpha: float = 10.0
    elastic_sigma: float = 15.0

    def __post_init__(self):
        object.__setattr__(self, "flips", strings("flips", self.flips))
        for flip in self.flips:
            one_of("flips", flip, FLIPS)
        for name in ("degrees", "shift", "shear", "elastic_alpha"):
            number(name, getattr(self, name), least=0)
        number("elastic_sigma", self.elastic_sigma, above=0)
        scale = tuple(self.scale) if isinstance(self.scale, (tuple, list)) else (self.scale,)
        if len(scale) != 2 or not 0 < number("scale", scale[0]) <= number("scale", scale[1]):
            raise ValueError(f"scale={self.scale!r} must be two numbers, the least and the greatest, above 0")
        object.__setattr__(self, "scale", scale)

    @classmethod
    def off(cls) -> "Augment":
        """Images as they are."""
        return cls(flips=(), degrees=0, shift=0, scale=(1, 1), shear=0, elastic_alpha=0)


@dataclass(frozen=True)
class Recipe:
    """Settings that decide the result of a fine-tuning; the defaults are the study's.

    Attributes
    ----------
    learning_rate : float
        Reached after `warmup_steps` steps of linear warm-up; then cos^2 decay to 0 at the end of the last epoch.
    head_learning_rate : float or None
        Of the new linear layer; None: `learning_rate`.
    weight_decay : float
        Of AdamW.
    max_grad_norm : float
        Gradients are scaled down to this norm; 0 leaves them.
    balance : {"binary", "all", "none"}
        Which losses weigh classes by rarity. Binary tasks: positives by negatives / positives; "all" adds the other tasks:
        images / (classes x images of the class).
    frozen : bool
        Train the linear layer alone, on features that are computed once, without augmentation.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Of the network's forward pass; "auto": bfloat16 (float16 on older GPUs) on CUDA, float32 elsewhere.
    validation_fraction, test_fraction : float
        Share of the patients: validation is taken from the training split; test only where the probe has no split.
    patience : int
        Stop when the validation score has not risen for so many epochs; 0: never.
    missing : {"drop", "error"}
        Leave out images without a label, or raise an error.
    seed : int
        Of the split, the new layer, the order of the images and their augmentation.
    """

    epochs: int = 30
    batch_size: int = 8
    learning_rate: float = 5e-5
    head_learning_rate: float | None = None
    weight_decay: float = 1e-4
    warmup_steps: int = 10
    max_grad_norm: float = 0.0
    balance: str = "binary"
    frozen: bool = False
    precision: str = "auto"
    augment: Augment = Augment()
    validation_fraction: float = 0.15
    test_fraction: float = 0.2
    patience: int = 10
    missing: str = "drop"
    seed: int = 0

    def __post_init__(self):
        for name, least in (("epochs", 1), ("batch_size", 1), ("warmup_steps", 0), ("patience", 0), ("seed", 0)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least))
        number("learning_rate", self.learning_rate, above=0)
        if self.head_learning_rate is not None:
            number("head_learning_rate", self.head_learning_rate, above=0)
        number("weight_decay", self.weight_decay, least=0)
        number("max_grad_norm", self.max_grad_norm, least=0)
        for name, known in (("balance", BALANCES), ("precision", PRECISIONS), ("missing", MISSING)):
            one_of(name, getattr(self, name), known)
        true_or_false("frozen", self.frozen)
        kind_of("augment", self.augment, Augment, "Augment(...), or for images as they are Augment.off(),")
        for name, least in (("validation_fraction", 0.01), ("test_fraction", 0.0)):
            number(name, getattr(self, name), least=least, most=0.9)

    @classmethod
    def linear_probe(cls, **changes) -> "Recipe":
        """The frozen variant, with a higher learning rate and larger batches than for a whole network."""
        return cls(**{"frozen": True, "epochs": 60, "batch_size": 64, "learning_rate": 3e-3, **changes})

    def changed(self, **settings: Any) -> "Recipe":
        """The recipe with other settings, those of `augment` included by their own names; augment=False turns it off.

        >>> Recipe().changed(epochs=3, shear=0.0).augment.shear
        0.0

        Raises
        ------
        ValueError
            An unknown setting, or a value out of range.
        """
        return changed(self, settings, augment=Augment.off())


@dataclass(frozen=True)
class Balance:
    """The weights of the losses between views and between texts; that between images and texts has 1.

    The defaults are those of Mammo-CLIP (Ghosh et al., MICCAI 2024).
    """

    image_image: float = 1.0
    text_text: float = 0.5

    def __post_init__(self):
        for name in ("image_image", "text_text"):
            object.__setattr__(self, name, number(name, getattr(self, name), least=0))


@dataclass(frozen=True)
class ContrastiveRecipe:
    """Settings that decide the result of a contrastive pretraining; the defaults are those that Mammo-CLIP states.

    Attributes
    ----------
    batch_size : int
        Studies that a step contrasts; no patient twice.
    chunk : int or None
        Studies that run through the model at a time (a feature cache); None: the whole batch.
    n_views, n_texts : int
        Images and texts of a study that a step sees.
    extra_texts : int
        Texts of further studies that join each batch.
    balance : Balance
        Weights of the image-image and text-text losses.
    temperature, max_scale : float
        The learnt temperature's start (None: the model's own), and the largest factor (its inverse) on the similarities.
    learning_rate, weight_decay, warmup_steps, max_grad_norm, betas
        Of AdamW with a linear warm-up and half a cosine down to a hundredth; biases and norms have no decay; a norm of 0 leaves
        gradients as they are.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Of the two towers; "auto": bfloat16 (float16 on older GPUs) on CUDA, float32 elsewhere.
    augment : Augment
        By default without flips: reports say left and right, above and below.
    shuffle : bool
        Whether the sentences of reports are shuffled.
    validation_fraction : float
        Share of the training patients on whom each epoch is validated, where the probe has no such split; 0: the last epoch is
        kept.
    seed : int
        Of the split, the order of the studies, their views and texts, and the augmentation.
    """

    epochs: int = 10
    batch_size: int = 64
    chunk: int | None = None
    n_views: int = 2
    n_texts: int = 2
    extra_texts: int = 0
    balance: Balance = field(default_factory=Balance)
    temperature: float | None = 0.07
    max_scale: float = 100.0
    learning_rate: float = 5e-5
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    max_grad_norm: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    precision: str = "auto"
    augment: Augment = Augment(flips=())
    shuffle: bool = True
    validation_fraction: float = 0.1
    seed: int = 0

    def __post_init__(self):
        least = {"epochs": 1, "batch_size": 2, "n_views": 1, "n_texts": 0, "extra_texts": 0, "warmup_steps": 0, "seed": 0}
        for name, bound in least.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), bound))
        if self.chunk is not None:
            object.__setattr__(self, "chunk", whole_number("chunk", self.chunk, 1))
        if self.temperature is not None:
            number("temperature", self.temperature, above=0)
        for name in ("max_scale", "learning_rate"):
            number(name, getattr(self, name), above=0)
        for name in ("weight_decay", "max_grad_norm"):
            number(name, getattr(self, name), least=0)
        betas = tuple(self.betas) if isinstance(self.betas, (tuple, list)) else (self.betas,)
        if len(betas) != 2 or not all(0 <= number("betas", beta) < 1 for beta in betas):
            raise ValueError(f"betas={self.betas!r} must be two numbers from 0 to below 1")
        object.__setattr__(self, "betas", betas)
        number("validation_fraction", self.validation_fraction, least=0, most=0.9)
        one_of("precision", self.precision, PRECISIONS)
        true_or_false("shuffle", self.shuffle)
        kind_of("balance", self.balance, Balance, "Balance(image_image=..., text_text=...)")
        kind_of("augment", self.augment, Augment, "Augment(...), or for images as they are Augment.off(),")

    def changed(self, **settings: Any) -> "ContrastiveRecipe":
        """The recipe with other settings, those of `augment` and `balance` by their own names; augment=False turns it off.

        >>> ContrastiveRecipe().changed(epochs=3, text_text=0.0).balance
        Balance(image_image=1.0, text_text=0.0)

        Raises
        ------
        ValueError
            An unknown setting, or a value out of range.
        """
        return changed(self, settings, augment=Augment.off())


Settings = TypeVar("Settings")


def changed(recipe: Settings, settings: dict[str, Any], **off: Any) -> Settings:
    """A recipe with other settings, those of its parts (dataclasses within it) by their own names.

    `off` are parts that False turns off, as they are then. ValueError for an unknown setting.
    """
    own = {one.name: getattr(recipe, one.name) for one in fields(recipe)}
    inner = {name: {one.name for one in fields(part)} for name, part in own.items() if hasattr(part, "__dataclass_fields__")}
    known = own.keys() | set().union(*inner.values()) - inner.keys()
    if unknown := sorted(settings.keys() - known - inner.keys()):
        raise ValueError(f"no setting {', '.join(unknown)}; there are {', '.join(sorted(known - inner.keys()))}")
    new = {name: value for name, value in settings.items() if name in own and name not in inner}
    for name, names in inner.items():
        part = settings.get(name, own[name])
        if isinstance(part, bool):
            part = own[name] if part or name not in off else off[name]
        within = {one: value for one, value in settings.items() if one in names}
        new[name] = replace(part, **within) if within else part
    return replace(recipe, **new)


@dataclass(frozen=True)
class Running:
    """How a training runs; on one kind of device none of it changes the result.

    Attributes
    ----------
    device : str
        "auto" takes CUDA, then Apple's MPS, then the CPU.
    workers : int or None
        Processes that read and augment images; None: chosen by the cores, 0: this process.
    save_every : int
        Steps between two savings of the state that an interrupted training resumes from; it is also saved after every epoch.
    """

    device: str = "auto"
    workers: int | None = None
    save_every: int = 200
    progress: bool = True

    def __post_init__(self):
        whole_number("save_every", self.save_every, 1)
        if self.workers is not None:
            whole_number("workers", self.workers, 0)
        kind_of("device", self.device, str)
        true_or_false("progress", self.progress)
