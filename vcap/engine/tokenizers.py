"""Words to token ids and back: a small byte-level BPE of our own, or a tokenizer of the hub's."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vcap.errors import CheckpointError, UnavailableError

if TYPE_CHECKING:
    import torch

PAD = "<pad>"
END = "<end>"
GPT2_END = "<|endoftext|>"
MARKS_NAME = "tokenizer_config.json"  # names the marks of a tokenizer that is not our own


class Tokenizer:
    """Turns text into ids and back without loss.

    Attributes:
        end_id: the token that ends a caption; the highest id of our own tokenizers, which is where
            a text encoder looks for the sentence.
        pad_id: fills rows; never inside a text of our own tokenizers.
        size: V, number of ids.
    """

    def __init__(self, backend: Any, *, end_id: int, pad_id: int, size: int) -> None:
        self._backend = backend
        self.end_id = end_id
        self.pad_id = pad_id
        self.size = size

    def encode(self, text: str) -> list[int]:
        """Ids of a text, no end token appended."""
        found = self._backend.encode(text, add_special_tokens=False)
        return list(getattr(found, "ids", found))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; padding and end tokens vanish."""
        kept = [number for number in ids if number not in (self.end_id, self.pad_id)]
        return str(self._backend.decode(kept, skip_special_tokens=True))

    def batch(self, texts: Sequence[str], length: int) -> "torch.Tensor":
        """Rows of ids [N, length] int64: text, end token, padding; long texts are cut."""
        import torch

        rows = torch.full((len(texts), length), self.pad_id, dtype=torch.int64)  # [N, L]
        for row, text in zip(rows, texts, strict=True):
            ids = [*self.encode(text)[: length - 1], self.end_id]
            row[: len(ids)] = torch.tensor(ids)
        return rows

    def first_id(self, text: str) -> int:
        """The first id of a text, as the original captioner finds its stop token."""
        return self.encode(text)[0]

    def to_json(self) -> str:
        """What a `tokenizer.json` holds.

        Raises:
            CheckpointError: the tokenizer is of a kind that has no such file.
        """
        if not hasattr(self._backend, "to_str"):
            raise CheckpointError("this tokenizer cannot be written as tokenizer.json")
        return str(self._backend.to_str(pretty=True))

    def save(self, folder: Path) -> None:
        """Write what `load_tokenizer` reads: a `tokenizer.json`, and the names of unusual marks."""
        (folder / "tokenizer.json").write_text(self.to_json(), encoding="utf-8")
        end, pad = (self._backend.id_to_token(number) for number in (self.end_id, self.pad_id))
        if end not in (END, GPT2_END) or pad not in (end, PAD):
            marks = {"eos_token": end, "pad_token": pad}
            text = json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **marks}, indent=2)
            (folder / MARKS_NAME).write_text(text + "\n", encoding="utf-8")


def train_tokenizer(texts: Iterable[str], vocabulary: int = 1024) -> Tokenizer:
    """Learn a byte-level BPE; the same texts give the same tokenizer.

    Args:
        texts: captions.
        vocabulary: most ids, padding and end token included; fewer where the texts have no more
            pairs. At least 258, as every byte has an id.

    Raises:
        ValueError: the vocabulary has no room for the bytes.
    """
    from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
    from tokenizers import Tokenizer as Library

    if vocabulary < 258:
        raise ValueError(
            f"vocabulary: want at least 258 (all bytes and two marks), got {vocabulary}"
        )
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 1,
        special_tokens=[AddedToken(PAD, special=True)],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    library.train_from_iterator(sorted(texts), trainer)
    library.add_special_tokens([AddedToken(END, special=True)])
    return _own(library)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read a `tokenizer.json`, or the folder that holds one.

    Raises:
        CheckpointError: it is missing, damaged, or says nowhere how a caption ends.
    """
    from tokenizers import Tokenizer as Library

    where = Path(path)
    where = where / "tokenizer.json" if where.is_dir() else where
    try:
        text = where.read_text(encoding="utf-8")
        usable = _is_usable(json.loads(text)["model"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{where} is no tokenizer that can be read: {error}") from error
    if not usable:
        raise CheckpointError(f"{where} is no tokenizer of a known kind")
    return _wrapped(Library.from_str(text), where, *_marks(where.with_name(MARKS_NAME)))


def _is_usable(model: Any) -> bool:
    """Whether the library takes it: what it does not take, it answers with a bare exception."""
    vocabulary, kind = model["vocab"], model.get("type", "BPE")
    if kind == "BPE":
        return isinstance(vocabulary, dict) and isinstance(model["merges"], list)
    if kind == "Unigram":
        return isinstance(vocabulary, list) and all(
            isinstance(text, str) and isinstance(score, float) for text, score in vocabulary
        )
    return kind in ("WordPiece", "WordLevel") and isinstance(vocabulary, dict)


def _marks(path: Path) -> tuple[str | None, str | None]:
    """The end and the padding of a tokenizer that another library made; None where unsaid."""
    try:
        told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        found = [told.get("eos_token"), told.get("pad_token")]
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    texts = [mark.get("content") if isinstance(mark, dict) else mark for mark in found]
    if not all(isinstance(text, str | None) for text in texts):
        raise CheckpointError(f"{path}: eos_token and pad_token: want texts, got {found}")
    return texts[0], texts[1]


def _own(library: Any) -> Tokenizer:
    return _wrapped(library, Path("tokenizer.json"), END, PAD)


def _wrapped(library: Any, where: object, end: str | None, pad: str | None) -> Tokenizer:
    library.encode_special_tokens = True  # "<end>" typed in a caption is text like any other
    library.no_truncation()
    library.no_padding()
    ends = [library.token_to_id(mark) for mark in ([end] if end else [END, GPT2_END])]
    end_id = next((number for number in ends if number is not None), None)
    if end_id is None:
        wanted = f"no {end}" if end else f"neither {END} nor {GPT2_END}"
        raise CheckpointError(f"{where} has {wanted} to end a text with")
    pad_id = library.token_to_id(pad or PAD)
    size = library.get_vocab_size()
    return Tokenizer(library, end_id=end_id, pad_id=end_id if pad_id is None else pad_id, size=size)


def hub_tokenizer(name: str) -> Tokenizer:
    """A tokenizer that transformers knows: a folder, or the name of one on the hub.

    Raises:
        UnavailableError: it is not on this machine and cannot be fetched.
        CheckpointError: it has no `tokenizer.json` form, or does not say how a text ends.
    """
    from tokenizers import Tokenizer as Library
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"the tokenizer {name} is not on this machine and cannot be fetched",
            hint=f"hf download {name}",
        ) from error
    if found.eos_token is None:
        raise CheckpointError(f"the tokenizer {name} does not say how a text ends")
    library = getattr(found, "backend_tokenizer", None)
    if library is None:
        raise CheckpointError(f"the tokenizer {name} has no form that tokenizer.json can hold")
    # A copy: what is read again from a model folder must give the same ids.
    return _wrapped(Library.from_str(library.to_str()), name, found.eos_token, found.pad_token)
