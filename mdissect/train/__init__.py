"""Fine-tune a target into a classifier, or pretrain an image-text model: studies, splits, loops, metrics, checkpoints.

demo/ has how the shipped models were made.
"""

<<<<<<< HEAD
# Imported at once, not on first use as in other folders: the functions finetune and pretrain have the names of their modules.
from mdissect.train.base import SavingError, TrainingError
from mdissect.train.finetune import Finetuned, evaluate, finetune
from mdissect.train.objective import Balance
from mdissect.train.pretrain import Pretrained, pretrain, write_published
from mdissect.train.recipe import Augment, ContrastiveRecipe, Recipe, Running

__all__ = [
    "Augment", "Balance", "ContrastiveRecipe", "Finetuned", "Pretrained", "Recipe", "Running", "SavingError", "TrainingError",
    "evaluate", "finetune", "pretrain", "write_published",
]  # fmt: skip
=======
from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "base": "SavingError TrainingError",
        "finetune": "Finetuned evaluate finetune",
        "recipe": "Augment Recipe Running",
    },
)
>>>>>>> main
