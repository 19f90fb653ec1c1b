"""Ids as file names: readable where they are ordinary, and never two ids of one name."""

import hashlib
import unicodedata

MAX_BYTES = 200  # leaves room for a suffix and for temporary names below the usual 255
KEPT = frozenset("._-+=@,()[]{}!#$&'; ")  # printable, and harmless inside a file name


def safe_name(identity: str) -> str:
    """One file name for one id, without separators, blanks at its ends or a leading dot or dash.

    Other characters become `%XX` of their UTF-8 bytes, `%` too, so that two ids never share a
    name. A name of more than 200 bytes is cut and ends in `~` and a digest of the id; `~` occurs
    nowhere else. The empty id is `%`, which no other id can be.
    """
    # Some file systems compose accents; an id they would change is written without any.
    is_stable = unicodedata.is_normalized("NFC", identity)
    name = "".join(char if _is_kept(char, is_stable) else _escaped(char) for char in identity)
    if name[:1] in {".", "-", " "}:
        name = _escaped(name[0]) + name[1:]
    if name.endswith(" "):
        name = name[:-1] + _escaped(" ")
    name = name or "%"
    return name if len(name.encode()) <= MAX_BYTES else _shortened(name, identity)


def _is_kept(char: str, is_stable: bool) -> bool:
    if char.isascii():
        return char.isalnum() or char in KEPT
    return is_stable and (char.isalnum() or unicodedata.category(char).startswith("M"))


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def _shortened(name: str, identity: str) -> str:
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    head = name.encode()[: MAX_BYTES - len(digest) - 1].decode(errors="ignore")
    return f"{head}~{digest}"
