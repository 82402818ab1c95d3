"""Captions of the natural scenes in varied wording, with the factor keys that they assert or deny.

Factor keys are ``object=``, ``colour=``, ``texture=``, ``background=``, ``background_texture=``, ``landscape=`` (the fields of
`SceneTruth`), ``shows=`` (a colour, texture or kind of thing anywhere in the image), ``size=``, ``count=`` and "one",
"several", "nothing".
"""

from functools import lru_cache

import numpy as np

from mdissect.phantom.scenes import wording as words
from mdissect.phantom.scenes.landscapes import LANDSCAPES
from mdissect.phantom.scenes.palette import COLOURS
from mdissect.phantom.scenes.scenes import CATALOGUE, choose
from mdissect.phantom.scenes.textures import TEXTURES
from mdissect.phantom.text import Text

_FIELDS = ("object", "colour", "texture", "background", "background_texture", "landscape", "size")
_FULL, _DENIAL = 0.3, 0.05  # shares of whole captions and of denials


@lru_cache(maxsize=1)
def _keys():
    patterns = [name for name in TEXTURES if name != "plain"]
    shown = {*COLOURS, *patterns, *words.KINDS, *(name for place in LANDSCAPES.values() for name in place.shows)}
    values = {
        "object": CATALOGUE,
        "colour": COLOURS,
        "texture": TEXTURES,
        "background": COLOURS,
        "background_texture": TEXTURES,
        "landscape": LANDSCAPES,
        "shows": sorted(shown),
        "count": words.COUNTS,
        "size": ("large", "small"),
    }
    return (*(f"{field}={value}" for field, names in values.items() for value in names), "one", "several", "nothing")


def factor_keys():
    """The factor keys of natural scenes, in the order of `factor_vector`."""
    return list(_keys())


def true_keys(truth):
    """The factor keys that hold for a scene, a set of str."""
    keys = {f"{field}={value}" for field in _FIELDS if (value := getattr(truth, field))}
    shown = {truth.colour, truth.texture, truth.background, truth.background_texture}
    if truth.object:
        shown |= {*CATALOGUE[truth.object].kinds, truth.group}
    if truth.landscape:
        shown |= set(LANDSCAPES[truth.landscape].shows)
    keys |= {f"shows={name}" for name in shown} & set(_keys())
    if truth.count > 1:
        return keys | {"several", f"count={truth.count}"}
    return keys | {"one" if truth.count else "nothing"}


def factor_vector(truth):
    """Which of `factor_keys` hold for a scene, (n_keys,) bool."""
    keys = true_keys(truth)
    return np.array([key in keys for key in _keys()])


@lru_cache(maxsize=1)
def _concepts():
    """Every concept that scenes can show -> the factor keys that must all hold for it."""
    table = {}
    for kind, nouns in words.KINDS.items():
        table |= dict.fromkeys(nouns, (f"shows={kind}",))
    for name in CATALOGUE:
        if name not in words.WIDE_NAMES:
            table |= dict.fromkeys(words.NOUNS.get(name, (name,)), (f"object={name}",))
    for colour in COLOURS:
        table |= dict.fromkeys(words.COLOUR_WORDS.get(colour, (colour,)), (f"shows={colour}",))
    for texture in TEXTURES:
        key = f"shows={texture}" if texture != "plain" else "texture=plain"
        table |= dict.fromkeys((*words.TEXTURE_NOUNS[texture], *_adjectives(texture)), (key,))
    for landscape, nouns in words.LANDSCAPE_NOUNS.items():
        table |= dict.fromkeys(nouns, (f"landscape={landscape}",))
    return table | words.JOINT


def concept_truth(concepts):
    """The factor keys that must all hold for each concept (in any case) that scenes can show.

    >>> concept_truth(["Goldfish", "breast"])
    {'Goldfish': ('object=fish', 'colour=orange')}
    """
    table = _concepts()
    return {concept: table[concept.lower()] for concept in concepts if concept.lower() in table}


def prompt(key):
    """The plainest words for a factor key, a prompt of an image-text model; ValueError for a family without prompts.

    >>> prompt("texture=striped"), prompt("background=red")
    ('a striped object', 'a red background')
    """
    family, _, value = key.partition("=")
    if family == "object":
        return _article(words.NOUNS.get(value, (value,))[0])
    if family == "landscape":
        return words.LANDSCAPE_NOUNS[value][0]
    things = {"colour": "object", "texture": "object", "background": "background", "background_texture": "background"}
    if family not in things:
        raise ValueError(
            f"no prompt for {key!r}: expected a key that starts with {', '.join(['object=', 'landscape=', *things])}"
        )
    word = _adjectives(value)[0] if family.endswith("texture") else value
    return _article(f"{word} {things[family]}")


def sample_caption(truth, rng):
    """A `Text` that is true of a scene: a whole caption (30 %), a phrase about one or two factors, or a denial (5 %)."""
    kind = rng.random()
    if kind < _DENIAL:
        return _denial(truth, rng)
    if not truth.object:
        return _bare(truth, rng)
    if kind < _DENIAL + _FULL:
        return _full(truth, rng)
    pieces = (_noun_piece, _colour_piece, _texture_piece, _both_piece, _count_piece, _backdrop_piece, _vocabulary_piece)
    piece = pieces[int(rng.choice(len(pieces), p=(0.22, 0.15, 0.17, 0.10, 0.08, 0.15, 0.13)))]
    return piece(truth, rng)


def _text(rng, phrase, keys, absent=(), opening=True):
    """A `Text` of the phrase, usually after an opening such as "a photo of"."""
    start = choose(rng, words.OPENINGS) if opening else ""
    return Text(start + phrase, frozenset(keys), frozenset(absent))


def _article(phrase):
    """The phrase with its article, if its noun takes one."""
    if phrase.removesuffix(" and nothing else").split()[-1] in words.MASS:
        return phrase
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _plural(noun):
    if noun in words.PLURALS:
        return words.PLURALS[noun]
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def _adjectives(texture):
    return words.TEXTURE_ADJECTIVES.get(texture, (texture,))


def _colour_word(colour, rng):
    """The colour's own name half of the time, else one of its synonyms."""
    return colour if rng.random() < 0.5 else choose(rng, words.COLOUR_WORDS.get(colour, (colour,)))


def _landscape_noun(truth, rng):
    """A name of the landscape, bare half of the time."""
    noun = choose(rng, words.LANDSCAPE_NOUNS[truth.landscape])
    return noun if rng.random() < 0.5 else _article(noun)


def _noun(truth, rng):
    """A noun for the thing and the key that it asserts; sometimes a more general noun."""
    kinds = [kind for kind in (*CATALOGUE[truth.object].kinds, truth.group) if kind in words.KINDS and kind != "wheel"]
    if kinds and rng.random() < 0.12:
        kind = choose(rng, kinds)
        return choose(rng, words.KINDS[kind]), f"shows={kind}"
    if truth.object in words.WIDE_NAMES:
        return truth.object, f"shows={truth.object}"
    return choose(rng, words.NOUNS.get(truth.object, (truth.object,))), f"object={truth.object}"


def _named(truth, rng, *adjectives):
    """The thing or things with adjectives, and the keys that this asserts."""
    noun, key = _noun(truth, rng)
    before = "".join(f"{adjective} " for adjective in adjectives)
    if truth.count == 1:
        return _article(before + noun), {key}
    if rng.random() < 0.5:
        return f"several {before}{_plural(noun)}", {key, "several"}
    return f"{words.COUNTS[truth.count]} {before}{_plural(noun)}", {key, "several", f"count={truth.count}"}


def _setting(truth, rng):
    """Where the thing is, and the keys that this asserts."""
    if truth.landscape:
        return choose(rng, words.LANDSCAPE_PLACES[truth.landscape]), {f"landscape={truth.landscape}"}
    colour, keys = _colour_word(truth.background, rng), {f"background={truth.background}"}
    if truth.background_texture != "plain" or rng.random() < 0.4:
        colour = f"{choose(rng, _adjectives(truth.background_texture))} {colour}"
        keys = keys | {f"background_texture={truth.background_texture}"}
    return f"{choose(rng, ('on', 'in front of'))} {_article(f'{colour} background')}", keys


def _full(truth, rng):
    """The thing with its colour, often texture and size, and where it is."""
    adjectives, keys = [_colour_word(truth.colour, rng)], {f"colour={truth.colour}"}
    if truth.texture != "plain" or rng.random() < 0.3:
        adjectives.insert(int(rng.integers(2)), choose(rng, _adjectives(truth.texture)))
        keys.add(f"texture={truth.texture}")
    if truth.size and rng.random() < 0.4:
        adjectives.insert(0, choose(rng, ("large", "big") if truth.size == "large" else ("small", "little")))
        keys.add(f"size={truth.size}")
    phrase, more = _named(truth, rng, *adjectives)
    place, where = _setting(truth, rng)
    return _text(rng, f"{phrase} {place}", keys | more | where)


def _noun_piece(truth, rng):
    if rng.random() < 0.5:
        noun, key = _noun(truth, rng)
        return _text(rng, noun, {key}, opening=False)
    phrase, keys = _named(truth, rng)
    return _text(rng, phrase, keys)


def _colour_piece(truth, rng):
    word, key = _colour_word(truth.colour, rng), f"colour={truth.colour}"
    if rng.random() < 0.3:
        return _text(rng, _article(f"{word} {choose(rng, ('object', 'thing'))}"), {key})
    phrase, keys = _named(truth, rng, word)
    return _text(rng, phrase, keys | {key})


def _texture_piece(truth, rng):
    word, key = choose(rng, _adjectives(truth.texture)), f"texture={truth.texture}"
    if rng.random() < 0.45:
        return _text(rng, _article(f"{word} {choose(rng, ('object', 'thing'))}"), {key})
    phrase, keys = _named(truth, rng, word)
    return _text(rng, phrase, keys | {key})


def _both_piece(truth, rng):
    adjectives = [choose(rng, _adjectives(truth.texture)), _colour_word(truth.colour, rng)]
    keys = {f"texture={truth.texture}", f"colour={truth.colour}"}
    if rng.random() < 0.3:
        return _text(rng, _article(f"{' '.join(adjectives)} object"), keys)
    phrase, more = _named(truth, rng, *adjectives)
    return _text(rng, phrase, keys | more)


def _count_piece(truth, rng):
    noun, key = _noun(truth, rng)
    if truth.count > 1:
        return _text(rng, f"{words.COUNTS[truth.count]} {_plural(noun)}", {key, "several", f"count={truth.count}"})
    if rng.random() < 0.5:
        return _text(rng, f"a single {noun}", {key, "one"})
    size = ("large", "big") if truth.size == "large" else ("small", "little")
    return _text(rng, f"a {choose(rng, size)} {noun}", {key, f"size={truth.size}"})


def _backdrop_piece(truth, rng):
    if truth.landscape:
        return _text(rng, _landscape_noun(truth, rng), {f"landscape={truth.landscape}"})
    colour, texture = _colour_word(truth.background, rng), choose(rng, _adjectives(truth.background_texture))
    said, keys = [
        (colour, {f"background={truth.background}"}),
        (texture, {f"background_texture={truth.background_texture}"}),
        (f"{texture} {colour}", {f"background={truth.background}", f"background_texture={truth.background_texture}"}),
    ][int(rng.integers(3))]
    return _text(rng, _article(f"{said} background"), keys)


def _vocabulary_piece(truth, rng):
    """A bare phrase of the vocabulary that is true of the scene."""
    keys = true_keys(truth)
    phrase, needed = choose(rng, [(phrase, needed) for phrase, needed in _concepts().items() if keys.issuperset(needed)])
    return _text(rng, phrase, needed, opening=False)


def _bare(truth, rng):
    """A caption of a surface or of a landscape without a thing."""
    if rng.random() < 0.2:
        return _vocabulary_piece(truth, rng)
    if truth.landscape:
        return _text(rng, _landscape_noun(truth, rng), {f"landscape={truth.landscape}"})
    noun, colour = choose(rng, words.TEXTURE_NOUNS[truth.texture]), _colour_word(truth.colour, rng)
    adjective = choose(rng, _adjectives(truth.texture))
    texture_key, colour_key = f"shows={truth.texture}", f"shows={truth.colour}"
    said, keys = [
        (noun, {texture_key}),
        (f"{colour} {noun}", {f"texture={truth.texture}", f"colour={truth.colour}"}),
        (f"{colour} surface", {f"colour={truth.colour}", "nothing"}),
        (f"{adjective} {colour} surface", {texture_key, colour_key, "nothing"}),
        (f"{adjective} surface", {texture_key, "nothing"}),
        (f"{colour} {noun} and nothing else", {texture_key, colour_key, "nothing"}),
    ][int(rng.integers(6))]
    return _text(rng, said if rng.random() < 0.3 else _article(said), keys)


def _denial(truth, rng):
    """A denial of a thing, a kind of thing or a colour."""
    keys, table = true_keys(truth), _concepts()
    families = ("object=", *(f"shows={kind}" for kind in words.KINDS), *(f"shows={colour}" for colour in COLOURS))
    absent = [
        (phrase, key) for phrase, (key, *more) in table.items() if not more and key.startswith(families) and key not in keys
    ]
    phrase, key = choose(rng, absent)
    if key.removeprefix("shows=") in COLOURS:
        return _text(rng, f"nothing {phrase}", (), {key}, opening=False)
    said = choose(rng, (f"no {phrase}", f"without {_article(phrase)}", f"there is no {phrase}"))
    return _text(rng, said, (), {key}, opening=False)
