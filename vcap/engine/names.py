"""Ids as file names: readable where they are ordinary, and never two ids of one name."""

import hashlib

MAX_BYTES = 200  # leaves room for a suffix and for temporary names below the usual 255
KEPT = frozenset("._-+=@,()[]{}!#$&'; ")  # printable, and harmless inside a file name


def safe_name(identity: str) -> str:
    """One file name for one id, without separators, blanks at its ends or a leading dot or dash.

    Other characters become `%XX` of their UTF-8 bytes, `%` too, so that two ids never share a
    name. A name of more than 200 bytes is cut and ends in `~` and a digest of the id; `~` occurs
    nowhere else. The empty id is `%`, which no other id can be.
    """
    last = len(identity) - 1
    name = "".join(_escaped(char, place in (0, last)) for place, char in enumerate(identity)) or "%"
    if name[0] in ".-":
        name = f"%{ord(name[0]):02X}{name[1:]}"
    return name if len(name.encode()) <= MAX_BYTES else _shortened(name, identity)


def _escaped(char: str, at_an_end: bool) -> str:
    kept = (char.isalnum() or char in KEPT) and not (at_an_end and char == " ")
    if kept and _is_stable(char):
        return char
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def _is_stable(char: str) -> bool:
    """Whether no file system rewrites the character to another of the same look."""
    import unicodedata

    return char.isascii() or unicodedata.is_normalized("NFKC", char)


def _shortened(name: str, identity: str) -> str:
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    head = name.encode()[: MAX_BYTES - len(digest) - 1].decode(errors="ignore")
    return f"{head}~{digest}"
