"""The PTB tokenizer of the caption metrics in Python, for where its Java original cannot be had."""

import re
from collections.abc import Sequence

from vcap.metrics.ptb_characters import DIGITS, LETTERS
from vcap.metrics.ptb_rules import ANY, DIGIT, LETTER, OTHER, RULES, SHORTENED, Rule

DROPPED = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", *".?!,:-;", "--", "..."]
)

_BREAKS = str.maketrans("\n\r\u2028\u2029", "    ")
_PLAIN = re.compile(r"[ \t\u00a0\u2000-\u200a\u3000\x0b\x0c]+|[A-Za-z]+(?=,? )")
_EASY = re.compile(
    r"(?: |[A-Za-z]+,?(?= |\Z)|[.,](?= |\Z)|"
    rf"(?!{SHORTENED}\.)[A-Za-z]{{2,}}\.(?= |\Z))*"
)
_LETTER = re.compile(f"[{LETTERS}]")
_DIGIT = re.compile(f"[{DIGITS}]")
_CUT = frozenset(["cannot", "gonna", "gotta", "lemme", "gimme", "wanna"])
_STARTING = {
    kind: [rule for rule in RULES if rule.starts in (kind, ANY)] for kind in (LETTER, DIGIT, OTHER)
}


def tokenize_python(captions: Sequence[str]) -> list[str]:
    """Each caption as the tokens of PTB 3.4.1, lower case, without punctuation, joined by blanks.

    What follows a caption decides whether one that ends in `vitamin C.` keeps that full stop. In
    the original that is whichever caption comes next; here it is the caption once more, so that
    neighbours change nothing. Line breaks of any kind count as blanks.
    """
    return [" ".join(_tokens(caption)) for caption in captions]


def clean_ascii(text: str) -> str:
    """The text with one blank for each character above U+007F (dense captions and SODA)."""
    return re.sub(r"[^\x00-\x7f]", " ", text)


def clean_paragraph(text: str) -> str:
    """Lower-case words of ASCII letters, joined by one blank (paragraph captions)."""
    return " ".join(re.sub(r"[^A-Za-z]", " ", text).lower().split())


def _tokens(caption: str) -> list[str]:
    text = caption.translate(_BREAKS)
    if _EASY.fullmatch(text):
        tokens = text.lower().replace(",", " ").replace(".", " ").split()
        if _CUT.isdisjoint(tokens):
            return tokens
    text, end = f"{text}\n{text}\n\n", len(text)
    found: list[str] = []
    place = 0
    while place < end:
        plain = _PLAIN.match(text, place)
        if plain and plain.group().lower() not in _CUT:
            found.append(plain.group().strip())
            place = plain.end()
        else:
            place = _read(text, place, found)
    return [token for token in map(str.lower, found) if token and token not in DROPPED]


def _read(text: str, place: int, found: list[str]) -> int:
    """Add the token at this place to `found`; return where the next one may begin."""
    rule, end = _longest(text, place)
    if rule is None:
        return place + 1
    end -= rule.cut
    found.append(rule.show(text[place:end]))
    return end


def _longest(text: str, place: int) -> tuple[Rule | None, int]:
    """The rule that reaches furthest, and where its token ends."""
    best, reach, end = None, place, place
    for rule in _STARTING[_kind(text[place])]:
        match = rule.pattern.match(text, place)
        if match and match.end() > reach:
            context = match.start("then") if "then" in rule.pattern.groupindex else -1
            best, reach, end = rule, match.end(), context if context >= 0 else match.end()
    return best, end


def _kind(character: str) -> str:
    if _LETTER.match(character):
        return LETTER
    return DIGIT if _DIGIT.match(character) else OTHER
