"""Training: a target fine-tuned into a classifier.

Labels and splits, varied images, the loop, metrics and files; demo/ has how the shipped models were made.
"""

# Not on first use, as in other folders: a function bears the name of its module, which would take its place.
from mdissect.train.finetune import Finetuned, evaluate, finetune
from mdissect.train.recipe import Augment, Recipe, Running
from mdissect.train.training import SavingError, TrainingError

__all__ = ["Augment", "Finetuned", "Recipe", "Running", "SavingError", "TrainingError", "evaluate", "finetune"]
