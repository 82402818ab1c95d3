"""Fine-tune a target into a classifier, or pretrain an image-text model: studies, splits, loops, metrics, checkpoints.

demo/ has how the shipped models were made.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "base": "SavingError TrainingError",
        "finetune": "Finetuned evaluate finetune",
        "pretrain": "Pretrained pretrain write_published",
        "recipe": "Augment Balance ContrastiveRecipe Recipe Running",
    },
)
