"""Embeddings of a model in training."""

import torch

from mdissect.train.embedding import embedded_texts


def test_texts_are_embedded_in_the_order_given():
    class Model:
        logit_scale = torch.tensor(0.0)

        def text_states(self, ids, mask):
            self.widths.append(ids.shape[1])
            return ids

        def project_text(self, states, mask):
            return (states * mask).sum(dim=1, keepdim=True)

        widths: list[int] = []  # noqa: RUF012

    def tokenizer(texts):
        width = max(map(len, texts))
        ids = torch.tensor([[ord(letter) for letter in text.ljust(width)] for text in texts])
        return ids, torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])

    texts = ["ccccc", "a", "bbb", "dd", "eeeeeeee", "f", "gggg"]
    model = Model()
    for groups in (1, 2, 3, 7, 20):
        found = embedded_texts(model, tokenizer, texts, groups=groups)
        assert found.flatten().tolist() == [sum(map(ord, text)) for text in texts]
    model.widths.clear()
    embedded_texts(model, tokenizer, texts, groups=4)
    assert model.widths == [1, 3, 5, 8]  # short texts carry little padding
