"""Text of others, such as file names, as it may be shown on a terminal."""

import re

COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # to a terminal


def harmless(text: str) -> str:
    """The text with what a terminal would obey, and what turns its order around, escaped."""
    return text if text.isprintable() else COMMANDS.sub(_escaped, text)


def harmless_lines(text: str) -> str:
    """The same of text that has line breaks of its own, which stay."""
    return "\n".join(harmless(line) for line in text.split("\n"))


def one_line(text: str) -> str:
    """The same on one line, with single blanks."""
    return harmless(" ".join(text.split()))


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
