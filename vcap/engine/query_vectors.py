"""Queries become vectors, by the encoder that made what they are compared with.

Shapes: Q queries, N sentences, T frames, D feature width.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt

from vcap.engine.fingerprint import refuse_other_encoder
from vcap.engine.queries import Query
from vcap.engine.reporter import Reporter
from vcap.engine.search import pooled
from vcap.engine.summary import Summary
from vcap.errors import CheckpointError, FeatureError, UnavailableError, UsageError
from vcap.features.index_search import unit

if TYPE_CHECKING:
    from vcap.engine.encode import EncodeVideos
    from vcap.engine.encoders import ClipEncoder
    from vcap.engine.lean_text import TextEncoder
    from vcap.engine.retriever import Retriever

MEAN = "mean"
FILM_SAMPLER = "fps 1"  # of films that are compared with texts, which have no sampler
UNWANTED_WEIGHT = 0.5  # of what is not wanted, beside what is

Floats = npt.NDArray[np.float32]
Loaded = TypeVar("Loaded")


class Stored(Protocol):
    """An index as far as queries need it; `vcap.features.index.Index` is one."""

    folder: Any
    header: Any

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What made the vectors."""
        ...

    @property
    def aggregation(self) -> str:
        """`mean`, or the model that made one vector of the frames of a video."""
        ...

    @property
    def width(self) -> int:
        """D."""
        ...

    def vector(self, video_id: str) -> Floats:
        """The vector [D] of a stored video."""
        ...


class QueryEncoder:
    """Makes the vectors of queries; the encoder is loaded when one needs it."""

    def __init__(
        self,
        index: Stored,
        reporter: Reporter,
        *,
        model: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        encoder: Any = None,
    ) -> None:
        """Search an index.

        Args:
            model: the encoder, or where the model lies now that made the vectors; None for what
                the index names.
            encoder: one that is loaded already.
        """
        self._index = index
        self._reporter = reporter
        by_model = index.aggregation != MEAN and model is not None and _is_retrieval(model)
        self._model = None if by_model else model
        self._aggregation = str(model) if by_model else index.aggregation
        self._places = {"device": device, "dtype": dtype}
        self._given = encoder

    @property
    def _made_by(self) -> Mapping[str, Any]:
        """The encoder as the index tells of it."""
        told = self._index.fingerprint.get("encoder")
        return told if isinstance(told, Mapping) else {}

    @cached_property
    def _retriever(self) -> "Retriever | None":
        """The model that made the vectors of the index; None where they are means of frames.

        Raises:
            UnavailableError: it is not where the index says.
            FeatureError: it is another one by now.
        """
        name = self._aggregation
        if name == MEAN:
            return None
        from vcap.engine.number_types import recorded_dtype
        from vcap.engine.retriever import load_retriever
        from vcap.engine.run import choose_device

        device, dtype = self._places["device"], self._places["dtype"]
        if dtype == "auto":
            dtype = recorded_dtype(self._made_by, choose_device(device)) or dtype
        try:
            found = load_retriever(name, device=device, dtype=dtype)
        except CheckpointError as error:
            raise UnavailableError(
                f"{self._index.folder} was made with a model that cannot be loaded: {error}",
                hint="--model FOLDER  # where that model lies now",
            ) from error
        if self._index.fingerprint.get("aggregation", found.digest) != found.digest:
            stores, own = (
                shlex.join(self._index.header.stores),
                shlex.quote(str(self._index.folder)),
            )
            raise FeatureError(
                f"{self._index.folder} has vectors of another model than {name} is now",
                hint=f"vcap index {stores} -o {own} --force --aggregate {shlex.quote(name)}",
            )
        return found

    @property
    def _name(self) -> str:
        """The name of the encoder.

        Raises:
            UsageError: nobody says it.
        """
        name = self._model or self._made_by.get("name")
        if not name:
            hint = "--model NAME"
            raise UsageError(f"{self._index.folder} does not say which encoder made it", hint=hint)
        return str(name)

    @cached_property
    def _words(self) -> "TextEncoder":
        """The side that reads words, which loads faster than the whole."""
        from vcap.engine.lean_text import load_text_encoder

        def load(name: str) -> "TextEncoder":
            return load_text_encoder(name, self._reporter.warn)

        if self._retriever is None or self._given or self._model:
            found: TextEncoder = self._given or self._found(load)
            return self._checked(found)
        name, recorded = self._retriever.company.text_encoder
        reader = load(name)
        refuse_other_encoder(reader.fingerprint, recorded, name, f"{self._retriever.name} wants")
        return reader

    @cached_property
    def _pictures(self) -> "ClipEncoder":
        """The encoder of frames."""
        if self._retriever is not None and not (self._given or self._model):
            return self._checked(self._retriever.encoder)
        return self._checked(self._given or self._found(self._load))

    def _load(self, name: str) -> "ClipEncoder":
        from vcap.engine.encoders import load_encoder
        from vcap.engine.number_types import recorded_dtype
        from vcap.engine.run import choose_device

        device, dtype = choose_device(self._places["device"]), self._places["dtype"]
        if dtype == "auto":
            dtype = recorded_dtype(self._made_by, device) or dtype
        features = str(self._made_by.get("features", "embedding"))
        return load_encoder(name, device=device, dtype=dtype, features=features)

    def _found(self, load: Callable[[str], Loaded]) -> Loaded:
        """An encoder; where the index names one that is not here, that is what is said.

        Raises:
            UsageError: `--model` names none.
            UnavailableError: it is not on this machine.
        """
        name = self._name
        try:
            return load(name)
        except UsageError as error:
            if self._model:
                raise
            raise UnavailableError(
                f"{self._index.folder} was made with {name}: {error}", hint="--model NAME"
            ) from error

    def _checked(self, encoder: Loaded) -> Loaded:
        """The encoder, unless it is another than that of the index.

        Raises:
            FeatureError: it is another; both are named.
        """
        reader = f"--model {self._model} makes" if self._model else f"{self._name} now makes"
        fingerprint = cast(Any, encoder).fingerprint
        refuse_other_encoder(self._made_by, fingerprint, self._index.folder, reader)
        return encoder

    def texts(self, sentences: Sequence[str]) -> Floats:
        """Sentences -> [N, D] of length 1; a warning tells of those that are cut.

        Raises:
            FeatureError: another encoder made the index, or words cannot be compared with it.
        """
        vectors = unit(self._said(sentences))
        if vectors.shape[1] != self._index.width:
            raise FeatureError(
                f"{self._index.folder} has vectors of width {self._index.width}, words those of "
                f"{vectors.shape[1]}: they cannot be compared"
            )
        return vectors

    def _said(self, sentences: Sequence[str]) -> Floats:
        """What the index's side of words makes of sentences [N, D]."""
        if self._retriever is None:
            return self._words.encode_text(sentences)
        if self._retriever.reads_tokens:
            return self._retriever.text_vectors(sentences, self._reporter.warn)
        return self._retriever.embedded_texts(self._words.encode_text(sentences))

    def files(self, queries: Sequence[Query]) -> tuple[dict[int, Floats], Summary]:
        """Vectors [D] of those files that decode, by the number of the query, and what failed."""
        import os

        from vcap.engine.executor import Local
        from vcap.engine.items import Item, map_items

        job = self._job(alone=len(queries) == 1)
        numbers = {f"{number} {query.name}": number for number, query in enumerate(queries)}
        items = [Item(key, queries[number].source) for key, number in numbers.items()]
        found: dict[int, Floats] = {}

        def keep(item: Item, encoded: Any) -> None:
            found[numbers[item.key]] = self._one_vector(encoded.features)

        summary = map_items(
            items,
            job.work,
            prepare=job.prepare,
            executor=Local(os.cpu_count() or 1),
            reporter=self._reporter,
            on_result=keep,
            title="encode",
            unit="queries",
        )
        return found, summary

    def _job(self, alone: bool) -> "EncodeVideos":
        """The work on files, as that of the videos in the index was done."""
        from vcap.engine.encode import EncodeVideos

        made_by = self._index.fingerprint
        sampler = str(made_by.get("sampler", FILM_SAMPLER))
        sampler = FILM_SAMPLER if sampler == "text" else sampler
        how: dict[str, Any] = {"exact": made_by.get("pixels") == "exact", "alone": alone}
        encoder = self._pictures
        if self._retriever is None or self._retriever.selection is None:
            return EncodeVideos(encoder, sampler, self._reporter, **how)
        from vcap.engine.selecting import EncodeKept

        return EncodeKept(self._retriever, sampler, self._reporter, **how)

    def _one_vector(self, features: npt.NDArray[np.floating]) -> Floats:
        """Frames [T, D] -> the vector [D] of the video, as that of a stored one is made."""
        if self._retriever is None:
            return pooled(features)
        return np.asarray(self._retriever.video_vectors([features])[0])

    def vectors(self, queries: Sequence[Query]) -> tuple[list[tuple[Query, Floats]], Summary]:
        """Each query that can be read with its vector [D] of length 1, and what failed.

        Raises:
            FeatureError: a stored video is not in the index.
        """
        found = {
            number: self._index.vector(query.name)
            for number, query in enumerate(queries)
            if query.is_stored
        }
        texts = [number for number, query in enumerate(queries) if query.is_text]
        if texts:
            rows = self.texts([queries[number].name for number in texts])
            found |= dict(zip(texts, rows, strict=True))
        films = [number for number, query in enumerate(queries) if query.source is not None]
        summary = Summary(done=len(found))
        if films:
            made, told = self.files([queries[number] for number in films])
            found |= {films[place]: vector for place, vector in made.items()}
            summary += told
        return [(queries[number], found[number]) for number in sorted(found)], summary


def _is_retrieval(name: str) -> bool:
    from vcap.engine.weights import is_retrieval

    return is_retrieval(name)


def turned_from(vectors: Floats, unwanted: Floats) -> Floats:
    """Vectors [Q, D] turned away from the mean of unwanted ones [N, D]; of length 1."""
    if not len(unwanted):
        return unit(vectors)
    return unit(unit(vectors) - UNWANTED_WEIGHT * unit(unwanted).mean(axis=0))
