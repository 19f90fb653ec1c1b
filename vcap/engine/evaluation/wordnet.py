"""WordNet 3.0 for WUPS: found on this machine, never fetched."""

import io
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from vcap.errors import UnavailableError

VARIABLE = "VCAP_WORDNET"
SYSTEM = Path("/usr/share/wordnet")  # where Debian's wordnet-base puts it
NOUN_FILES = ("data.noun", "index.noun", "noun.exc")
HINT = f"apt-get install wordnet-base, or {VARIABLE}=FOLDER"
MAX_LEXNAME = 45  # files of lexicographers, numbered from 0

Similarity = Callable[[str, str], float]
Distances = dict[Any, int]  # sense -> steps up to it


def open_wordnet() -> Similarity:
    """The best Wu-Palmer similarity of two words over their noun senses; 0 where one has none.

    Case does not matter, and plurals are looked up as their singular.

    Raises:
        UnavailableError: there is no WordNet 3.0, or it is damaged.
    """
    return _similarity(_opened(str(find_wordnet())))


def find_wordnet() -> Path:
    """The folder with WordNet's files.

    Raises:
        UnavailableError: there is none, or it is of another version.
    """
    for folder in _folders():
        if all((folder / name).is_file() for name in NOUN_FILES):
            _check_version(folder)
            return folder
    raise UnavailableError(f"no WordNet 3.0 on this machine ({HINT})", hint="vcap doctor")


def _folders() -> Iterator[Path]:
    named = os.environ.get(VARIABLE)
    if named:
        yield Path(named)  # and no other: who names one wants that
        return
    yield SYSTEM
    roots = [*os.environ.get("NLTK_DATA", "").split(os.pathsep), str(Path.home() / "nltk_data")]
    roots += ["/usr/share/nltk_data", "/usr/local/share/nltk_data"]
    yield from (Path(root) / "corpora" / "wordnet" for root in roots if root)


def _check_version(folder: Path) -> None:
    with (folder / "data.noun").open("rb") as file:
        licence = file.read(2000)
    if b"WordNet 3.0 Copyright" not in licence:
        raise UnavailableError(f"{folder}: not WordNet 3.0, which WUPS is defined with ({HINT})")


@cache
def _opened(folder: str) -> Any:
    """The reader of a folder, which takes a second to load."""
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader, WordNetError

    class Reader(WordNetCorpusReader):  # type: ignore[misc]
        """Reads a folder that holds no more than WordNet's own distribution."""

        def open(self, file: str) -> Any:
            """A file of WordNet; names of lexicographers' files are not needed and made up."""
            if file == "lexnames" and not (Path(folder) / file).is_file():
                return io.StringIO("".join(f"{n}\t{n}\t0\n" for n in range(MAX_LEXNAME)))
            return super().open(file)

        def map_wn(self, version: str = "wordnet") -> None:
            """Map to no other WordNet: there is none."""

    if folder not in nltk.data.path:
        nltk.data.path.append(folder)  # what lies elsewhere is refused
    try:
        return Reader(folder, object())  # without other languages
    except (OSError, ValueError, LookupError, WordNetError) as error:
        raise UnavailableError(f"{folder}: WordNet cannot be read: {error}") from error


def _similarity(reader: Any) -> Similarity:
    """Similarity of words over a reader, with everything looked up once."""

    @cache
    def senses(word: str) -> list[Any]:
        return list(reader.synsets(word, pos="n"))

    above = cache(_above)

    @cache
    def of_senses(first: Any, second: Any) -> float:
        return wu_palmer(first, second, above)

    def best(first: str, second: str) -> float:
        return max((of_senses(a, b) for a in senses(first) for b in senses(second)), default=0.0)

    return best


def wu_palmer(first: Any, second: Any, above: Callable[[Any], Distances]) -> float:
    """Wu-Palmer similarity of two senses exactly as nltk's `wup_similarity` has it, but faster.

    nltk walks up to the root four times and reads a file for every pair; `above` remembers.
    """
    there, back = above(first), above(second)
    shared = there.keys() & back.keys()
    if not shared:
        return 0.0
    deepest = max(sense.min_depth() for sense in shared)
    lowest = [sense for sense in shared if sense.min_depth() == deepest]
    subsumer = first if first in lowest else min(lowest)
    depth = int(subsumer.max_depth()) + 1
    top = above(subsumer)
    return 2.0 * depth / (_distance(there, top) + depth + _distance(back, top) + depth)


def _above(sense: Any) -> Distances:
    """A sense and all that are above it, with how many steps up each is at least."""
    found: Distances = {}
    steps, level = 0, [sense]
    while level:
        found |= {each: steps for each in level if each not in found}
        above = (up for each in level for up in each.hypernyms() + each.instance_hypernyms())
        level = [each for each in dict.fromkeys(above) if each not in found]
        steps += 1
    return found


def _distance(first: Distances, second: Distances) -> int:
    """Steps between two senses by way of anything above both, as nltk counts them."""
    return min(steps + second[sense] for sense, steps in first.items() if sense in second)
