"""METEOR's Java program: one process, fed in bulk and asked for statistics only."""

import os
import select
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vcap.engine.evaluation.java import java_error, require_program
from vcap.errors import UnavailableError, VcapError
from vcap.metrics.meteor import NUM_STATISTICS

JAR = "meteor/meteor-1.5.jar"
TABLE = "meteor/data/paraphrase-en.gz"
OPTIONS = ("-", "-", "-stdio", "-l", "en", "-norm")
SILENCE_SECONDS = 600.0  # the start takes seconds, an answer milliseconds
CHUNK_BYTES = 1 << 16
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
        command = [java, "-Xmx2G", "-XX:+UseSerialGC", "-jar", str(require_program(JAR))]
        self._silence_seconds = silence_seconds
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
        writer.start()
        try:
            self._read(rows)
        except BaseException:
            self._process.kill()  # which ends the writer too
            raise
        finally:
            writer.join()
        return rows

    def close(self) -> None:
        """End the program."""
        self._process.kill()
        self._process.wait()
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


def score_line(candidate: str, references: Sequence[str]) -> str:
    """What METEOR is asked: the references as they are, the candidate cleaned as is usual."""
    cleaned = candidate.replace("|||", "").replace("  ", " ")
    return " ||| ".join((*references, cleaned)).translate(ONE_LINE)
