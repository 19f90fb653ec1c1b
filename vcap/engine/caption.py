"""Videos become captions: `caption` for many, `caption_video` for one.

Decode workers bring the frames of whole videos or of their segments; the one model worker makes
features and captions of several videos at a time.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from vcap.data.records import Caption
from vcap.engine.caption_files import CaptionFiles
from vcap.engine.caption_words import WordSettings
from vcap.engine.caption_work import (
    CaptionVideos,
    Made,
    Manner,
    Prediction,
    manner,
    prediction,
)
from vcap.engine.executor import Local
from vcap.engine.fingerprint import digest
from vcap.engine.flags import from_flags
from vcap.engine.inputs import Source, gather, to_items
from vcap.engine.items import Summary, map_items
from vcap.engine.outputs import Item
from vcap.engine.reporter import Reporter, Silent
from vcap.engine.settings import fill
from vcap.errors import InputError, UsageError
from vcap.reports.subtitle import one_line, timed_line

if TYPE_CHECKING:
    from vcap.engine.captioner import Captioner

PLAIN = Manner()  # one caption a video, searched as the model says
GROUP = 16  # videos that are captioned together
REAL_FOOTAGE = "for real footage train a captioner on your captions: vcap train prefix --help"

OnPrediction = Callable[[str, Prediction], None]


class CaptionSettings(WordSettings):
    """What can be set for `caption` by flags, and by the environment as a user's own defaults.

    How captions are worded is in `WordSettings`.

    Attributes:
        model: name of the captioner; None for `tiny`, with a word about it.
        every: length of the segments, such as `10s`.
        scenes: segments are shots.
        stream: number of the video stream in each file; None for the best.
        device: `auto`, `cpu` or `cuda[:N]`.
        dtype: `auto`, `fp32`, `bf16` or `fp16`.
        batch_size: videos captioned at once; also clips that the model sees at once.
    """

    model: str | None = None
    every: str | None = None
    scenes: bool = False
    stream: int | None = Field(default=None, ge=0)
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = Field(default=None, ge=1)


def caption_settings(given: Mapping[str, Any]) -> CaptionSettings:
    """Settings from those flags that are some, over the environment; see `from_flags`.

    Raises:
        UsageError: they contradict each other.
        ConfigError: a value makes no sense.
    """
    flags = {name: value for name, value in given.items() if name in CaptionSettings.model_fields}
    settings = from_flags("caption", CaptionSettings, flags, unless="auto")
    _manner(settings)
    return settings


def _manner(settings: CaptionSettings) -> Manner:
    return manner(settings.every, settings.scenes, settings.stream, settings)


def open_captioner(settings: CaptionSettings, reporter: Reporter) -> "Captioner":
    """Load the model that is asked for; tells what was chosen where nothing was.

    Raises:
        UsageError: no model is named so.
    """
    from vcap.engine.captioner import load_model
    from vcap.engine.run import choose_device

    if settings.model is None:
        reporter.info(f"model: tiny, embedded, knows rendered shapes only; {REAL_FOOTAGE}")
    device = choose_device(settings.device, reporter)
    captioner = load_model(settings.model or "tiny", device=str(device), dtype=settings.dtype)
    captioner.batch_size = settings.batch_size or captioner.batch_size
    return captioner


def model_lines() -> list[str]:
    """The models that have a name: name, whether it is here, what it is."""
    from vcap.engine.registry import MODELS

    assets = Path(__file__).parents[1] / "assets"
    found = []
    for entry in MODELS.values():
        here = "here" if (assets / entry.source).is_dir() else f"{entry.size} MB to fetch"
        found.append(f"{entry.name}\t{here}\t{entry.summary}")
    return found


def lines(video: Mapping[str, Any], name: str = "") -> list[str]:
    """The captions of a video for eyes, with times where they are about segments."""
    head = f"{name}: " if name else ""
    return [
        head + timed_line(each["start"], each["end"], each["text"])
        if "start" in each
        else head + one_line(each["text"])
        for each in video["captions"]
    ]


def caption(
    sources: Sequence[Source],
    captioner: "Captioner",
    how: Manner = PLAIN,
    *,
    files: CaptionFiles | None = None,
    reporter: Reporter | None = None,
    workers: int | None = None,
    on_result: OnPrediction | None = None,
    **rules: Any,
) -> Summary:
    """Caption videos; with `files` what is done stays, and is not done again.

    Args:
        files: where captions are kept; None keeps nothing.
        workers: videos decoded at the same time; None for one a processor.
        on_result: gets id and prediction of each video, those of earlier runs too, in the order of
            the input.
        rules: `force`, `on_error`, `max_errors`, `retry_failed`, `stop` and `group` of `map_items`;
            `checksum`: tell inputs by content, not by time.

    Raises:
        OutputError: a file is in the way that vcap did not make, or cannot be written.
    """
    reporter = reporter or Silent()
    items = to_items(sources, checksum=rules.pop("checksum", False))
    job = CaptionVideos(captioner, how, reporter, alone=len(items) == 1)
    in_order = InOrder([item.key for item in items], files, on_result)
    summary = map_items(
        items,
        job.work,
        prepare=job.prepare,
        output=files,
        group=rules.pop("group", None) or GROUP,
        executor=Local(workers or os.cpu_count() or 1),
        fingerprint=digest(job.made_by()),
        on_result=in_order.give,
        reporter=reporter,
        title="caption",
        unit="videos",
        **rules,
    )
    in_order.rest()
    told = [far_warning(captioner, job.num_far, summary.done)] if job.num_far else []
    told += [short_warning(job.num_short, how.words.num_captions)] if job.num_short else []
    for warning in told:
        summary.warnings.append(warning)
        reporter.warn(warning)
    return summary


def caption_with(
    settings: CaptionSettings, sources: Sequence[Source], *, reporter: Reporter, **options: Any
) -> Summary:
    """Caption videos as settings say; `options` as of `caption`.

    Raises:
        UsageError: the settings contradict each other, or no model is named so.
    """
    how = _manner(settings)
    captioner = open_captioner(settings, reporter)
    group = settings.batch_size
    return caption(sources, captioner, how, reporter=reporter, group=group, **options)


def far_warning(captioner: "Captioner", num_far: int, num_done: int) -> str:
    """What to say where footage is unlike everything that the model has seen."""
    which = "the video looks" if num_done == 1 else f"{num_far} of {num_done} videos look"
    knows = "rendered shapes only" if captioner.name == "tiny" else "other footage"
    return (
        f"{which} unlike anything that {captioner.name} was trained on ({knows}): "
        f"do not believe such captions; {REAL_FOOTAGE}"
    )


def short_warning(num_short: int, num_captions: int) -> str:
    """What to say where the model does not have as many captions as are asked for."""
    which = "1 video has" if num_short == 1 else f"{num_short} videos have"
    return (
        f"{which} fewer than {num_captions} different captions: the model has no more to say; "
        "a wider --beam, or with --strategy sample a higher --temperature, finds more"
    )


class InOrder:
    """Hands on predictions in the order of the input, those of earlier runs in their places."""

    def __init__(
        self, keys: Sequence[str], files: CaptionFiles | None, on_result: OnPrediction | None
    ) -> None:
        self._keys = keys
        self._next = 0
        self._files = files
        self._on_result = on_result

    def give(self, item: Item, made: Made) -> None:
        """Hand on a new prediction, and before it the old ones that come earlier."""
        while self._next < len(self._keys) and self._keys[self._next] != item.key:
            self._give_old()
        self._next += 1
        if self._on_result is not None:
            self._on_result(item.key, prediction(item.value, made))

    def rest(self) -> None:
        """Hand on the old ones that come after the last new one."""
        while self._next < len(self._keys):
            self._give_old()

    def _give_old(self) -> None:
        key = self._keys[self._next]
        self._next += 1
        if self._files is not None and self._on_result is not None and self._files.is_kept(key):
            self._on_result(key, self._files.record(key))


def caption_video(
    captioner: "Captioner",
    video: str | Path,
    *,
    every: float | str | None = None,
    scenes: bool = False,
    reporter: Reporter | None = None,
    **words: Any,
) -> list[Caption]:
    """The captions of one video: one, or one for each segment, or with `num_captions` several.

    Args:
        words: as of `WordSettings`.

    Raises:
        ConfigError: there is no such setting of the words, or its value makes no sense.
        VideoError: the video cannot be decoded.
        UsageError: the path names several videos, or the options contradict each other.
    """
    how = manner(every, scenes, words=fill(WordSettings, words, "caption"))
    sources = gather([os.fspath(video)])
    if len(sources) != 1:
        raise UsageError(f"{video} names {len(sources)} videos; use vcap.load_model(...) on each")
    job = CaptionVideos(captioner, how, reporter or Silent(), alone=True)
    [made] = job.work([job.prepare(sources[0])])
    if isinstance(made, InputError):
        raise made
    return [Caption.model_validate(each) for each in made["captions"]]
