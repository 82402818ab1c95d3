"""Pseudonyms of patients, exams and image files: stable, and without a way back for those who do not have the key.

A pseudonym is a keyed hash of what it stands for, so that a patient has the same one in every folder and every run of a user.
The key is ``pseudonyms.key`` in the user's folder for caches, made at first use and readable by its owner alone; where it is
deleted, pseudonyms are others from then on.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from mdissect.files import write_atomically
from mdissect.paths import cache_dir

KEY_FILE = "pseudonyms.key"
# What a pseudonym stands for, by its first letter.
PATIENT, STUDY, SERIES, INSTANCE, ACCESSION = "P", "S", "R", "I", "A"
KINDS = (PATIENT, STUDY, SERIES, INSTANCE, ACCESSION)

_KEY_BYTES = 32
_DIGITS, _CHECK_DIGITS = 10, 4
_OWN = re.compile(rf"([{''.join(KINDS)}])([0-9a-f]{{{_DIGITS}}})([0-9a-f]{{{_CHECK_DIGITS}}})")
_LONG = 6  # letters of an id that is found within longer words too


# What must not be shown, such as a patient's id or a part of the name, and what it stands for: the kind and the whole id.
Ids = Mapping[str, tuple[str, str]]


class Pseudonyms:
    """Pseudonyms made with one key.

    >>> Pseudonyms(b"a key").of("P", "KOWALSKI-1900")
    'P9b1ee70dd1f8c3'
    """

    def __init__(self, key: bytes):
        self._key = key

    def of(self, kind: str, value: str) -> str:
        """The pseudonym of an id: the letter of its kind and 14 hexadecimal digits. One that was made with this key is kept."""
        if (own := _OWN.fullmatch(value)) and self._check(own[1], own[2]) == own[3]:
            return value
        digits = self._digest(f"{kind} {value}")[:_DIGITS]
        return f"{kind}{digits}{self._check(kind, digits)}"

    def hidden(self, text: str, ids: Ids) -> str:
        """A text, such as a relative path, with pseudonyms for the ids in it, whatever their case.

        Short ids are replaced where they are whole words, those of six letters or more wherever they stand.
        """
        folded = text.casefold()
        by_case = {words.casefold(): known for words, known in sorted(ids.items()) if words.casefold() in folded}
        if not by_case:
            return text

        def replaced(match: re.Match) -> str:
            known = by_case.get(match[0].casefold())
            return self.of(*known) if known else match[0]

        return _pattern(tuple(sorted(by_case, key=lambda words: (-len(words), words)))).sub(replaced, text)

    def check(self) -> str:
        """A few digits that tell one key from another."""
        return self._digest("the key")[:_DIGITS]

    def _check(self, kind: str, digits: str) -> str:
        return self._digest(f"check {kind} {digits}")[:_CHECK_DIGITS]

    def _digest(self, text: str) -> str:
        return hmac.new(self._key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def each_its_own(names: Iterable[str]) -> list[str]:
    """Names of which each is another one: those that come again get "~2", "~3", ... at the end."""
    found, taken = [], set()
    for name in names:
        plain, count = name, 1
        while name in taken:
            count += 1
            name = f"{plain}~{count}"
        taken.add(name)
        found.append(name)
    return found


def own_pseudonyms() -> Pseudonyms:
    """Pseudonyms by the user's own key, which is made where there is none.

    ValueError: the key file holds something else. OSError: it can neither be read nor made.
    """
    path = key_file()
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = _made(path)
    if not re.fullmatch(rb"[0-9a-f]{%d}\n" % (2 * _KEY_BYTES), key):
        raise ValueError(
            f"{path} is not the key of pseudonyms that was written ({2 * _KEY_BYTES} hexadecimal digits): restore it from a "
            "backup, or delete it for new pseudonyms"
        )
    return Pseudonyms(bytes.fromhex(key.decode()))


def key_file() -> Path:
    """Where the user's key is."""
    return cache_dir() / KEY_FILE


def _made(path: Path) -> bytes:
    """A new key; that of the process that came first, where several make one."""
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{KEY_FILE}.lock")):
        if not path.exists():
            write_atomically(path, f"{secrets.token_hex(_KEY_BYTES)}\n".encode(), private=True)
        return path.read_bytes()


@lru_cache(maxsize=4096)
def _pattern(ids: tuple[str, ...]) -> re.Pattern:
    """Matches the ids, the longest first; a UID is not found within a longer one."""
    return re.compile("|".join(map(_as_pattern, ids)), re.IGNORECASE)


def _as_pattern(one: str) -> str:
    if re.fullmatch(r"[0-9.]*\.[0-9.]*", one):
        return rf"(?<![0-9])(?<![0-9]\.){re.escape(one)}(?!\.?[0-9])"
    return re.escape(one) if len(one) >= _LONG else rf"(?<![^\W_]){re.escape(one)}(?![^\W_])"
