"""What became of the items of a run, and the exit code that says so."""

from dataclasses import dataclass, field

from vcap.errors import InputError


class TransientError(InputError):
    """An item failed for a reason that may pass (the network); the next run tries again."""


@dataclass(frozen=True)
class Failure:
    """An item that failed, now or in an earlier run."""

    key: str
    reason: str
    error: str


@dataclass
class Summary:
    """What became of the items of a run.

    Attributes:
        done: kept by this run.
        skipped: kept by an earlier run.
        failed: of this run, and of earlier ones where they were not tried again.
        bugs: how many of them failed by a fault of vcap.
        signal: the signal that asked to stop, or None.
        stopped: whether `on_error` or `max_errors` ended the run.
        warnings: what the user was warned of.
    """

    done: int = 0
    skipped: int = 0
    failed: list[Failure] = field(default_factory=list)
    bugs: int = 0
    signal: int | None = None
    stopped: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended the run early."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """What the process ends with."""
        if self.signal is not None:
            return 128 + self.signal
        if self.bugs:
            return 1
        if not self.failed:
            return 0
        return 3 if self.done or self.skipped or self.stopped else 4

    def __add__(self, later: "Summary") -> "Summary":
        """Both together, as of one run."""
        return Summary(
            self.done + later.done,
            self.skipped + later.skipped,
            self.failed + later.failed,
            self.bugs + later.bugs,
            later.signal if self.signal is None else self.signal,
            self.stopped or later.stopped,
            self.warnings + later.warnings,
        )

    def __str__(self) -> str:
        """`12 done, 3 done before, 1 failed`."""
        parts = [f"{self.done} done"]
        parts += [f"{self.skipped} done before"] if self.skipped else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        return ", ".join(parts)
