"""Sentences become features in a store: the captions of records, or the lines of text files.

Shapes: N sentences, D embedding width.
"""

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from vcap.data.annotations import read_records
from vcap.data.manifest import parse_lines
from vcap.data.records import Record
from vcap.engine.encode import (
    EncodeSettings,
    OnEncoded,
    Teller,
    load_named,
    settings_digest,
    split_options,
)
from vcap.engine.executor import Local
from vcap.engine.inputs import MANIFEST_SUFFIXES, STDIN
from vcap.engine.items import Item, Summary, map_items
from vcap.engine.reporter import Reporter, Silent
from vcap.engine.store_output import Encoded, StoreOutput
from vcap.engine.weights import is_retrieval
from vcap.errors import AnnotationError, InputError, UsageError

SAMPLER = "text"


def gather_texts(arguments: Sequence[str], *, stdin: TextIO | None = None) -> list[Item]:
    """Sentences by id: the captions of each record of a manifest, the lines of each other file.

    The id of a file is its name, of plain lines on stdin `-`.

    Raises:
        InputError: a file cannot be read, there are no sentences, or an id comes twice.
    """
    items: list[Item] = []
    for word in arguments:
        if Path(word).suffix.lower() in MANIFEST_SUFFIXES:
            items += _from_records(read_records(Path(word), need_source=False))
        elif word == STDIN:
            items += _from_lines(list(stdin or ()), STDIN)
        else:
            items += _from_lines(_read(Path(word)).splitlines(), Path(word).name)
    seen: set[str] = set()
    for item in items:
        if item.key in seen:
            raise AnnotationError(f"two inputs have the id {item.key}")
        seen.add(item.key)
    if not items:
        raise InputError(f"no sentences in {', '.join(arguments)}")
    return items


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from error


def _from_lines(lines: Sequence[str], name: str) -> list[Item]:
    bare = (line.removeprefix("\ufeff").strip() for line in lines)  # some editors put such a mark
    lines = [line for line in bare if line]
    if lines and lines[0].startswith("{"):
        return _from_records(parse_lines(lines, name, need_source=False))
    return [_item(name, lines)] if lines else []


def _from_records(records: Sequence[Record]) -> list[Item]:
    texts = {record.id: [caption.text for caption in record.captions or []] for record in records}
    return [_item(key, own) for key, own in texts.items() if own]


def _item(key: str, texts: Sequence[str]) -> Item:
    digest = hashlib.sha256("\0".join(texts).encode(errors="backslashreplace")).hexdigest()
    return Item(key, list(texts), {"id": key, "text": digest})


def _reader(model: str) -> str:
    """The encoder with which a retrieval model reads texts."""
    from vcap.engine.retriever import load_retriever

    return load_retriever(model, device="cpu").company.text_encoder[0]


def encode_text(
    items: Sequence[Item],
    output: Path | str,
    *,
    reporter: Reporter | None = None,
    on_result: OnEncoded | None = None,
    **options: Any,
) -> Summary:
    """Put the embeddings of sentences into a store: for each id [N, D]; times count from 0.

    Args:
        items: what `gather_texts` found.
        output: folder of the store; made if absent.
        options: as of `encode`.

    Raises:
        FeatureError: the store holds features of another encoder, or of videos.
        UsageError: an option has no meaning for sentences, or the model is no encoder.
    """
    settings, rules = split_options(options)
    if settings.features != EncodeSettings().features:
        raise UsageError(
            f"sentences have no {settings.features} features", hint="vcap encode --text"
        )
    if settings.stream is not None:
        raise UsageError("--stream is for videos, not for --text")
    if settings.exact_pixels or settings.fast_frames:
        raise UsageError("--exact-pixels and --fast-frames are for videos, not for --text")
    if is_retrieval(settings.model) and Path(settings.model).expanduser().is_dir():
        raise UsageError(
            f"{settings.model} is a retrieval model, which reads words in a search alone",
            hint=f"vcap encode --text FILE -o STORE --model {shlex.quote(_reader(settings.model))}",
        )
    reporter = reporter or Silent()
    encoder = load_named(settings, reporter, Path(output))
    made_by = {"encoder": dict(encoder.fingerprint), "sampler": SAMPLER}
    teller = Teller(on_result)

    def work(some: list[list[str]]) -> list[Encoded]:
        features = encoder.encode_text([text for own in some for text in own])  # [N, D]
        split = np.split(features, np.cumsum([len(own) for own in some])[:-1])
        return [Encoded(rows, np.arange(len(rows), dtype=np.float32)) for rows in split]

    summary = map_items(
        items,
        work,
        output=StoreOutput(Path(output), made_by, encoder.width, reporter, settings.shard_size),
        group=encoder.batch_size,
        executor=Local(1),
        fingerprint=settings_digest(made_by),
        on_result=teller.tell,
        reporter=reporter,
        title="encode",
        unit="texts",
        **rules,
    )
    teller.tell_kept(items, Path(output), summary)
    return summary
