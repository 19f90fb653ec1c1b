"""The record: what is known about one video, and what was said about it.

Values stay as they came: leading blanks, reversed and overlong times too, since published numbers
depend on them. Fields that vcap does not know are kept and passed on.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler, WrapValidator


def _as_given(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    check(value)
    return value  # a whole number stays one


SPLITS = {"validate": "val", "validation": "val", "training": "train", "testing": "test"}  # theirs
Number = Annotated[float, WrapValidator(_as_given)]
Times = Annotated[list[Number], Field(min_length=2, max_length=2)]


class _Kept(BaseModel):
    """Strict about what it knows, and keeps the rest."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    def dump(self) -> dict[str, Any]:
        """Plain values: known fields in the order of the class, then the others as they came.

        Known fields that are absent or null are left out, down to the parts.
        """
        known = {name: _plain(getattr(self, name)) for name in type(self).model_fields}
        given = {
            name: value
            for name, value in known.items()
            if name in self.model_fields_set and value is not None
        }
        return given | (self.model_extra or {})


def _plain(value: Any) -> Any:
    if isinstance(value, _Kept):
        return value.dump()
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value


class Caption(_Kept):
    """One sentence; about the whole record unless it has times, in seconds of the record."""

    text: str
    start: Number | None = None
    end: Number | None = None
    source: str | None = None
    lang: str | None = None
    id: str | int | None = None


class Question(_Kept):
    """A question with its answer, and the answers to choose from where there are such."""

    question: str
    answer: Any = None
    id: str | int | None = None
    type: str | int | None = None
    candidates: list[Any] | None = None


class Label(_Kept):
    """The class of a video in a classification set."""

    name: str | None = None
    index: int | None = None


class Record(_Kept):
    """One line of a manifest; docs/outputs.md says what each field means."""

    id: Annotated[str, Field(min_length=1)]
    path: str | None = None
    url: str | None = None
    media: str = "video"
    source_segment: Times | None = None
    segment: Times | None = None
    duration: Number | None = None
    split: str | None = None
    dataset: str | None = None
    captions: list[Caption] | None = None
    label: Label | None = None
    qa: list[Question] | None = None
    video_id: str | None = None
    order: int | None = None
    meta: dict[str, Any] | None = None
