"""METEOR's Java program: one process, fed in bulk and asked for statistics only.

Most of its start is the reading of a paraphrase table. It gets the part that can matter for the
sentences of the run, and is started in the background as soon as these are known.
"""

import os
import select
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vcap.engine.evaluation.java import QUICK_START, java_error, require_program
from vcap.engine.evaluation.paraphrases import (
    Cancelled,
    Index,
    build_index,
    filtered_table,
    index_path,
    open_index,
    save_index,
)
from vcap.engine.evaluation.phrases import contained, merged_hashes, phrase_hashes
from vcap.engine.evaluation.scratch import Scratch
from vcap.engine.files import output_errors
from vcap.engine.reporter import Reporter
from vcap.errors import OutputError, UnavailableError, VcapError
from vcap.metrics.meteor import NUM_STATISTICS
from vcap.metrics.outcome import Pair

JAR = "meteor/meteor-1.5.jar"
TABLE = "meteor/data/paraphrase-en.gz"
OPTIONS = ("-", "-", "-stdio", "-l", "en", "-norm")
SILENCE_SECONDS = 600.0  # the start takes seconds, an answer milliseconds
CHUNK_BYTES = 1 << 16
MOST = 4  # processes at a time; each takes some hundred MB
LEAST_WORK = 1000  # references to align; a process for fewer costs more than it saves
ONE_LINE = dict.fromkeys(map(ord, "\n\r"), " ")


class MeteorProcess:
    """A running METEOR; it starts when made and answers when its tables are read."""

    def __init__(
        self, java: str, table: Path | None = None, silence_seconds: float = SILENCE_SECONDS
    ) -> None:
        """Start the program, without waiting for it.

        Args:
            java: the Java program.
            table: paraphrase table (gzip); the whole one of METEOR where none is given.
            silence_seconds: how long it may give no answer before it is given up.

        Raises:
            UnavailableError: METEOR is not installed, or Java cannot be started.
        """
        table = require_program(TABLE) if table is None else table
        command = [java, "-Xmx2G", *QUICK_START, "-jar", str(require_program(JAR))]
        self._silence_seconds = silence_seconds
        self._asked = threading.Lock()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        try:
            self._process = subprocess.Popen(
                [*command, *OPTIONS, "-a", str(table)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                bufsize=0,
                start_new_session=True,  # an interrupt reaches vcap alone, which then ends this
            )
        except OSError as error:
            self._said.close()
            raise UnavailableError(f"cannot start {java}: {error}", hint="vcap doctor") from error

    def statistics(self, lines: Sequence[str]) -> npt.NDArray[np.float64]:
        """The 23 numbers of each `reference ||| ... ||| candidate`, [N, 23].

        Raises:
            VcapError: the program ended, fell silent, or answered something else.
        """
        rows = np.zeros((len(lines), NUM_STATISTICS))
        if not lines:
            return rows
        text = "".join(f"SCORE ||| {line}\n" for line in lines).encode("utf-8", "replace")
        writer = threading.Thread(target=self._write, args=(text,), daemon=True)
        with self._asked:
            if self._said.closed:
                raise UnavailableError("METEOR (Java) was ended")
            writer.start()
            with ExitStack() as undo:
                undo.callback(writer.join)
                undo.callback(self._process.kill)  # before that, as it ends the writer too
                self._read(rows)
                undo.pop_all()
            writer.join()
        return rows

    def close(self) -> None:
        """End the program; whoever waits for its answers gets an error."""
        self._process.kill()
        self._process.wait()
        with self._asked:
            for stream in (self._process.stdin, self._process.stdout, self._said):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()

    def _write(self, text: bytes) -> None:
        assert self._process.stdin is not None
        rest = memoryview(text)
        with suppress(OSError, ValueError):  # the reader tells why the program ended
            while rest:
                rest = rest[self._process.stdin.write(rest) or 0 :]

    def _read(self, rows: npt.NDArray[np.float64]) -> None:
        """Fill the rows, one answer line each."""
        done, rest = 0, b""
        while done < len(rows):
            *answers, rest = (rest + self._next_bytes()).split(b"\n")
            if done + len(answers) > len(rows):
                raise self._misunderstood(answers[-1])
            for answer in answers:
                rows[done] = self._parse(answer)
                done += 1

    def _next_bytes(self) -> bytes:
        assert self._process.stdout is not None
        number = self._process.stdout.fileno()
        if not select.select([number], [], [], self._silence_seconds)[0]:
            raise UnavailableError(
                f"METEOR (Java) gave no answer for {self._silence_seconds:g} seconds",
                hint="vcap evaluate ... --metrics BLEU,ROUGE-L,CIDEr",
            )
        data = os.read(number, CHUNK_BYTES)
        if not data:
            raise java_error("METEOR", self._process.wait(), self._stderr())
        return data

    def _parse(self, answer: bytes) -> npt.NDArray[np.float64]:
        try:
            numbers = np.array(answer.split(), dtype=np.float64)
        except ValueError:
            numbers = np.empty(0)
        if len(numbers) != NUM_STATISTICS or not np.isfinite(numbers).all():
            raise self._misunderstood(answer)
        return numbers

    def _misunderstood(self, answer: bytes) -> VcapError:
        said = answer[:80].decode("utf-8", "replace")
        told = self._stderr().strip()
        return UnavailableError(
            f"METEOR (Java) answered {said!r} where {NUM_STATISTICS} numbers were expected"
            + (f": {told.splitlines()[0][:200]}" if told else ""),
            hint="vcap doctor",
        )

    def _stderr(self) -> str:
        self._said.seek(0)
        return self._said.read().decode("utf-8", "replace")


class Meteor:
    """METEOR for the sentences of a run, started when they are expected or asked about."""

    def __init__(self, java: str, full_table: bool, cache_dir: Path, reporter: Reporter) -> None:
        """Start nothing yet.

        Args:
            java: the Java program.
            full_table: let METEOR read its whole paraphrase table.
            cache_dir: where the index of the table is kept between runs.
            reporter: hears of what takes longer than usual.
        """
        self._java = java
        self._full_table = full_table
        self._cache_dir = cache_dir
        self._reporter = reporter
        self._wanted: dict[str, None] = {}  # sentences that no table was made for yet
        self._covered: set[str] = set()
        self._known = np.zeros(0, dtype=np.uint64)
        self._index: Index | None = None
        self._num_entries = -1
        self._table: Path | None = None
        self._processes: list[MeteorProcess] = []
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._threads = ThreadPoolExecutor(MOST + 1, "meteor")
        self._started: Future[None] | None = None
        self._folder: Scratch | None = None

    def expect(self, sentences: Iterable[str]) -> None:
        """Start in the background, or remember the sentences if that happened before."""
        with self._lock:
            self._wanted.update(dict.fromkeys(sentences))
        if self._started is None:
            self._started = self._threads.submit(self._provide)

    def statistics(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """The 23 numbers of each pair, [N, 23].

        Raises:
            VcapError: the program cannot be started, ended, or answered something else.
        """
        cleaned = [(clean_candidate(candidate), references) for candidate, references in pairs]
        self.expect(text for candidate, references in cleaned for text in (candidate, *references))
        assert self._started is not None
        self._started.result()
        self._provide()
        return np.concatenate([*self._answers(cleaned), np.zeros((0, NUM_STATISTICS))])

    def close(self, cancel: bool = False) -> None:
        """End the program; with `cancel`, also what is still to be kept for later runs."""
        if cancel or not self._processes:
            self._cancelled.set()
            self._end_processes()  # which ends the threads that wait for answers
        self._threads.shutdown(cancel_futures=cancel)
        self._end_processes()
        if self._folder is not None:
            self._folder.close()

    def _end_processes(self) -> None:
        while self._processes:
            self._processes.pop().close()

    def _answers(self, pairs: Sequence[Pair]) -> list[npt.NDArray[np.float64]]:
        """The numbers of the pairs in parts, each from a process of its own."""
        self._start_for(sum(len(references) for _, references in pairs))
        lines = [score_line(candidate, references) for candidate, references in pairs]
        size = max(-(-len(lines) // len(self._processes)), 1)
        if len(lines) < LEAST_WORK // 10:  # not worth the threads
            size = max(len(lines), 1)
        parts = [lines[begin : begin + size] for begin in range(0, len(lines), size)]
        used = self._processes[: len(parts)]
        return [*self._threads.map(MeteorProcess.statistics, used, parts)]

    def _start_for(self, work: int) -> None:
        """Start more processes where so many references to align are worth them."""
        most = 1 if self._full_table else min(num_cores(), MOST)
        while len(self._processes) < min(most, work // LEAST_WORK):
            self._processes.append(MeteorProcess(self._java, self._table))

    def _provide(self) -> None:
        """See that a process runs whose table is good for the wanted sentences."""
        with self._lock:
            wanted, self._wanted = self._wanted, {}
        new = [sentence for sentence in wanted if sentence not in self._covered]
        if self._full_table:
            self._processes = self._processes or [MeteorProcess(self._java)]
        elif new or not self._processes:
            hashes = phrase_hashes(new)
            if not self._processes or not contained(hashes, self._known).all():
                self._known = merged_hashes(self._known, hashes)
                self._restart(*self._filtered())
        self._covered.update(new)
        self._start_for(len(new))

    def _restart(self, table: bytes, num_entries: int) -> None:
        """Start with this table, unless what runs has the same."""
        if self._processes:
            if num_entries == self._num_entries:  # tables only grow
                return
            self._reporter.detail("METEOR starts again with more of its paraphrase table")
            self._end_processes()
        with output_errors(Path(tempfile.gettempdir())):
            self._folder = self._folder or Scratch()
            self._table = self._folder.path / f"{num_entries}.gz"
            self._table.write_bytes(table)
        self._processes.append(MeteorProcess(self._java, self._table))
        self._num_entries = num_entries

    def _filtered(self) -> tuple[bytes, int]:
        whole = require_program(TABLE)
        self._index = self._index or open_index(whole, self._cache_dir)
        if self._index is not None:
            with suppress(ValueError):  # damaged
                return filtered_table(self._index, self._known)
        self._reporter.detail("reading METEOR's paraphrase table, which later runs need not do")
        self._index = build_index(whole, self._cancelled)
        self._threads.submit(self._keep, self._index, index_path(whole, self._cache_dir))
        return filtered_table(self._index, self._known)

    def _keep(self, index: Index, path: Path) -> None:
        """Save the index; a run is as good without."""
        try:
            save_index(index, path, self._cancelled)
        except Cancelled:
            pass
        except (OutputError, OSError) as error:
            self._reporter.detail(f"the index of METEOR's table was not kept: {error}")


def num_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def clean_candidate(candidate: str) -> str:
    """The candidate as pycocoevalcap hands it over."""
    return candidate.replace("|||", "").replace("  ", " ")


def score_line(candidate: str, references: Sequence[str]) -> str:
    """What METEOR is asked about a cleaned candidate; a line break would end the question."""
    return " ||| ".join((*references, candidate)).translate(ONE_LINE)
