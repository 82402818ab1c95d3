"""Tests of the agreement of readers: by hand, against scikit-learn, and in what must not matter."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from mdissect.trust import names_label, reader_agreement, share_interval
from mdissect.trust.readers import ALL_LAYERS, MAJORITY, VERDICTS, _kappas

LETTERS = {verdict[0]: verdict for verdict in VERDICTS} | {"-": ""}


def verdicts(label="implant", layer="deep", **readers):
    """A table from reader="rpwc-" texts: right, partly, wrong, cannot tell, none; a letter per neuron."""
    rows = [(layer, i, who, LETTERS[letter], label) for who, letters in readers.items() for i, letter in enumerate(letters)]
    return pd.DataFrame(rows, columns=["layer", "neuron", "reader", "verdict", "label"])


def compared(table, **options):
    return reader_agreement(table, **{"n_boot": 50, **options})


def test_cohens_kappa_of_two_readers():
    found = compared(verdicts(AB="rrrrrppwww-", CD="rrrrpppwwrr"))
    # from the margins: AB r5 p2 w3, CD r5 p3 w2
    chance = (5 * 5 + 2 * 3 + 3 * 2) / 100
    assert (found.method, found.neurons, found.readers) == ("Cohen", 10, ("AB", "CD"))
    assert found.share == pytest.approx(0.8)
    assert found.kappa == pytest.approx((0.8 - chance) / (1 - chance))


@pytest.mark.parametrize(
    ("counts", "kappa"),
    [
        # yes-yes, yes-no, no-yes, no-no; each by (po - pe) / (1 - pe)
        ((20, 5, 10, 15), 0.4),  # po 35/50, pe .5 * .6 + .5 * .4: the grant proposals of Wikipedia's "Cohen's kappa"
        ((45, 15, 25, 15), (0.6 - 0.54) / 0.46),  # the same share of agreement with other margins: .1304
        ((25, 35, 5, 35), (0.6 - 0.46) / 0.54),  # .2593
        ((0, 10, 10, 0), -1.0),
        ((5, 5, 5, 5), 0.0),
    ],
)
def test_textbook_tables_of_two_readers(counts, kappa):
    one = "".join(letter * n for letter, n in zip("rrww", counts, strict=True))
    other = "".join(letter * n for letter, n in zip("rwrw", counts, strict=True))
    assert compared(verdicts(A=one, B=other)).kappa == pytest.approx(kappa)


def test_fleiss_kappa_of_three_readers():
    found = compared(verdicts(AB="rrpp", CD="rrpw", EF="rrrw"))
    # pairs alike: 1, 1, 1/3, 1/3; verdicts: r7 p3 w2 of 12
    alike, chance = (1 + 1 + 1 / 3 + 1 / 3) / 4, (49 + 9 + 4) / 144
    assert found.method == "Fleiss"
    assert found.share == pytest.approx(alike)
    assert found.kappa == pytest.approx((alike - chance) / (1 - chance))


def test_fleiss_kappa_of_many_readers():
    """The worked example of Fleiss' kappa with its fifth category merged into the fourth: 14 readers, 10 subjects.

    By hand: sums 20 28 39 53 of 140; P of each row sum n (n - 1) / 182; kappa (P - Pe) / (1 - Pe).
    """
    rows = [
        (0, 0, 0, 14), (0, 2, 6, 6), (0, 0, 3, 11), (0, 3, 9, 2), (2, 2, 8, 2),
        (7, 7, 0, 0), (3, 2, 6, 3), (2, 5, 3, 4), (6, 5, 2, 1), (0, 2, 2, 10),
    ]  # fmt: skip
    texts = ["".join(letter * n for letter, n in zip("rpwc", row, strict=True)) for row in rows]
    found = compared(verdicts(**{f"reader {i:02d}": "".join(text[i] for text in texts) for i in range(14)}), n_boot=1)
    each = [sum(n * (n - 1) for n in row) / 182 for row in rows]
    chance = (20**2 + 28**2 + 39**2 + 53**2) / 140**2
    assert found.share == pytest.approx(sum(each) / 10)
    assert found.kappa == pytest.approx((sum(each) / 10 - chance) / (1 - chance))


@pytest.mark.slow
@given(st.lists(st.tuples(*[st.sampled_from(VERDICTS)] * 2), min_size=1, max_size=12))
@settings(deadline=None, max_examples=60)
def test_kappa_of_two_is_scikit_learns(pairs):
    one, other = zip(*pairs, strict=True)
    table = pd.concat([verdicts(A="".join(v[0] for v in one)), verdicts(B="".join(v[0] for v in other))])
    found = compared(table, n_boot=1)
    if len({*one, *other}) == 1:
        assert np.isnan(found.kappa)
    else:
        assert found.kappa == pytest.approx(cohen_kappa_score(one, other, labels=list(VERDICTS)))


@pytest.mark.slow
@given(st.lists(st.text("rpwc", min_size=12, max_size=12), min_size=2, max_size=4), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_the_order_of_rows_and_neurons_and_the_readers_names_do_not_matter(texts, random):
    names = [f"reader {i}" for i in range(len(texts))]
    table = verdicts(**dict(zip(names, texts, strict=True)))
    before = compared(table)
    numbers = list(range(12))
    random.shuffle(numbers)
    moved = table.assign(neuron=[numbers[n] for n in table.neuron]).sample(frac=1, random_state=random.randrange(1000))
    pd.testing.assert_frame_equal(compared(moved).layers, before.layers)
    random.shuffle(names)
    renamed = compared(table.assign(reader=[names[int(who.split()[1])] for who in table.reader])).layers.iloc[-1]
    for name in ("neurons", "share", "kappa"):
        assert renamed[name] == pytest.approx(before.layers.iloc[-1][name], nan_ok=True)


def test_perfect_agreement_is_one_and_none_beyond_chance_is_undefined():
    for readers in (2, 3):
        perfect = compared(verdicts(**dict.fromkeys("ABC"[:readers], "rpwcrpwcrpwc")))
        assert perfect.kappa == pytest.approx(1)
        assert np.isnan(perfect.layers.kappa_low).all()
        assert (perfect.layers.note == "no resample differs: no interval of kappa").all()
        same = compared(verdicts(**dict.fromkeys("ABC"[:readers], "rrr")))
        assert np.isnan(same.kappa)
        assert (same.layers.note == "all verdicts are the same: kappa is not defined").all()
        assert len(same.disagreements) == 0


@pytest.mark.parametrize(
    ("table", "note", "layers"),
    [
        (verdicts(), "no reader: agreement needs two", [ALL_LAYERS]),
        (verdicts(AB="---"), "no reader: agreement needs two", [ALL_LAYERS]),
        (verdicts(AB="rr", CD="--"), "one reader: agreement needs two", ["deep", ALL_LAYERS]),
        (verdicts(AB="rr--", CD="--pp"), "no neuron has verdicts of all readers", [ALL_LAYERS]),
        (verdicts(AB="rp", CD="pr"), "fewer than 10 neurons: no interval of kappa", ["deep", ALL_LAYERS]),
    ],
)
def test_what_cannot_be_known_says_why(table, note, layers):
    found = compared(table)
    assert found.layers.layer.tolist() == layers
    assert found.layers.note.tolist() == [note] * len(layers)
    assert np.isnan(found.layers.kappa_low).all()
    assert len(found.pairs) == max(0, len(found.readers) * (len(found.readers) - 1) // 2)


def test_layers_pairs_and_disagreements():
    table = pd.concat([verdicts(A="rrp", B="rwp", C="rr-"), verdicts(layer="stem", A="c", B="w", C="w")])
    found = compared(table)
    assert found.layers.set_index("layer").neurons.to_dict() == {"deep": 2, "stem": 1, ALL_LAYERS: 3}
    assert found.pairs[["reader", "other", "neurons"]].to_numpy().tolist() == [["A", "B", 4], ["A", "C", 3], ["B", "C", 3]]
    assert found.pairs.share.tolist() == pytest.approx([0.5, 2 / 3, 2 / 3])
    assert found.disagreements.to_dict("records") == [
        {"layer": "deep", "neuron": 1, "label": "implant", "A": "right", "B": "wrong", "C": "right"},
        {"layer": "stem", "neuron": 0, "label": "implant", "A": "cannot tell", "B": "wrong", "C": "wrong"},
    ]
    assert found.notes == ("1 of 4 neurons have no verdict of all 3 readers",)


def test_verdicts_on_different_labels_are_not_compared():
    table = pd.concat([verdicts(A="rrp", B="rr-"), verdicts(label="mass", B="--p").query("verdict != ''")])
    found = compared(table)
    assert found.neurons == 2
    assert found.notes == ("1 neurons are left out: their readers judged different labels",)
    assert len(found.disagreements) == 0


def test_the_share_of_right_labels():
    table = pd.concat([verdicts(A="rrpw-", B="rwpr-", C="rc-pr"), verdicts(layer="stem", A="r", B="c", C="w")])
    table["words"] = np.where((table.reader == "A") & (table.layer == "deep"), "Implants, both sides", "")
    right = compared(table).right.set_index(["layer", "reader"])
    row = right.loc["deep", "A"]
    assert row[[*VERDICTS, "judged", "words", "named"]].tolist() == [2, 1, 1, 0, 4, 4, 4]
    assert row.share == 0.5
    assert (row.low, row.high) == share_interval(2, 4)
    # neurons 0: right three times; 1: one of each; 2: partly twice; 3: wrong, right, partly; 4: one reader alone
    assert right.loc["deep", MAJORITY][[*VERDICTS, "judged"]].tolist() == [1, 1, 0, 0, 4]
    assert right.loc[ALL_LAYERS, MAJORITY].judged == 5
    assert right.loc[ALL_LAYERS, "B"][[*VERDICTS, "judged", "words"]].tolist() == [2, 1, 1, 1, 5, 0]


@pytest.mark.parametrize(
    ("words", "label", "named"),
    [
        ("implants", "breast implant", True),
        ("silicone implant, left", "implant", True),
        ("a mass with spiculated margins", "spiculated mass", True),
        ("mass", "spiculated mass", False),
        ("left craniocaudal views", "left CC view", True),
        ("white stuff", "implant", False),
        ("", "implant", False),
        ("implant", "", False),
    ],
)
def test_whether_own_words_name_the_label(words, label, named):
    assert names_label(words, label) is named


def test_wilsons_interval():
    for k, n in ((0, 10), (3, 10), (10, 10), (41, 57)):
        share, z = k / n, 1.959963984540054
        centre, width = share + z**2 / 2 / n, z * np.sqrt(share * (1 - share) / n + z**2 / 4 / n**2)
        expected = (centre - width) / (1 + z**2 / n), (centre + width) / (1 + z**2 / n)
        assert share_interval(k, n) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(share_interval(0, 0)).all()


def test_resamples_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    codes, drawn = rng.integers(0, 4, (9, 3)), rng.multinomial(9, np.full(9, 1 / 9), size=20)
    shares, kappas = _kappas(codes, drawn)
    for weights, share, kappa in zip(drawn, shares, kappas, strict=True):
        rows = [row for row, n in zip(codes, weights, strict=True) for _ in range(n)]
        alike = np.mean([np.mean([a == b for a, b in itertools.combinations(row, 2)]) for row in rows])
        chance = sum((np.array(rows) == verdict).mean() ** 2 for verdict in range(4))
        assert (share, kappa) == pytest.approx((alike, (alike - chance) / (1 - chance)))


def test_an_interval_holds_kappa_and_is_the_same_each_time():
    rng = np.random.default_rng(1)
    table = verdicts(A="".join(rng.choice(list("rpw"), 60)), B="r" * 30 + "p" * 20 + "w" * 10)
    row = compared(table, n_boot=200).layers.iloc[-1]
    assert row.kappa_low < row.kappa < row.kappa_high
    assert row.share_low < row.share < row.share_high
    wide = compared(table, n_boot=200, level=0.99).layers.iloc[-1]
    assert wide.kappa_low < row.kappa_low
    assert wide.kappa_high > row.kappa_high
    pd.testing.assert_frame_equal(compared(table).layers, compared(table).layers)


def test_bad_tables_are_named():
    with pytest.raises(ValueError, match="A has two verdicts on neuron 0 of deep; keep one"):
        compared(pd.concat([verdicts(A="r"), verdicts(A="p")]))
    with pytest.raises(ValueError, match="verdict 'agree' is not one of right, partly, wrong, cannot tell"):
        compared(verdicts(A="r").assign(verdict="agree"))
    with pytest.raises(ValueError, match="table has no column reader"):
        compared(verdicts(A="r").drop(columns="reader"))


@pytest.mark.slow
def test_intervals_hold_the_kappa_of_many_neurons():
    """Of 100 studies of 60 neurons of two readers who err in 20 %, for each of 8 seeds: 80 at least, 95 expected."""

    def study(rng, n):
        truth = rng.choice(4, size=n, p=[0.6, 0.2, 0.15, 0.05])
        return np.where(rng.random((n, 2)) < 0.2, (truth[:, None] + rng.integers(1, 4, (n, 2))) % 4, truth[:, None])

    true = _kappas(study(np.random.default_rng(99), 200_000), np.ones((1, 200_000)))[1][0]
    for seed in range(8):
        rng, held = np.random.default_rng(seed), 0
        for _ in range(100):
            kappas = _kappas(study(rng, 60), rng.multinomial(60, np.full(60, 1 / 60), size=300))[1]
            low, high = np.quantile(kappas, [0.025, 0.975])
            held += low <= true <= high
        assert held >= 80
