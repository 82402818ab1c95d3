"""What the paper says of two setups under one threshold: G and M, A and B, C and D."""

from mdissect.concepts import OTHER
from mdissect.signatures import validated
from mdissect.study import numbers
from mdissect.study.claims import Claim, claim
from mdissect.study.pairs import Pair
from mdissect.wording import percent


@validated()
def on_training(pair: Pair, added: str = "") -> list[Claim]:
    """What the paper says of G and M (Figs. 4, 5): `pair` holds G, then M.

    `added` marks a comparison that the paper does not make, such as G by M's dissector.
    """
    (g, m), why, blind = pair.names, _why_not(pair), _why_blind(pair, 0)
    names = {"first": g, "second": m, "added": added}
    leading, tops = pair.leading_layers(m), pair.tops(g)
    last, trios = tops[pair.layers[-1]], [frozenset(top) for top in tops.values()]
    shares = {name: pair.last_share(name) for name in (g, m)}
    more = [claim("tau", *_above(pair, m, g), **names, why=why), claim("both domains", *_more(pair, m, g), **names, why=why)]
    about_g = [
        claim("drift", OTHER in last, f"last layer: {', '.join(last) or 'no label passes'}", **names, why=blind),
        claim(
            "unsteady", len(set(trios)) == len(trios), "; ".join(", ".join(top) or "none" for top in tops.values()),
            **names, why=blind,
        ),
        claim("words", shares[g] > shares[m], ", ".join(f"{n} {_share(pair, n)}" for n in shares), **names, why=why),
    ]  # fmt: skip
    if added:  # what concerns M alone is the same whatever stands beside it
        return [*more, *about_g]
    mammography, other = (pair.total(m, domain, own=True) for domain in ("mammography", "other"))
    dominant = f"{numbers.of_row(mammography, pair.count)} of mammography, {numbers.of_row(other, pair.count)} others"
    about_m = [
        claim("mostly mammography", mammography[pair.count] > other[pair.count], dominant, **names),
        claim("steady", len(leading) == len(pair.layers), _layers(leading, pair), **names),
    ]
    return [*more, *about_m, *about_g]


@validated()
def on_natural_images(pair: Pair) -> list[Claim]:
    """What the paper says of its setups A and B (Fig. 12): `pair` holds A, then B."""
    (a, b), why = pair.names, _why_not(pair)
    names = {"first": a, "second": b}
    last = {name: pair.last_row(name) for name in (a, b)}
    led = {name: list(table.drop_duplicates("layer").broad_category == OTHER) for name, table in pair.top.items()}
    other, mammography = (pair.total(a, domain) for domain in ("other", "mammography"))
    return [
        claim("natural tau", *_above(pair, a, b), **names, why=why),
        claim("natural both", *_more(pair, a, b), **names, why=why),
        claim(
            "natural other", other[pair.count] > mammography[pair.count],
            f"{numbers.of_row(other, pair.count)} other, {numbers.of_row(mammography, pair.count)} of mammography", **names,
        ),
        claim(
            "natural first", all(layers and all(layers) for layers in led.values()),
            "; ".join(f"{name}: {sum(layers)} of {len(layers)} layers" for name, layers in led.items()), **names,
        ),
        claim(
            "natural last", last[a][pair.count] > 0 and last[a][pair.count] >= 2 * last[b][pair.count],
            ", ".join(f"{name} {numbers.of_row(row, pair.count)}" for name, row in last.items()), **names, why=why,
        ),
    ]  # fmt: skip


@validated()
def on_mixed_images(pair: Pair) -> list[Claim]:
    """What the paper says of its setups C and D (Fig. 13): `pair` holds C, then D."""
    (c, d), why = pair.names, _why_not(pair)
    names = {"first": c, "second": d}
    leading, last = pair.leading_layers(d), pair.tops(d)[pair.layers[-1]]
    passing = pair.broad[c].groupby("broad_category", sort=False)[pair.count].sum()
    nothing = "; ".join(f"{name}: {numbers.short(n)}" for name, n in passing.items() if n) or "nothing passes"
    return [
        claim("mixed tau", *_above(pair, d, c), **names, why=why),
        claim("mixed both", *_more(pair, d, c), **names, why=why),
        claim("mixed steady", len(leading) == len(pair.layers), _layers(leading, pair), **names),
        claim("mixed other", OTHER in last, f"last layer: {', '.join(last) or 'no label passes'}", **names),
        claim("mixed none", bool((passing == 0).all()), nothing, **names, why=why),
    ]


def _above(pair: Pair, high: str, low: str) -> tuple[bool, str]:
    """Whether the own threshold of one setup of a pair lies above the other's in every layer, and the numbers."""
    rows = list(zip(pair.layers, pair.tau[high].to_dict("records"), pair.tau[low].to_dict("records"), strict=True))
    values = ", ".join(f"{layer}: {numbers.threshold(x)} against {numbers.threshold(y)}" for layer, x, y in rows)
    above = sum(x["threshold"] > y["threshold"] for _, x, y in rows)
    return above == len(rows), f"{above} of {len(rows)} layers ({values})"


def _more(pair: Pair, more: str, less: str) -> tuple[bool, str]:
    """Whether one setup of a pair captures more of either domain, and the numbers."""
    domains = list(dict.fromkeys(pair.domains[more].domain))
    totals = {domain: (pair.total(more, domain), pair.total(less, domain)) for domain in domains}
    words = (
        f"{domain}: {numbers.of_row(a, pair.count)} against {numbers.of_row(b, pair.count)}"
        for domain, (a, b) in totals.items()
    )
    return all(a[pair.count] > b[pair.count] for a, b in totals.values()), "; ".join(words)


def _share(pair: Pair, name: str) -> str:
    """The share of other concepts among a setup's concepts of the last layer, its interval, and the counts."""
    share, row, bounds = pair.last_share(name), pair.last_row(name), pair.last_other.get(name)
    if share != share:
        return "none"
    interval = f" ({percent(bounds[0])} to {percent(bounds[1])})" if bounds else ""
    counts = f"{numbers.of_row(row, pair.count)} of {numbers.short(pair.last_total(name))}"
    return f"{percent(share)}{interval} ({counts})"


def _why_not(pair: Pair) -> str:
    """Why a pair cannot be compared under one threshold, or ""."""
    if pair.comparable:
        return ""
    return f"the similarities of {pair.names[0]} and {pair.names[1]} come from different dissectors"


def _why_blind(pair: Pair, which: int) -> str:
    """Why a setup's labels mean nothing, or ""."""
    return "" if pair.aligned[which] else f"the dissector of {pair.names[which]} was never trained to match images with texts"


def _layers(found: list[str], pair: Pair) -> str:
    """How many of a pair's layers, and which."""
    return f"{len(found)} of {len(pair.layers)} layers" + (f" ({', '.join(found)})" if found else "")
