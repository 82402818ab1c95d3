"""The towers, their pooling, and the tokenizer."""

import copy
import json
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mdissect.models import ImageTextDissector, ImageTextModel, WordPieceTexts, build_image_text, default_config
from mdissect.models.towers import small_efficientnet
from mdissect.models.untrained import random_projection
from mdissect.preprocess import Preprocess

TEXTS = ["spiculated mass in the left breast", "oval mass", "no calcification"]


class TextStates(nn.Module):
    """A text tower whose hidden state of a token is its id, twice."""

    def forward(self, input_ids, attention_mask):
        states = input_ids[..., None].float() * torch.tensor([1.0, 10.0])
        return type("Output", (), {"last_hidden_state": states})


class Maps(nn.Module):
    """An image tower that returns the image itself as its map."""

    def forward_features(self, x):
        return x


def toy_model(**pools) -> ImageTextModel:
    model = ImageTextModel(Maps(), TextStates(), image_features=2, text_features=2, embed_dim=2, **pools)
    for projection in (model.image_projection, model.text_projection):
        nn.init.eye_(projection.weight)
        nn.init.zeros_(projection.bias)
    return model


@pytest.fixture(scope="module")
def tokenizer() -> WordPieceTexts:
    return WordPieceTexts.train(TEXTS * 3, vocab_size=75)


@pytest.fixture(scope="module")
def model(tokenizer) -> ImageTextModel:
    torch.manual_seed(0)
    return build_image_text(default_config(tokenizer.vocab_size)).eval()


@pytest.mark.parametrize(("pool", "expected"), [("avg", [2.5, 1.0]), ("avgmax", [3.25, 1.0])])
def test_image_pooling(pool, expected):
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]]]])
    model = toy_model(image_pool=pool)
    torch.testing.assert_close(model.pool_image(maps), torch.tensor([expected]))
    torch.testing.assert_close(model.encode_images(maps), F.normalize(torch.tensor([expected]), dim=1))


@pytest.mark.parametrize(("pool", "expected"), [("mean", [2.0, 6.0]), ("eos", [3.0, 6.0])])
def test_text_pooling_leaves_padding_out(pool, expected):
    input_ids = torch.tensor([[1, 2, 3, 99], [6, 99, 99, 99]])
    attention_mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
    model = toy_model(text_pool=pool)
    states = model.text_tower(input_ids, attention_mask).last_hidden_state
    assert model.pool_text(states, attention_mask)[:, 0].tolist() == expected
    torch.testing.assert_close(model.encode_tokens(input_ids, attention_mask).norm(dim=1), torch.ones(2))


def test_unknown_pools_are_errors():
    with pytest.raises(ValueError, match="text_pool='cls' is not one of 'mean', 'eos'"):
        toy_model(text_pool="cls")
    with pytest.raises(ValueError, match="image_pool='max' is not one of 'avg', 'avgmax'"):
        toy_model(image_pool="max")


@torch.inference_mode()
def test_default_model(model, tokenizer):
    images = torch.rand(3, 3, 64, 40)
    assert model.image_features(images).shape == (3, 256, 2, 2)
    embedded = model.encode_images(images)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(model.encode_images(images[1:2]), embedded[1:2])
    torch.testing.assert_close(model.image_tower(images), model.pool_image(model.image_features(images)))
    assert model.encode_tokens(*tokenizer(TEXTS)).shape == (3, 128)
    assert model.logit_scale.item() == pytest.approx(math.log(1 / 0.07))


@torch.inference_mode()
def test_a_text_alone_and_among_longer_ones(model, tokenizer):
    torch.testing.assert_close(
        model.encode_tokens(*tokenizer(TEXTS))[1:2], model.encode_tokens(*tokenizer(TEXTS[1:2])), atol=1e-5, rtol=1e-5
    )


def test_small_efficientnet_names_its_stages():
    tower = small_efficientnet([["cn_r1_k3_s2_e1_c8"], ["er_r1_k3_s2_e2_c16"]], stem=8, features=24, act="silu")
    assert [len(tower.blocks), tower.bn2.num_features, tower.bn2.eps] == [2, 24, 1e-3]
    assert isinstance(tower.bn2.act, nn.SiLU)


@pytest.mark.parametrize(
    ("section", "key", "message"),
    [
        ("image", "stem", r"section 'image'.*missing keys \['stem'\], unknown keys \[\]"),
        ("text", "heads", r"section 'text'.*missing keys \['heads'\]"),
        (None, "embed_dim", r"top level.*missing keys \['embed_dim'\]"),
    ],
)
def test_config_with_a_missing_key(section, key, message):
    config = default_config(60)
    del (config[section] if section else config)[key]
    with pytest.raises(ValueError, match=message):
        build_image_text(config)


def test_config_with_an_unknown_key():
    config = copy.deepcopy(default_config(60))
    config["image"]["depth"] = 3
    with pytest.raises(ValueError, match=r"unknown keys \['depth'\]"):
        build_image_text(config)


def test_tokens_are_framed_padded_and_cut(tokenizer):
    input_ids, attention_mask = tokenizer(["Oval MASS", "mass"])
    cls, sep, pad = (tokenizer._tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]", "[PAD]"))
    assert input_ids.dtype == attention_mask.dtype == torch.int64
    assert input_ids[:, 0].tolist() == [cls, cls]
    assert attention_mask.sum(dim=1).tolist() == [4, 3]
    assert input_ids[1].tolist()[-2:] == [sep, pad]
    assert torch.equal(input_ids[0], tokenizer(["oval mass"])[0][0])


def test_texts_over_the_length_are_named(tmp_path, tokenizer):
    tokenizer.save(tmp_path)
    short = WordPieceTexts(tmp_path, max_length=5)
    assert short(["mass mass mass"])[0].shape == (1, 5)
    with pytest.raises(ValueError, match=r"1 of 2 texts are longer than the 5 tokens .*: 'oval mass no mass'; shorten them"):
        short(["mass", "oval mass no mass"])
    assert torch.equal(short(["oval mass no mass"], cut=True)[0], short(["oval mass no"])[0])


def test_training_a_tokenizer_depends_on_the_texts_alone(tokenizer):
    again = WordPieceTexts.train(TEXTS[::-1] * 3, vocab_size=75)
    assert again.to_json() == tokenizer.to_json()
    assert again.vocab_size == 75


def test_frequent_words_become_one_piece():
    tokenizer = WordPieceTexts.train(["mass"] * 5 + ["calcification"], vocab_size=40)
    assert tokenizer(["mass"])[0].shape == (1, 3)
    assert tokenizer(["massif"])[0].shape[1] > 3


def test_texts_without_a_known_word_are_named(tokenizer):
    with pytest.raises(ValueError, match=r"2 of 3 texts hold no word of the tokenizer's vocabulary.*'乳房', ''"):
        tokenizer(["mass", "乳房", ""])


def test_bad_tokenizer_directories(tmp_path, tokenizer):
    with pytest.raises(FileNotFoundError, match="no tokenizer at"):
        WordPieceTexts(tmp_path)
    (tmp_path / "tokenizer.json").write_text("<html>")
    with pytest.raises(ValueError, match="is not a tokenizer of the tokenizers library"):
        WordPieceTexts(tmp_path)
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json().replace("[CLS]", "[START]"))
    with pytest.raises(ValueError, match=r"has no special tokens \[CLS\]"):
        WordPieceTexts(tmp_path)


def test_a_tokenizer_without_words_is_refused(tmp_path):
    WordPieceTexts.train(["a"], vocab_size=5).save(tmp_path)
    wordless = json.loads((tmp_path / "tokenizer.json").read_text())
    wordless["model"]["vocab"] = {token: i for token, i in wordless["model"]["vocab"].items() if i < 4}
    (tmp_path / "tokenizer.json").write_text(json.dumps(wordless))
    with pytest.raises(ValueError, match="special tokens but no words"):
        WordPieceTexts(tmp_path)


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ([5], TypeError, "texts must be str, found 5"),
        (["mass", None], TypeError, "texts must be str, found None"),
        ([b"mass"], TypeError, "texts must be str, found b'mass'"),
        ([["mass"]], TypeError, r"texts must be str, found \['mass'\]"),
        ([""], ValueError, r"1 of 1 texts hold no word .*: ''"),
        ([" \t\n"], ValueError, "1 of 1 texts hold no word"),
        (["☃☃", "mass"], ValueError, "1 of 2 texts hold no word .*: '☃☃'"),
        (["\x00"], ValueError, "1 of 1 texts hold no word"),
        (["mass " * 79], ValueError, "1 of 1 texts are longer than the 80 tokens"),
        (["oval " * 5000], ValueError, "1 of 1 texts are longer than the 80 tokens"),
        (["mass " * 78 + end for end in ("left", "right")], ValueError, "2 of 2 texts are longer .*: 'mass mass .*', 'mass"),
    ],
)
def test_texts_that_no_tower_can_read(tokenizer, texts, error, message):
    with pytest.raises(error, match=message):
        tokenizer(texts)


def test_one_text_is_a_text_and_not_its_letters(tokenizer):
    assert torch.equal(tokenizer("oval mass")[0], tokenizer(["oval mass"])[0])
    assert tokenizer([])[0].shape == (0, 0)


@pytest.mark.parametrize("max_length", [0, 2, -1, 5.0, None])
def test_a_length_that_no_text_fits(tmp_path, tokenizer, max_length):
    tokenizer.save(tmp_path)
    with pytest.raises(ValueError, match=f"max_length={max_length} must be a whole number, 3 or more"):
        WordPieceTexts(tmp_path, max_length=max_length)


def test_texts_that_are_one_to_the_tower_are_grouped(model, tokenizer):
    dissector = ImageTextDissector("toy", model, tokenizer, Preprocess(size=(8, 8)), aligned=True)
    texts = ["oval mass", "no mass", "OVAL  mass", "mass ☃", "mass ☺", "oval mass", "no calcification"]
    assert dissector.alike(texts) == [("oval mass", "OVAL  mass"), ("mass ☃", "mass ☺")]
    assert random_projection(dissector, 0).alike(texts) == dissector.alike(texts)
    assert dissector.alike(["oval mass", "oval mass"]) == []
    with pytest.raises(ValueError, match="are longer than the 80 tokens"):
        dissector.alike(["mass " * 79])
    embedded = dissector.embed_texts(texts)
    torch.testing.assert_close(embedded[3], embedded[4])
