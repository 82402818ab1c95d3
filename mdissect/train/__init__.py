"""Fine-tune a target into a classifier or a detector: tasks and splits, augmented images, the loop, metrics, checkpoints.

Also the training of Mammo-FActOR on a frozen target.

demo/ has how the shipped models were made.
"""

# Imported at once, not on first use as in other folders: the function finetune has the name of its module.
from mdissect.train.base import SavingError, TrainingError
from mdissect.train.detector import DetectorRecipe, train_detector
from mdissect.train.factor import FactorRecipe, train_factor
from mdissect.train.finetune import Finetuned, evaluate, finetune
from mdissect.train.recipe import Augment, Recipe, Running

__all__ = [
    "Augment", "DetectorRecipe", "FactorRecipe", "Finetuned", "Recipe", "Running", "SavingError", "TrainingError", "evaluate",
    "finetune", "train_detector", "train_factor",
]  # fmt: skip
