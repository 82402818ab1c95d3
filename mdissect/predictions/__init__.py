"""What named neurons do to a network's answer.

Contributions to a linear head's logits, and what a task loses without chosen neurons.
"""

# Not on first use, as in other folders: functions bear the names of their modules, which would take their place.
from mdissect.predictions.ablation import AblationOptions, ablate, ablate_groups
from mdissect.predictions.contributions import Contributions, contributions
from mdissect.predictions.head import Head, find_head

__all__ = ["AblationOptions", "Contributions", "Head", "ablate", "ablate_groups", "contributions", "find_head"]
