"""Fine-tune a target into a classifier: tasks and splits, augmented images, the loop, metrics, checkpoints.

demo/ has how the shipped models were made.
"""

# Imported at once, not on first use as in other folders: the function finetune has the name of its module.
from mdissect.train.base import SavingError, TrainingError
from mdissect.train.finetune import Finetuned, evaluate, finetune
from mdissect.train.recipe import Augment, Recipe, Running

__all__ = ["Augment", "Finetuned", "Recipe", "Running", "SavingError", "TrainingError", "evaluate", "finetune"]
