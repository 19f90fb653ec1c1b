"""What can be evaluated, and which choices each task reads; nothing here takes long to load."""

from collections.abc import Iterable
from dataclasses import dataclass

from vcap.errors import UsageError

CAPTION_METRICS = ("BLEU", "METEOR", "ROUGE-L", "CIDEr", "SPICE")
PARAGRAPH_METRICS = (*CAPTION_METRICS[:4], "repetition")
DENSE_METRICS = (*CAPTION_METRICS[:4], "recall", "precision", "F1", "F1 of means", "SODA_c")
EVERY_TASK = ("metrics", "split", "missing")
DENSE_OPTIONS = ("protocol", "tiou", "max_proposals", "cider", "soda_files")


@dataclass(frozen=True)
class Task:
    """One kind of evaluation.

    Attributes:
        summary: one line for people who choose.
        metrics: the names that may be asked for; without any, all are always computed.
        text: whether captions are compared, which takes the tokenizer and METEOR.
        options: the settings that it reads, besides those of every task.
    """

    summary: str
    metrics: tuple[str, ...] = ()
    text: bool = False
    options: tuple[str, ...] = ()

    def reads(self, option: str) -> bool:
        """Whether a setting has a meaning here."""
        if option in ("java", "full_paraphrase_table"):
            return self.text
        return option in EVERY_TASK or option in self.options


TASKS = {
    "caption": Task(
        "one caption a clip against its references", CAPTION_METRICS, True, ("raw", "per_clip")
    ),
    "dense": Task("events with times and captions", DENSE_METRICS, True, DENSE_OPTIONS),
    "paragraph": Task("all captions of a video as one text", PARAGRAPH_METRICS, True),
    "retrieval": Task(
        "which video a text means, and the other way", options=("ties", "text_features")
    ),
    "grounding": Task("when in a video a text happens", options=("grounding", "tiou")),
    "qa": Task("answers to questions about videos", ("accuracy", "WUPS")),
    "classification": Task("which class a video has"),
}


def refuse_options(task: str, options: Iterable[str]) -> None:
    """Make sure that a task reads every option that was given.

    Args:
        task: one of `TASKS`.
        options: names of settings.

    Raises:
        UsageError: it does not read one; the message says which tasks do.
    """
    for option in options:
        if not TASKS[task].reads(option):
            others = " and ".join(name for name, other in TASKS.items() if other.reads(option))
            flag = f"--{option.replace('_', '-')}"
            raise UsageError(f"{task} does not read {flag}, which is for {others}")
