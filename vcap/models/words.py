"""What a contrastive text tower says of a text as a whole and of each of its words.

Source: Radford et al., "CLIP", arXiv:2103.00020; the words after AdaCLIP, ACM MM 2023,
doi 10.1145/3581783.3612161. Departures: rows of tokens may be shorter than the tower's context.
Shapes: Q texts, L tokens, D embedding width, W tower width.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class TextFeatures(NamedTuple):
    """What is known of texts.

    Attributes:
        texts: [Q, D] of the whole texts, not of unit length.
        words: [Q, L, D] the same of every token.
        mask: [Q, L] bool, True from the first token to the one the text ends with.
    """

    texts: Tensor
    words: Tensor
    mask: Tensor


def text_features(clip: nn.Module, tokens: Tensor) -> TextFeatures:
    """Read texts with the text tower of a model of open_clip's kinds.

    Args:
        clip: with `token_embedding`, `positional_embedding`, causal `transformer`, `ln_final` and
            `text_projection`.
        tokens: [Q, L] int64, L at most the tower's context; after the end token comes padding,
            which changes nothing as no word looks ahead.

    Raises:
        ValueError: more tokens than the tower has positions, or a tower that does not find its
            text at one token.
    """
    tower: Any = clip
    length = tokens.shape[1]
    if length > len(tower.positional_embedding):
        most = len(tower.positional_embedding)
        raise ValueError(f"the text tower reads {most} tokens, got {length}")
    places = tower.positional_embedding[:length]  # [L, W]
    x = tower.token_embedding(tokens) + places  # [Q, L, W]
    x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask[:length, :length]))
    projection = tower.text_projection
    words = projection(x) if isinstance(projection, nn.Module) else x @ projection  # [Q, L, D]
    last = end_of_text(tower, tokens)  # [Q]
    texts = words[torch.arange(len(words), device=words.device), last]  # [Q, D]
    mask = torch.arange(length, device=tokens.device) <= last[:, None]  # [Q, L]
    return TextFeatures(texts, words, mask)


def end_of_text(clip: nn.Module, tokens: Tensor) -> Tensor:
    """Where each text ends: tokens [Q, L] -> [Q] int64.

    Raises:
        ValueError: the tower pools its texts in another way.
    """
    tower: Any = clip
    kind = getattr(tower, "text_pool_type", "argmax")
    if kind == "argmax":
        return tokens.argmax(dim=-1)  # [Q], the first of the highest ids
    if kind == "eos":
        is_end = tokens.eq(int(tower.text_eos_id))  # [Q, L]
        return is_end.int().argmax(dim=-1)  # [Q]
    raise ValueError(f"want a text tower that pools at the end token, got {kind}")


def cut_tokens(clip: nn.Module, tokens: Tensor, most: int | None = None) -> Tensor:
    """Leave out of tokens [Q, L] what no text reaches, and what is too long.

    Args:
        clip: as of `text_features`.
        tokens: [Q, L] int64.
        most: the longest a row may stay; one that is cut ends with its end token all the same.

    Raises:
        ValueError: as `end_of_text`.
    """
    if not len(tokens):
        return tokens
    last = end_of_text(clip, tokens)[:, None]  # [Q, 1]
    ends = tokens.gather(1, last)  # [Q, 1]
    length = min(int(last.max()) + 1, most or tokens.shape[1])
    kept = tokens[:, :length].clone()  # [Q, L]
    kept[:, -1:] = torch.where(last >= length, ends, kept[:, -1:])  # [Q, 1]
    return kept
