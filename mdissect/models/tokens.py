"""Texts to token ids for the text towers."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from mdissect.arguments import listed, shown, true_or_false, whole_number
from mdissect.files import write_atomically
from mdissect.models.configs import check_fields, read_settings

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
TOKENIZER, VOCABULARY = "tokenizer.json", "vocab.txt"


def as_texts(texts: str | Sequence[str]) -> tuple[str, ...]:
    """Texts as a tuple, one str as one text; else TypeError."""
    texts = (texts,) if isinstance(texts, str) else tuple(texts)
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise TypeError(f"texts must be str, found {shown(wrong[0])}")
    return texts


class TokenizedTexts:
    """Texts to token ids, padded to the longest text of the call.

    `tokenizer` (tokenizers.Tokenizer) adds its special tokens itself; its length (`max_length` tokens, these included) and
    padding (with `pad`) are set here. `special` are the tokens that say nothing about a text, padding and unknown words
    among them; `source` is for messages. ValueError when a special token is missing or there are no words.
    """

    def __init__(self, tokenizer, *, pad: str, special: Sequence[str], max_length: int, source: str):
        whole_number("max_length", max_length, least=3)
        ids = {token: tokenizer.token_to_id(token) for token in special}
        absent = [token for token, number in ids.items() if number is None]
        if absent:
            raise ValueError(f"{source} has no special tokens {', '.join(absent)}; does it belong to this text tower?")
        if tokenizer.get_vocab_size() <= len(ids):
            raise ValueError(f"{source} holds special tokens but no words: a wrong or damaged tokenizer file")
        tokenizer.enable_truncation(max_length)
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._special = frozenset(ids.values())
        self._pad = ids[pad]
        self.max_length, self.pad, self.special = max_length, pad, tuple(special)

    @property
    def pad_id(self) -> int:
        """The id of padding."""
        return self._pad

    @property
    def vocab_size(self) -> int:
        """Entries of the vocabulary, the special tokens included."""
        return self._tokenizer.get_vocab_size()

    @property
    def largest_id(self) -> int:
        """The largest token id: the text tower needs more embeddings than this."""
        return max(self._tokenizer.get_vocab().values())

    def to_json(self) -> str:
        """The tokenizer, its truncation included, as the text of a tokenizer.json on one line."""
        return self._tokenizer.to_str()

    def save(self, directory: str | Path) -> None:
        """Write `tokenizer.json` into a directory."""
        write_atomically(Path(directory) / TOKENIZER, self._tokenizer.to_str(pretty=True).encode())

    def __call__(self, texts: Sequence[str], cut: bool = False) -> tuple[Tensor, Tensor]:
        """input_ids and attention_mask (0 on padding), both (n, length) int64; ValueError as `token_ids`."""
        rows = self.token_ids(texts, cut)
        length = self.length_of(rows)
        input_ids = torch.full((len(rows), length), self._pad, dtype=torch.long)
        attention_mask = torch.zeros_like(input_ids)
        for i, row in enumerate(rows):
            input_ids[i, : len(row)] = torch.tensor(row)
            attention_mask[i, : len(row)] = 1
        return input_ids, attention_mask

    def length_of(self, rows: Sequence[Sequence[int]]) -> int:
        """The length that these token ids are padded to."""
        return max((len(row) for row in rows), default=0)

    def clean(self, text: str) -> str:
        """A text as it goes to the tokenizer."""
        return text

    def letters_per_token(self, text: str) -> float:
        """Letters and digits of a text for each token that it is cut into: words that are known whole have many.

        ValueError as `token_ids`.
        """
        known = [number for number in self.token_ids([text])[0] if number not in self._special]
        return sum(map(str.isalnum, text)) / len(known) if known else 0.0

    def token_ids(self, texts: Sequence[str], cut: bool = False) -> list[list[int]]:
        """The token ids of each text, unpadded.

        ValueError for texts without a known word, and for ones over the length: of two that differ only beyond it, the text
        tower would make one. `cut`: such texts lose their end, as reports may in a training.
        """
        # One encode per text: encode_batch starts threads, which makes the library complain when the process forks.
        texts = as_texts(texts)
        encoded = [self._tokenizer.encode(self.clean(text)) for text in texts]
        rows = [one.ids for one in encoded]
        long = [text for text, one in zip(texts, encoded, strict=True) if one.overflowing]
        if long and not cut:
            raise ValueError(
                f"{len(long)} of {len(texts)} texts are longer than the {self.max_length} tokens that the text tower reads: "
                f"{listed([shown(text) for text in long])}; shorten them"
            )
        wordless = [text for text, row in zip(texts, rows, strict=True) if self._special.issuperset(row)]
        if wordless:
            raise ValueError(
                f"{len(wordless)} of {len(texts)} texts hold no word of the tokenizer's vocabulary ({self.vocab_size} "
                f"entries): {listed(list(map(repr, wordless)))}; reword or drop them, or use a dissector that knows these words"
            )
        return rows


class PaddedTexts(TokenizedTexts):
    """Texts to token ids, cleaned first and always padded to `max_length`, as text towers that read the padding need them.

    `cleaner` (str to str) is told apart in fingerprints by `cleaned`; `zeroed` are tokens that become 0. The rest as
    `TokenizedTexts`.
    """

    def __init__(
        self,
        tokenizer,
        *,
        pad: str,
        special: Sequence[str],
        max_length: int,
        source: str,
        cleaner: Callable[[str], str],
        cleaned: str,
        zeroed: Sequence[str] = (),
    ):
        super().__init__(tokenizer, pad=pad, special=special, max_length=max_length, source=source)
        self._cleaner, self.cleaned = cleaner, cleaned
        self._zeroed = frozenset(tokenizer.token_to_id(token) for token in zeroed)

    def length_of(self, rows: Sequence[Sequence[int]]) -> int:
        """The full length."""
        return self.max_length

    def clean(self, text: str) -> str:
        """A text as it goes to the tokenizer."""
        return self._cleaner(text)

    def token_ids(self, texts: Sequence[str], cut: bool = False) -> list[list[int]]:
        """The token ids of each text, unpadded; ValueError as `TokenizedTexts.token_ids`."""
        rows = super().token_ids(texts, cut)
        return [[0 if one in self._zeroed else one for one in row] for row in rows] if self._zeroed else rows

    def to_json(self) -> str:
        """The tokenizer, and how its texts are cleaned and padded, on two lines."""
        return f"{super().to_json()}\n{self.cleaned}, padded with {self._pad}, zero for {sorted(self._zeroed)}"


class WordPieceTexts(TokenizedTexts):
    """Texts to token ids as BERT does it: word pieces between [CLS] and [SEP], padded to the longest text of the call.

    >>> tokenizer = WordPieceTexts.train(["oval mass", "spiculated mass"], vocab_size=60)
    >>> input_ids, attention_mask = tokenizer(["mass", "spiculated mass"])
    >>> attention_mask.sum(dim=1)
    tensor([3, 4])

    Parameters
    ----------
    directory : path
        Holds `tokenizer.json` of the tokenizers library, or BERT's `vocab.txt` (a word piece per line; then texts are
        lower-cased unless a `tokenizer_config.json` beside it says do_lower_case = false). The tokens [PAD], [UNK], [CLS]
        and [SEP] must be there.
    max_length : int
        Longer texts are refused (the special tokens count): at most the text tower's `max_positions`.

    Raises
    ------
    FileNotFoundError, ValueError
        Neither file is there; or it is not a tokenizer, lacks a special token or has no words.
    """

    def __init__(self, directory: str | Path, max_length: int = 80):
        directory = Path(directory)
        path = next((directory / name for name in (TOKENIZER, VOCABULARY) if (directory / name).is_file()), None)
        if path is None:
            raise FileNotFoundError(
                f"no tokenizer at {directory / TOKENIZER} and no {VOCABULARY} beside it: a text tower needs the one it was "
                "trained with"
            )
        self._adopt(_read_tokenizer(path) if path.name == TOKENIZER else _read_vocabulary(path), max_length, str(path))

    @classmethod
    def train(cls, texts: list[str], vocab_size: int, max_length: int = 80) -> "WordPieceTexts":
        """Learn a vocabulary of `vocab_size` entries (fewer when the texts hold fewer pieces).

        The most frequent pair of neighbouring pieces is joined first, ties in alphabetical order: the same texts give
        the same vocabulary, in any order and in every run (the library's own trainer breaks ties at random).
        """
        tokenizer = _word_piece_tokenizer({token: i for i, token in enumerate(SPECIAL_TOKENS)})
        counts = Counter()
        for text in texts:
            normalized = tokenizer.normalizer.normalize_str(text)
            counts.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized))
        pieces = [*SPECIAL_TOKENS, *_word_pieces(counts, vocab_size - len(SPECIAL_TOKENS))]
        trained = cls.__new__(cls)
        trained._adopt(_word_piece_tokenizer({piece: i for i, piece in enumerate(pieces)}), max_length, "the trained tokenizer")
        return trained

    def _adopt(self, tokenizer, max_length: int, source: str) -> None:
        super().__init__(tokenizer, pad="[PAD]", special=SPECIAL_TOKENS, max_length=max_length, source=source)


def _read_tokenizer(path: Path):
    """The tokenizer in a tokenizer.json."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for every kind of broken file
        raise ValueError(f"{path} is not a tokenizer of the tokenizers library: {error}") from error


def _read_vocabulary(path: Path):
    """The tokenizer of a BERT whose vocabulary is a vocab.txt."""
    try:
        pieces = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")  # not splitlines: pieces may be odd spaces
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8 ({error}): is it BERT's vocabulary?") from error
    ids = {piece: i for i, piece in enumerate(pieces)}
    absent = [token for token in SPECIAL_TOKENS if token not in ids]
    if absent:
        raise ValueError(f"{path} has no lines {', '.join(absent)} (it has {len(pieces)} lines): is it BERT's vocabulary?")
    settings = path.with_name("tokenizer_config.json")
    known = read_settings(settings) if settings.is_file() else {}
    check_fields(known, {"do_lower_case": true_or_false}, settings)
    return _word_piece_tokenizer(ids, known.get("do_lower_case", True))


def _word_piece_tokenizer(ids: dict[str, int], lowercase: bool = True):
    """A BERT tokenizer with the given word pieces, as the tokenizers library has it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    return tokenizer


def _word_pieces(counts: dict[str, int], size: int) -> list[str]:
    """The letters of the counted words, then joined pieces, most frequent first; pieces inside a word begin with "##"."""
    words = {word: [word[0], *(f"##{letter}" for letter in word[1:])] for word in sorted(counts)}
    letters = sorted({letter for word in counts for letter in word})
    pieces = dict.fromkeys([*letters, *(f"##{letter}" for letter in letters if letter.isalnum())])
    while len(pieces) < size:
        pairs = Counter()
        for word, parts in words.items():
            for pair in pairwise(parts):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        pieces[_join(best)] = None
        words = {word: _join_in(parts, best) for word, parts in words.items()}
    return list(pieces)


def _join(pair: tuple[str, str]) -> str:
    return pair[0] + pair[1].removeprefix("##")


def _join_in(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """Replace each occurrence of the neighbouring pieces `pair` by their joint piece."""
    joined = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] = _join(pair)
        else:
            joined.append(part)
    return joined
