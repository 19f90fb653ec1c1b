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
        library = getattr(self._backend, "backend_tokenizer", self._backend)
        if not hasattr(library, "to_str"):
            raise CheckpointError("this tokenizer cannot be written as tokenizer.json")
        return str(library.to_str(pretty=True))


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
        model = json.loads(text)["model"]
        usable = isinstance(model["vocab"], dict) and isinstance(model["merges"], list)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{where} is no tokenizer that can be read: {error}") from error
    if not usable:
        raise CheckpointError(f"{where} is no byte-level BPE tokenizer")
    return _own(Library.from_str(text), where)


def _own(library: Any, where: Path | None = None) -> Tokenizer:
    library.encode_special_tokens = True  # "<end>" typed in a caption is text like any other
    ends = [number for end in (END, GPT2_END) if (number := library.token_to_id(end)) is not None]
    if not ends:
        raise CheckpointError(f"{where} has neither {END} nor {GPT2_END} to end a text with")
    pad_id = library.token_to_id(PAD)
    size = library.get_vocab_size()
    return Tokenizer(
        library, end_id=ends[0], pad_id=ends[0] if pad_id is None else pad_id, size=size
    )


def hub_tokenizer(name: str) -> Tokenizer:
    """A tokenizer that transformers knows: a folder, or the name of one on the hub.

    Raises:
        UnavailableError: it is not on this machine and cannot be fetched.
    """
    from transformers import AutoTokenizer

    try:
        library = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"the tokenizer {name} is not on this machine and cannot be fetched",
            hint=f"hf download {name}",
        ) from error
    end_id = library.eos_token_id
    if end_id is None:
        raise CheckpointError(f"the tokenizer {name} does not say how a text ends")
    pad_id = library.pad_token_id
    return Tokenizer(
        library, end_id=end_id, pad_id=end_id if pad_id is None else pad_id, size=len(library)
    )
