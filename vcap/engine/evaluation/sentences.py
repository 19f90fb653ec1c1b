"""Captions by id, from the layouts in which data sets and other programs keep them.

Read are records (manifests, `vcap caption --json`), COCO results and annotations, Karpathy's
splits, MSR-VTT (JSON, and the comma or semicolon separated test list), VATEX, MSVD, DiDeMo,
`{id: caption}`, `{id: [captions]}` and `{id: {"sentences": [captions]}}`.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vcap.data.msrvtt import is_msrvtt
from vcap.engine.evaluation.inputs import Given, id_of, records_in, usable_records
from vcap.engine.evaluation.problems import Problems
from vcap.engine.evaluation.splits import in_split, split_of
from vcap.errors import AnnotationError

ID_KEYS = ("image_id", "video_id", "videoID", "clip_id", "id", "video", "image", "imgid")
TEXT_KEYS = ("caption", "captions", "enCap", "description", "sentence", "text", "raw")
COCO_FILE = re.compile(r"(?:.*/)?COCO_\w+_0*(\d+)\.\w+")
TABLE_HEAD = re.compile(r"[\w ]+([,;])")
WANTED = "want records, COCO results or annotations, or {id: caption}"


@dataclass(frozen=True)
class Line:
    """The captions that one place of a file gives for an id.

    Attributes:
        id: of the clip.
        texts: in file order; not checked to be texts.
        split: as the house calls it, where the file says.
        video: the video that the clip is of, where the file says.
    """

    id: str
    texts: tuple[Any, ...]
    split: str | None = None
    video: str | None = None


def read_lines(given: Given, problems: Problems, part: str = "references") -> list[Line]:
    """What a file says about each id, in file order; an id may come more than once.

    Args:
        part: which one to take of a file that holds `predictions` and `references`.

    Raises:
        AnnotationError: the file cannot be read or has none of the layouts.
    """
    head = given.text().lstrip().split("\n", 1)[0]
    if TABLE_HEAD.match(head) and not head.startswith(("{", "[", '"')):
        return list(_table(given))
    value = given.load(problems)
    if isinstance(value, Mapping) and isinstance(value.get(part), Mapping | list):
        value = value[part]
    found = list(_lines(value, given, problems))
    if not found:
        raise AnnotationError(f"{given.name}: no captions in it; {WANTED}")
    return found


def read_split(given: Given, split: str | None, problems: Problems) -> tuple[list[Line], list[str]]:
    """The lines of a file that are of a split, all where none is wanted; and warnings.

    Raises:
        AnnotationError: as in `read_lines`.
        UsageError: a split is wanted that the file does not know.
    """
    lines = read_lines(given, problems)
    return in_split(lines, [line.split for line in lines], split, given.name)


def _lines(value: Any, given: Given, problems: Problems) -> Iterator[Line]:
    records = records_in(value)
    if records is not None:
        yield from (_record_line(name, r) for name, r in usable_records(records, given, problems))
    elif isinstance(value, list):
        yield from _entries(value, given, problems)
    elif isinstance(value, Mapping):
        yield from _of_mapping(value, given, problems)


def _record_line(name: str, record: Mapping[str, Any]) -> Line:
    texts = _texts(next((record[key] for key in TEXT_KEYS if record.get(key) is not None), []))
    found = tuple(text.get("text") if isinstance(text, Mapping) else text for text in texts)
    return Line(name, found, split_of(record), id_of(record.get("video_id")))


def _of_mapping(value: Mapping[str, Any], given: Given, problems: Problems) -> Iterator[Line]:
    if isinstance(value.get("annotations"), list):  # COCO
        yield from _entries(value["annotations"], given, problems)
    elif is_msrvtt(value):
        splits = {
            str(v.get("video_id")): split_of(v) for v in value["videos"] if isinstance(v, Mapping)
        }
        yield from _entries(value["sentences"], given, problems, splits.get)
    elif isinstance(value.get("images"), list):  # Karpathy
        yield from _karpathy(value["images"], given, problems)
    else:
        yield from _flat(value, given, problems)


def _entries(
    entries: list[Any],
    given: Given,
    problems: Problems,
    known_split: Callable[[str], str | None] = lambda _: None,
) -> Iterator[Line]:
    for number, entry in enumerate(entries, start=1):
        known = entry if isinstance(entry, Mapping) else {}
        name = next((known[key] for key in ID_KEYS if known.get(key) is not None), None)
        text = next((known[key] for key in TEXT_KEYS if key in known), None)
        if name is None or text is None:
            problems.add("unusable record", f"{given.short}: entry {number}")
            continue
        yield Line(_id(name), _texts(text), known_split(str(name)) or split_of(known))


def _karpathy(images: list[Any], given: Given, problems: Problems) -> Iterator[Line]:
    for number, image in enumerate(images, start=1):
        known = image if isinstance(image, Mapping) else {}
        name = known.get("cocoid", known.get("filename", known.get("imgid")))
        sentences = known.get("sentences")
        if name is None or not isinstance(sentences, list):
            problems.add("unusable record", f"{given.short}: image {number}")
            continue
        texts = tuple(s.get("raw") if isinstance(s, Mapping) else s for s in sentences)
        yield Line(_id(name), texts, split_of(known))


def _flat(value: Mapping[str, Any], given: Given, problems: Problems) -> Iterator[Line]:
    for name, entry in value.items():
        text = entry.get("sentences") if isinstance(entry, Mapping) else entry
        if isinstance(text, str | list):
            yield Line(name, _texts(text))
        else:
            problems.add("unusable record", f"{given.short}: {name}")
            yield Line(name, ())


def _table(given: Given) -> Iterator[Line]:
    """A list with a head, such as `key,vid_key,video_id,sentence`."""
    rows = given.text().splitlines()
    mark = TABLE_HEAD.match(rows[0])
    table = csv.DictReader(rows, delimiter=mark[1] if mark else ",")
    fields = table.fieldnames or ()
    name = next((key for key in ID_KEYS if key in fields), None)
    text = next((key for key in TEXT_KEYS if key in fields), None)
    if name is None or text is None:
        raise AnnotationError(f"{given.name}:1: no columns of ids and captions; {WANTED}")
    for row in table:
        yield Line(row[name], (row[text],))


def _texts(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


def _id(value: Any) -> str:
    """An id as text; a file of COCO goes by its number."""
    found = COCO_FILE.fullmatch(value) if isinstance(value, str) else None
    return found[1] if found else str(value)
