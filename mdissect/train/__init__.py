"""Fine-tune a target into a classifier, or pretrain an image-text model: studies, splits, loops, metrics, checkpoints.

demo/ has how the shipped models were made.
"""

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
