"""What of an image-text model is evaluated, and how."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from mdissect.arguments import kind_of, number, one_of, texts, whole_number
from mdissect.concepts import Prompts
from mdissect.predictions.levels import Truth, some_truth
from mdissect.predictions.prompts import Prompts as PromptPairs
from mdissect.predictions.prompts import as_prompts
from mdissect.train import Recipe

ZERO_SHOT, RETRIEVAL, LINEAR_PROBE, FINE_TUNE = PARTS = ("zero-shot", "retrieval", "linear probe", "fine-tune")
LEVELS = ("auto", "image", "breast")
LEAST_FRACTION = 0.001


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated, and how.

    >>> EvaluationOptions(parts=["zero-shot", "retrieval"]).fractions
    (0.1, 0.5, 1.0)

    Attributes
    ----------
    parts : sequence of {"zero-shot", "retrieval", "linear probe", "fine-tune"}
    prompts, truth : optional
        Pairs of texts, and the columns with their truth, as `mdissect.predictions.zero_shot` takes them. By default those of
        the demo models' cards for generated images, else Mammo-CLIP's published ones, as far as the table has their truth.
    ensembles : mapping of name to Prompts, optional
        Sentences that the texts are put into (`mdissect.concepts.Prompts`). By default bare phrases; of mammograms also
        those of `mdissect.trust.prompts.PROMPTS` with five sentences.
    tasks : sequence of str, optional
        What is learnt from labels: "mass", "calcification", "density", "birads", or columns of the table. By default the
        first three and "cancer", as far as the table has them.
    reports : str, optional
        The table's column with the reports. By default "report", or for generated images a report made of what they show.
    level : {"auto", "image", "breast"}
        What classifiers are scored on: images, or breasts by the mean over their images. "auto": images, and breasts for
        "cancer", as published.
    fractions : sequence of float
        Shares of the training patients; the smaller sets are parts of the larger ones.
    seeds, fine_tune_seeds : int
        Draws of these sets, for the linear probe and for fine-tuning.
    recipe : Recipe
        Of fine-tuning; its seed, test_fraction and validation_fraction also divide the patients for the linear probe.
    n_boot, coverage : int, float
        Resamples of the patients, and the coverage of the intervals.
    """

    parts: tuple[str, ...] = PARTS
    prompts: PromptPairs = None
    truth: Truth = None
    ensembles: Mapping[str, Prompts] | None = None
    tasks: tuple[str, ...] | None = None
    reports: str | None = None
    level: str = "auto"
    fractions: tuple[float, ...] = (0.1, 0.5, 1.0)
    seeds: int = 3
    fine_tune_seeds: int = 1
    recipe: Recipe = field(default_factory=Recipe)
    n_boot: int = 1000
    coverage: float = 0.95

    def __post_init__(self):
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        put("parts", texts("parts", self.parts))
        for part in self.parts:
            one_of("parts", part, PARTS)
        if self.prompts is not None:
            put("prompts", as_prompts("prompts", self.prompts))
        some_truth("truth", self.truth)
        if self.ensembles is not None:
            put("ensembles", _ensembles(self.ensembles))
        if self.tasks is not None:
            put("tasks", tuple(dict.fromkeys(texts("tasks", self.tasks))))
        if self.reports is not None:
            kind_of("reports", self.reports, str)
        one_of("level", self.level, LEVELS)
        put("fractions", as_fractions(self.fractions))
        for name, least in (("seeds", 1), ("fine_tune_seeds", 1), ("n_boot", 2)):
            put(name, whole_number(name, getattr(self, name), least))
        kind_of("recipe", self.recipe, Recipe, "Recipe(...)")
        if not self.recipe.test_fraction:
            raise ValueError("recipe has test_fraction=0: nothing would be left to test on")
        number("coverage", self.coverage, above=0, below=1)

    def stated(self) -> dict:
        """As plain JSON values."""
        prompts = {pair.name: {"positive": pair.positive, "negative": pair.negative} for pair in self.prompts or ()}
        ensembles = {name: one.stated() for name, one in (self.ensembles or {}).items()}
        own = {"prompts": prompts, "ensembles": ensembles, "recipe": asdict(self.recipe)}
        return {one.name: own.get(one.name, getattr(self, one.name)) for one in fields(self)}


def _ensembles(value: object) -> dict[str, Prompts]:
    kind_of("ensembles", value, Mapping, "{name: Prompts(...)}")
    if not value:
        raise ValueError("ensembles={} must hold one at least, such as {'bare phrase': Prompts()}")
    for name, one in value.items():
        kind_of("a key of ensembles", name, str)
        kind_of(f"ensembles[{name!r}]", one, Prompts, "mdissect.concepts.Prompts(...)")
    return dict(value)


def as_fractions(value: object, name: str = "fractions") -> tuple[float, ...]:
    """Shares of the training patients in rising order, each once."""
    several = value if isinstance(value, (list, tuple)) else (value,)
    found = sorted({number(f"{name}[{i}]", one, least=LEAST_FRACTION, most=1) for i, one in enumerate(several)})
    if not found:
        raise ValueError(f"{name}=[] must hold one share of the training patients at least, such as 0.1")
    return tuple(found)
