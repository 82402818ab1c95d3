"""What prompts change: mean AUCs and their paired change, by literal sums and over resampled patients."""

import numpy as np
import pandas as pd
import pytest
import torch
import toys

from mdissect.concepts import ConceptSet, Prompts
from mdissect.dissection import Dissection
from mdissect.metrics import auc, auc_interval, auc_matrix
from mdissect.trust import prompt_cards
from mdissect.trust.prompts import BARE, PROMPTS

NAMES = ["mass", "clip", "cyst"]
GOOD, BAD = Prompts(("good {}",)), Prompts(("bad {}",))


class Reader(toys.RowDissector):
    """Texts "good x" point at x, "bad x" away from all concepts, "x" between."""

    def embed_texts(self, texts):
        rows = []
        for text in texts:
            row = torch.zeros(8)
            for i, name in enumerate(NAMES):
                row[i] = {"good": 1.0, "bad": 0.0}.get(text.split()[0], 0.6) * (name in text)
            row[7] = 1 - row.max()
            rows.append(row / row.norm())
        return torch.stack(rows)


@pytest.fixture(scope="module")
def world() -> tuple[Dissection, pd.DataFrame]:
    rng = np.random.default_rng(0)
    presence = np.repeat(rng.random((60, 3)) < 0.3, 3, axis=0)
    embeddings = 0.5 * rng.standard_normal((180, 8))
    embeddings[:, :3] += presence
    embeddings[:, 7] *= 3
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    ids = [f"image {i}" for i in range(180)]
    table = pd.DataFrame({"patient": [f"P{i // 3}" for i in range(180)]}, index=ids)
    concepts = ConceptSet.from_list(NAMES)
    parts = {"image_embeddings": embeddings.astype(np.float32), "probe_table": table}
    found = Dissection({"deep": np.zeros((1, 3))}, concepts, {}, image_concept_sims=np.zeros((180, 3)), **parts)
    return found, pd.DataFrame(presence, index=ids, columns=NAMES)


def test_better_and_worse_prompts_are_told_from_bare_phrases(world):
    card = prompt_cards(world[0], Reader(), {"good": GOOD, "bad": BAD}, world[1]).set_index("prompts")
    assert card.index.tolist() == [BARE, "good", "bad"]
    assert card.concepts.tolist() == [3, 3, 3]
    assert card.change_low["good"] > 0 > card.change_high["bad"]
    assert (card.better["good"], card.better["bad"]) == (1, 0)
    assert card.loc[BARE, ["change", "change_low", "better"]].isna().all()
    assert card.change.tolist()[1:] == pytest.approx((card.auc - card.auc[BARE]).tolist()[1:])


def test_the_mean_auc_is_that_of_the_concepts(world):
    found, presence = world
    card = prompt_cards(found, Reader(), {"good": GOOD}, presence)
    sims = found.image_embeddings[:, :3]
    assert card.auc[1] == pytest.approx(np.mean([auc(presence[n].to_numpy(), sims[:, i]) for i, n in enumerate(NAMES)]))


def test_of_one_concept_the_interval_is_as_wide_as_the_report_cards(world):
    found, presence = world
    card = prompt_cards(found, Reader(), {"good": GOOD}, presence[["mass"]])
    clusters = np.repeat(np.arange(60), 3)
    _, low, high = auc_interval(presence.mass.to_numpy(), found.image_embeddings[:, 0], clusters)
    assert card.high[1] - card.low[1] == pytest.approx(high - low, rel=0.12)


def test_the_interval_of_the_change_is_that_of_resampled_patients(world):
    found, presence = world
    card = prompt_cards(found, Reader(), {"good": GOOD}, presence)
    rng, known = np.random.default_rng(1), presence.to_numpy()
    sims = [
        found.image_embeddings @ Reader().embed_texts([f"{word} {n}".strip() for n in NAMES]).numpy().T for word in ("good", "")
    ]
    drawn = []
    for _ in range(150):
        images = (3 * rng.integers(0, 60, 60)[:, None] + np.arange(3)).ravel()
        areas = [auc_matrix(one[images], known[images]).diagonal() for one in sims]
        drawn.append((areas[0] - areas[1]).mean())
    assert (card.change_high[1] - card.change_low[1]) / (2 * 2.0) == pytest.approx(np.std(drawn), rel=0.25)


def test_the_default_prompts_are_one_sentence_and_five_with_and_without_the_empty_ones():
    assert [(len(one.templates), one.subtract_empty) for one in PROMPTS.values()] == [
        (1, False),
        (1, True),
        (5, False),
        (5, True),
    ]


def test_what_cannot_be_compared_is_an_error(world):
    found, presence = world
    without = Dissection(found.similarity, found.concepts, {}, image_concept_sims=found.image_concept_sims)
    with pytest.raises(ValueError, match="no image_embeddings"):
        prompt_cards(without, Reader())
    other = Dissection(**{**vars(found), "settings": {"dissector_weights": "another", "dissector": "demo/clip"}})
    with pytest.raises(ValueError, match="not the one that the dissection was made with \\(demo/clip\\)"):
        prompt_cards(other, Reader(), presence=presence)
    with pytest.raises(ValueError, match="no concept has known presence in 5 patients"):
        prompt_cards(found, Reader(), presence=presence.assign(mass=True, clip=False, cyst=None))
