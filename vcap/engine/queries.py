"""What is looked for: sentences, files of videos and images, and videos of the index itself."""

import json
import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcap.engine.summary import Failure
from vcap.errors import InputError, UsageError, VcapError

if TYPE_CHECKING:
    from vcap.engine.inputs import Source

STDIN = "-"
SAMPLE = "sample"  # the clip that ships with vcap
KEYS = ("query", "text", "path")  # of a JSON object on stdin, in the order in which they count


OnBad = Callable[[Failure], None]


@dataclass(frozen=True)
class Query:
    """One thing that is looked for.

    Attributes:
        name: the sentence, the path as it was given, or the id.
        source: the file; None for words and for what is stored.
        is_stored: whether the name is the id of a video of the index.
    """

    name: str
    source: "Source | None" = None
    is_stored: bool = False

    @property
    def is_text(self) -> bool:
        """Whether it is a sentence."""
        return self.source is None and not self.is_stored

    @property
    def path(self) -> Path | None:
        """The file that is searched with; None for words and for what is stored."""
        return self.source.path if self.source else None


def parse_queries(
    words: Sequence[str],
    like: Sequence[str] = (),
    stdin: Iterable[str] | None = None,
    on_bad: OnBad | None = None,
) -> list[Query]:
    """The queries of a command line, in its order; those of `like` come last.

    Args:
        words: sentences, files, and `-` for those on stdin, one a line or as JSON Lines with
            `query`, `text` or `path`.
        like: ids of stored videos.
        on_bad: gets each line of stdin that is no query; None to fail at the first.

    Raises:
        UsageError: there is none, or `-` comes twice.
        InputError: a file does not exist, or stdin is empty or, without `on_bad`, damaged.
    """
    if not words and not like:
        raise UsageError("nothing to look for", hint='vcap retrieve "a dog" --index INDEX')
    if list(words).count(STDIN) > 1:
        raise UsageError("`-` stands for stdin, which can be read once")
    queries: list[Query] = []
    for word in words:
        queries += _from_lines(stdin or (), on_bad) if word == STDIN else [as_query(word)]
    return queries + [Query(identity, is_stored=True) for identity in like]


def as_query(word: str) -> Query:
    """A file where the word names one, a sentence otherwise.

    A word names a file if it ends as files of videos and images do, or is a path with a folder in
    it that exists.

    Raises:
        UsageError: the word is empty, or a folder of many videos.
        InputError: the file does not exist.
    """
    if not word.strip():
        raise UsageError("an empty query finds nothing", hint='vcap retrieve "a dog" --index INDEX')
    if not _is_file(word):
        return Query(refuse_odd_text(word.strip()))
    from vcap.engine.inputs import gather

    if word != SAMPLE and not os.path.exists(word):
        raise InputError(f"{word}: no such file", hint=shlex.join(["ls", str(Path(word).parent)]))
    sources = gather([word])
    if len(sources) != 1 or sources[0].given is None:
        hint = shlex.join(["ls", word])
        raise UsageError(f"{word} names {len(sources)} videos; a query is one", hint=hint)
    return Query(word, sources[0])


def refuse_odd_text(text: str) -> str:
    """The text, if it is one.

    Raises:
        UsageError: it holds bytes that are no UTF-8.
    """
    shown = text.encode(errors="backslashreplace").decode()
    if shown != text:
        raise UsageError(f"{shown}: the query is not valid UTF-8")
    return text


def _is_file(word: str) -> bool:
    if word == SAMPLE:
        return True
    has_folder = os.sep in word and len(word) < 4096 and "\0" not in word
    if has_folder and os.path.exists(word):
        return True
    if "." not in word:
        return False
    from vcap.engine.inputs import MEDIA_SUFFIXES

    return Path(word).suffix.lower() in MEDIA_SUFFIXES


def _from_lines(lines: Iterable[str], on_bad: OnBad | None) -> list[Query]:
    texts = [line.removeprefix("\ufeff").strip() for line in lines]
    if not any(texts):
        raise InputError("nothing on stdin: want a query a line")
    queries = []
    for number, text in enumerate(texts, start=1):
        try:
            queries += [_from_line(text)] if text else []
        except VcapError as error:
            place = f"stdin:{number}"
            if on_bad is None:
                raise InputError(f"{place}: {error}", hint=error.hint) from error
            on_bad(Failure(place, str(error), type(error).__name__))
    return queries


def _from_line(text: str) -> Query:
    if not text.startswith("{"):
        return as_query(text)
    try:
        given: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}") from error
    for key in KEYS:
        value = given.get(key)
        if isinstance(value, str) and value.strip():
            return as_query(value) if key == "path" else Query(refuse_odd_text(value.strip()))
    raise InputError(f"want one of {', '.join(KEYS)}", hint='{"query": "a dog"}')


def read_index_name(given: str, stdin: Iterable[str], words: Sequence[str] = ()) -> Path:
    """The folder of an index; `-` takes it from what `vcap index` prints, with --json or without.

    Raises:
        UsageError: no folder is named, or the queries are to come from stdin too.
        InputError: stdin names none.
    """
    if not given:
        raise UsageError("--index names no folder", hint="vcap index STORE -o INDEX")
    if given != STDIN:
        return Path(given)
    if STDIN in words:
        raise UsageError("the queries and the index cannot both come from stdin")
    lines = [line.strip() for line in stdin if line.strip()]
    if not lines:
        raise InputError("nothing on stdin: want the folder of an index")
    if not lines[-1].startswith("{"):
        return Path(lines[-1])
    try:
        return Path(json.loads(lines[-1])["index"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError('stdin: want {"index": FOLDER}, as vcap index --json prints') from error
