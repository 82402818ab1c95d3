"""A step of contrastive pretraining beside a plain two-tower step with open_clip's loss, per image.

Run: PYTHONPATH=. python tests/benchmark_contrastive.py [seconds]

Both train the demo's mammogram model (0.6 million weights) in float32 with AdamW on the same prepared images and texts, 48
images a step, in turns, so that the load of the machine is the same for both. "ours": `Contrastive.step` with one view and one
text a study, the truth of every text included; "two views": 24 studies with two views and two texts. "peer": encode images,
encode texts (tokenised and padded together, as open_clip's loop does it), ClipLoss, step. Prints medians and quartiles.
"""

from __future__ import annotations

import copy
import sys
import time

import numpy as np
import torch
from open_clip.loss import ClipLoss
from torch.nn import functional as F

from mdissect.models import WordPieceTexts, build_image_text
from mdissect.phantom.mammograms import reports, sample_truth
from mdissect.preprocess import Preprocess
from mdissect.train.contrastive import Contrastive, Material
from mdissect.train.demo.models import PREPROCESS, VOCABULARY, _config
from mdissect.train.demo.trainer import WorldStudies
from mdissect.train.demo.world import World, _breasts
from mdissect.train.recipe import Augment, ContrastiveRecipe, Running

IMAGES, BATCH = 192, 48


class Prepared:
    """Images that are prepared already: what reads them costs neither side anything."""

    def __init__(self, images: torch.Tensor):
        self.images = images

    def batches(self, keys, workers=0):
        for some in keys:
            yield self.images[[position for position, _ in some]].contiguous(memory_format=torch.channels_last), None


def world() -> World:
    truths = [sample_truth(5, index, ("distortion",)) for index in range(IMAGES)]
    return World(
        name="benchmark",
        images=np.zeros((IMAGES, 1, 1), np.uint8),
        facts=np.stack([reports.factor_vector(truth) for truth in truths]),
        keys=reports.factor_keys(),
        boxes=[[]] * IMAGES,
        sample_text=lambda position, rng: reports.sample_text(truths[position], rng),
        studies=_breasts(truths),
    )


class Peer:
    """A plain two-tower step: CLIP's symmetric loss by open_clip."""

    def __init__(self, model, tokenizer, recipe: ContrastiveRecipe):
        self.model, self.tokenizer, self.loss = model, tokenizer, ClipLoss()
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        self.norm = recipe.max_grad_norm

    def step(self, x: torch.Tensor, texts: list[str]) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        images = F.normalize(self.model.image_projection(self.model.pool_image(self.model.image_features(x))), dim=1)
        words = self.model.encode_tokens(*self.tokenizer(texts, cut=True))
        self.loss(images, words, self.model.logit_scale.exp()).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.norm)
        self.optimizer.step()


def contrastive(model, tokenizer, images: Prepared, recipe: ContrastiveRecipe, toy: World) -> Contrastive:
    alone = [np.array([i]) for i in range(IMAGES)]  # each image by itself, as the peer has it
    groups = alone if recipe.n_views == 1 else toy.studies[0]
    studies = WorldStudies(toy, groups, np.arange(len(groups)), [], 0)
    material = Material(studies, images, lambda texts: tokenizer(texts, cut=True), np.arange(len(studies)))
    return Contrastive(model, material, recipe, Running(device="cpu", progress=False), {})


def main(seconds: float = 60.0) -> None:
    torch.manual_seed(0)
    toy, tokenizer = world(), WordPieceTexts.train(reports.corpus(600, 5), VOCABULARY)
    model = build_image_text(_config(tokenizer)).to(memory_format=torch.channels_last).train()
    size = Preprocess(**PREPROCESS).size
    images = Prepared(torch.randn(IMAGES, 3, *size))
    recipe = ContrastiveRecipe(
        epochs=1, batch_size=BATCH, n_views=1, n_texts=1, augment=Augment.off(), validation_fraction=0, precision="float32"
    )
    ours = contrastive(copy.deepcopy(model), tokenizer, images, recipe, toy)
    pairs = contrastive(
        copy.deepcopy(model), tokenizer, images, recipe.changed(batch_size=BATCH // 2, n_views=2, n_texts=2), toy
    )
    peer = Peer(copy.deepcopy(model), tokenizer, recipe)
    for one in (ours, pairs):
        one.module.train()
    times: dict[str, list[float]] = {"ours": [], "peer": [], "two views": []}
    start, number = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        batch, chunks = next(ours._batches(0, number % ours.steps_per_epoch))
        two, two_chunks = next(pairs._batches(0, number % pairs.steps_per_epoch))
        x, texts = chunks[0][0], [text.text for text in batch.texts[0]]
        runs = {
            "ours": lambda batch=batch, chunks=chunks: ours.step(batch, chunks),
            "peer": lambda x=x, texts=texts: peer.step(x, texts),
            "two views": lambda two=two, two_chunks=two_chunks: pairs.step(two, two_chunks),
        }
        order = np.random.default_rng(number).permutation(list(runs))
        for name in order:
            before = time.perf_counter()
            runs[name]()
            times[name].append((time.perf_counter() - before) / BATCH * 1000)
        number += 1
    for name, found in times.items():
        low, middle, high = np.percentile(found[1:], [25, 50, 75])
        print(f"{name}: {middle:.2f} ms an image (quartiles {low:.2f} to {high:.2f}, {len(found) - 1} steps)")
    ratio = np.array(times["ours"][1:]) / np.array(times["peer"][1:])
    print(f"ours / peer, step by step: median {np.median(ratio):.3f}, quartiles {np.percentile(ratio, [25, 75]).round(3)}")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
