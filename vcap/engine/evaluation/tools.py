"""The tokenizer, METEOR and SPICE for the metrics: started when needed, asked once a text."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vcap.engine.evaluation.java import (
    INSTALL_JAVA,
    TOKENIZER_JAR,
    find_java,
    java_version,
    program_path,
    programs_version,
    tokenize_java,
)
from vcap.engine.evaluation.meteor import JAR, TABLE, Meteor
from vcap.engine.evaluation.spice import spice_absence, spice_scores
from vcap.engine.number_types import cache_path
from vcap.engine.reporter import Reporter, Silent
from vcap.errors import DeviceError, UnavailableError, VcapError
from vcap.metrics.meteor import NUM_STATISTICS
from vcap.metrics.outcome import Pair

LINE_BREAKS = dict.fromkeys(map(ord, "\n\r\v\f\u2028\u2029"), " ")
SURROGATES = dict.fromkeys(range(0xD800, 0xE000), " ")
ONE_LINE = LINE_BREAKS | SURROGATES


class Tools:
    """Text tools that start Java when they are first asked, and remember every answer."""

    def __init__(
        self,
        java: str | None,
        full_table: bool,
        cache_dir: Path,
        reporter: Reporter,
        required: bool = False,
    ) -> None:
        """Use this Java program, or none; start nothing yet.

        Where it is not required, what fails in it is done without, or is not available from then.
        """
        self._java = java
        self._full_table = full_table
        self._java_tokenizes = java is not None and program_path(TOKENIZER_JAR) is not None
        self._required = required
        self._reporter = reporter
        self._broken: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        self._announced: dict[str, None] = {}
        self._rows: dict[Pair, int] = {}
        self._spice: dict[Pair, float] = {}
        self._statistics = np.zeros((0, NUM_STATISTICS))
        self._meteor = Meteor(java, full_table, cache_dir, reporter) if java else None
        self._lock = threading.RLock()

    @property
    def unavailable(self) -> Mapping[str, str]:
        """Metrics that cannot be had here, each with the reason in one sentence."""
        missing = [name for name in (JAR, TABLE) if program_path(name) is None]
        reasons = {
            "METEOR": f"METEOR needs {missing[0]} of pycocoevalcap." if missing else None,
            "SPICE": spice_absence(),
        }
        if self._java is None:
            why = "is not installed" if find_java() is None else "is not to be used"
            reasons = {name: f"{name} needs Java, which {why}." for name in reasons}
        return {name: reason for name, reason in reasons.items() if reason} | self._broken

    def tokenize(self, captions: Sequence[str]) -> list[str]:
        """Each caption as the PTB tokenizer gives it: tokens joined with one blank."""
        lines = [caption.translate(ONE_LINE) for caption in captions]
        with self._lock:
            asked = dict.fromkeys(lines) | self._announced
            new = [line for line in asked if line not in self._tokens]
            if new:
                self._tokens.update(zip(new, self._tokenize(new), strict=True))
            return [self._tokens[line] for line in lines]

    def _tokenize(self, lines: Sequence[str]) -> list[str]:
        if self._java is not None and self._java_tokenizes:
            try:
                return tokenize_java(self._java, lines)
            except VcapError as error:
                if self._required:
                    raise type(error)(error.message, hint="--no-java") from error
                self._java_tokenizes = False
                self._reporter.warn(f"{error.message}; captions are tokenized without Java")
        from vcap.metrics.ptb import tokenize_python

        return tokenize_python(lines)

    def announce(self, captions: Iterable[str]) -> None:
        """Say what a later evaluation will ask about: one start of each program does for both."""
        with self._lock:
            self._announced |= dict.fromkeys(caption.translate(ONE_LINE) for caption in captions)

    def expect(self, sentences: Iterable[str]) -> None:
        """Say what METEOR will be asked about, so that it can start while other work is done."""
        with self._lock:
            if self._meteor is not None and "METEOR" not in self.unavailable:
                later = [self._tokens.get(line, line) for line in self._announced]
                self._announced = {}
                self._meteor.expect((*sentences, *later))

    def meteor(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """The 23 statistics of each pair, [N, 23].

        Raises:
            VcapError: METEOR is not available, or its program failed.
        """
        if self._meteor is None or "METEOR" in self.unavailable:
            raise UnavailableError(self.unavailable["METEOR"], hint=INSTALL_JAVA)
        with self._lock:
            new = [pair for pair in dict.fromkeys(pairs) if pair not in self._rows]
            if new:
                with self._noting("METEOR"):
                    found = self._meteor.statistics(new)
                first = len(self._statistics)
                self._statistics = np.concatenate([self._statistics, found])
                self._rows.update(zip(new, range(first, first + len(new)), strict=True))
            return self._statistics[[self._rows[pair] for pair in pairs]]

    def spice(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """The SPICE F-score of each pair, [N].

        Raises:
            VcapError: SPICE is not available, or its program failed.
        """
        if self._java is None or "SPICE" in self.unavailable:
            raise UnavailableError(self.unavailable["SPICE"])
        with self._lock:
            new = [pair for pair in dict.fromkeys(pairs) if pair not in self._spice]
            with self._noting("SPICE"):
                self._spice.update(zip(new, spice_scores(self._java, new).tolist(), strict=True))
            return np.array([self._spice[pair] for pair in pairs], dtype=np.float64)

    @contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        """A metric whose program fails is not available from then on."""
        try:
            yield
        except (DeviceError, UnavailableError) as error:
            self._broken[name] = error.message
            raise

    def stamp(self) -> dict[str, str | None]:
        """Which tools and versions stand behind the numbers."""
        table = "full" if self._full_table else "filtered"
        return {
            "tokenizer": f"PTB 3.4.1 ({'Java' if self._java_tokenizes else 'Python'})",
            "METEOR": None if "METEOR" in self.unavailable else "1.5",
            "SPICE": None if "SPICE" in self.unavailable else "1.0",
            "paraphrase_table": None if "METEOR" in self.unavailable else table,
            "java": self._java_version(),
            "pycocoevalcap": programs_version(),
        }

    def _java_version(self) -> str | None:
        try:
            return java_version(self._java) if self._java else None
        except UnavailableError:
            return "unknown"

    def close(self, cancel: bool = False) -> None:
        """End what was started; with `cancel`, without keeping anything for later runs."""
        if self._meteor is not None:
            self._meteor.close(cancel)


@contextmanager
def open_tools(
    *,
    java: bool | None = None,
    full_paraphrase_table: bool = False,
    cache_dir: Path | None = None,
    reporter: Reporter | None = None,
) -> Iterator[Tools]:
    """The text tools; nothing is started before it is needed, and everything is ended after.

    Args:
        java: use Java, do not use it, or (None) use it if it is there.
        full_paraphrase_table: give METEOR the whole of its paraphrase table.
        cache_dir: where the index of the table is kept; the user's cache folder if not given.
        reporter: who hears about slow steps.

    Raises:
        UnavailableError: Java is asked for and not there.
    """
    found = None if java is False else find_java()
    if java and found is None:
        raise UnavailableError("there is no Java on this machine", hint=INSTALL_JAVA)
    folder = cache_dir or cache_path().parent
    tools = Tools(found, full_paraphrase_table, folder, reporter or Silent(), java is True)
    with ExitStack() as undo:
        undo.callback(tools.close, cancel=True)
        yield tools
        undo.pop_all()
    tools.close()
