"""Sentences to the token ids that CLIP was trained on, without loading open_clip.

The vocabulary is the file inside open_clip's package; the ids are those of its `SimpleTokenizer`.
"""

import gzip
import html
import re
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from vcap.errors import UnavailableError

VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
SIZE = 49408
NUM_BYTES = 256
START, END = "<start_of_text>", "<end_of_text>"
MARKED = f"{START}|{END}|'s|'t|'re|'ve|'m|'ll|'d|"
PLAIN = re.compile(MARKED + r"[a-z]+|[0-9]|[^\sa-z0-9]+")  # of lower-case ASCII
ANY = MARKED + r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
LAST_OF_WORD = "</w>"


def open_clip_folder() -> Path:
    """The folder of open_clip's package, which is not imported.

    Raises:
        UnavailableError: it is not installed.
    """
    spec = find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise UnavailableError("open_clip is not installed", hint="pip install open_clip_torch")
    return Path(spec.origin).parent


class ClipWords:
    """The byte-pair encoding of CLIP; one for all its models."""

    def __init__(self, merges: list[str]) -> None:
        """Take the pairs that are joined, `a b` each, the most frequent first."""
        letters = [*_letters().values()]
        joined = "\n".join(merges).replace(" ", "").split("\n")
        whole = [*letters, *(letter + LAST_OF_WORD for letter in letters), *joined, START, END]
        self._ids = dict(zip(whole, range(len(whole)), strict=True))
        self._ranks = dict(zip(merges, range(len(merges)), strict=True))
        self._known: dict[str, list[int]] = {mark: [self._ids[mark]] for mark in (START, END)}
        self.start_id, self.end_id = self._ids[START], self._ids[END]

    def encode(self, text: str) -> list[int]:
        """Ids of a text between the marks of its start and its end."""
        found = [self.start_id]
        for word in _words(text):
            found += self._pieces(word)
        return [*found, self.end_id]

    def _pieces(self, word: str) -> list[int]:
        if word not in self._known:
            letters = _letters()
            parts = [letters[byte] for byte in word.encode("utf-8")]
            parts[-1] += LAST_OF_WORD
            self._known[word] = [self._ids[part] for part in self._joined(parts)]
        return self._known[word]

    def _joined(self, parts: list[str]) -> list[str]:
        """Join neighbours, the most frequent pair first, wherever it stands, until none is left."""
        while len(parts) > 1:
            pairs = {" ".join(pair) for pair in pairwise(parts)}
            best = min(pairs, key=lambda pair: self._ranks.get(pair, SIZE))
            if best not in self._ranks:
                break
            parts = _join(parts, best)
        return parts


def _join(parts: list[str], pair: str) -> list[str]:
    found: list[str] = []
    place = 0
    while place < len(parts):
        both = " ".join(parts[place : place + 2]) == pair
        found.append(pair.replace(" ", "") if both else parts[place])
        place += 2 if both else 1
    return found


def _words(text: str) -> list[str]:
    """A text in lower case, cut where joins never reach across."""
    if text.isascii() and (text.isprintable() or not text) and "&" not in text:
        return PLAIN.findall(text.lower())
    import ftfy

    mended = html.unescape(html.unescape(ftfy.fix_text(text)))
    return [str(word) for word in _any().findall(" ".join(mended.split()).lower())]


@cache
def _any() -> Any:
    """The pattern for letters and digits of every script, which `re` cannot tell."""
    import regex  # type: ignore[import-untyped]

    return regex.compile(ANY, regex.IGNORECASE)


@cache
def _letters() -> dict[int, str]:
    """A visible letter for each byte, in the order in which they have ids."""
    ranges = (range(ord("!"), ord("~") + 1), range(0xA1, 0xAC + 1), range(0xAE, 0xFF + 1))
    visible = [byte for some in ranges for byte in some]
    others = [byte for byte in range(NUM_BYTES) if byte not in visible]
    moved = {byte: chr(NUM_BYTES + number) for number, byte in enumerate(others)}
    return {byte: chr(byte) for byte in visible} | moved


@cache
def clip_words() -> ClipWords:
    """The one vocabulary, read once.

    Raises:
        UnavailableError: open_clip is not installed, or without it.
    """
    path = open_clip_folder() / VOCABULARY
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UnavailableError(
            f"the vocabulary of CLIP cannot be read: {error}",
            hint="pip install --force-reinstall open_clip_torch",
        ) from error
    num_merges = SIZE - 2 * NUM_BYTES - 2
    return ClipWords(lines[1 : num_merges + 1])
