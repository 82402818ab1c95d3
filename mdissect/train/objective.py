"""The contrastive objective of Mammo-CLIP: several views and several texts of each study, without false negatives."""

from collections.abc import Callable, Sequence
from itertools import combinations, product

import torch
from torch import Tensor
from torch.nn import functional as F

from mdissect.train.recipe import Balance


def contrastive_loss(left: Tensor, right: Tensor, positive: Tensor, scale: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Symmetric contrastive loss in which a row may have several positives.

    >>> x = F.normalize(torch.randn(4, 8), dim=1)
    >>> contrastive_loss(x, x, torch.eye(4, dtype=torch.bool), torch.tensor(10.0)).shape
    torch.Size([])

    For each row the mean negative log-probability of its positives among all that is not ignored; the same for each column;
    half of each. Rows and columns without a positive are left out. With one positive a row it is the loss of CLIP (Radford et
    al. 2021).

    Parameters
    ----------
    left, right : Tensor
        (n, d) and (m, d), of unit length.
    positive, ignored : Tensor
        (n, m) bool; what is both is a positive. An ignored pair is neither: it may belong together.
    scale : Tensor
        Factor on the cosine similarities, the inverse of the temperature.
    """
    logits = scale * left @ right.T
    if ignored is not None:
        logits = logits.masked_fill(ignored & ~positive, -torch.inf)
    return 0.5 * (_one_way(logits, positive) + _one_way(logits.T, positive.T))


def _one_way(logits: Tensor, positive: Tensor) -> Tensor:
    used = positive.any(dim=1)
    if not used.any():
        return logits.new_zeros(())
    logits, positive = logits[used], positive[used]
    chosen = F.log_softmax(logits, dim=1).masked_fill(~positive, 0)
    return -(chosen.sum(1) / positive.sum(1)).mean()


def multi_view_losses(
    views: Sequence[Tensor],
    texts: Sequence[Tensor],
    truth: Sequence[Sequence[tuple[Tensor, Tensor]]],
    alike: Callable[[int, int], Tensor],
    scale: Tensor,
) -> dict[str, Tensor]:
    """The losses between the views and texts of n studies: "image-text", "image-image" and "text-text", unweighted.

    "image-text" is the mean over all pairs of a view and a text (four of Mammo-CLIP's two and two); the others are means over
    pairs of different views, and of different texts. A loss without pairs is left out.

    Parameters
    ----------
    views, texts : sequences of Tensor
        Each view is (n, d), each text (m, d) with m of n or more, of unit length; row i belongs to study i, further texts to
        other studies or to none: they are not used between texts.
    truth : by view and text, two (n, m) bool
        Which texts are true of which images, its own or not; and of which that is not known: such pairs do not count.
    alike : function of two numbers of texts
        (n, n) bool: which of their rows say the same, those of one study included. Two texts of different studies that do not
        say the same, but of which one is true of the other's study, do not count.
    scale : Tensor
        Factor on the cosine similarities.
    """
    n, losses = len(views[0]), {}
    pairs = [
        contrastive_loss(view, text, truth[v][t][0], scale, truth[v][t][1])
        for (v, view), (t, text) in product(enumerate(views), enumerate(texts))
    ]
    if pairs:
        losses["image-text"] = torch.stack(pairs).mean()
    own = torch.eye(n, dtype=torch.bool, device=views[0].device)
    if pairs := [contrastive_loss(a, b, own, scale) for a, b in combinations(views, 2)]:
        losses["image-image"] = torch.stack(pairs).mean()
    pairs = []
    for a, b in combinations(range(len(texts)), 2):
        open_ = [sum(truth[v][t][0][:, :n] | truth[v][t][1][:, :n] for v in range(len(views))) > 0 for t in (a, b)]
        pairs.append(contrastive_loss(texts[a][:n], texts[b][:n], alike(a, b), scale, open_[1] | open_[0].T))
    if pairs:
        losses["text-text"] = torch.stack(pairs).mean()
    return losses


def total(losses: dict[str, Tensor], balance: Balance) -> Tensor:
    """The weighted sum of `multi_view_losses`."""
    weights = {"image-text": 1.0, "image-image": balance.image_image, "text-text": balance.text_text}
    return sum((weights[name] * loss for name, loss in losses.items()), torch.zeros(()))
