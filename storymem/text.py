"""Prompts to embeddings, as Wan reads them.

Each prompt is padded to a fixed number of tokens. What the encoder says at padded places is replaced by zeros, and the
transformer attends those zeros: leaving them out changes the picture. A prompt with no token at all is all zeros.

Shapes: N texts, L tokens, D channels.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import torch

_QUOTES = str.maketrans("‘’‚“”„", "'''\"\"\"")


def clean(prompt: str) -> str:
    """Plain quotes, no HTML entities, single spaces.

    Example:
        >>> clean("  It’s a   cat &amp; a dog ")
        "It's a cat & a dog"
    """
    return " ".join(html.unescape(html.unescape(prompt)).translate(_QUOTES).split())


@torch.no_grad()
def embed(tokenizer: Any, encoder: Any, texts: Sequence[str], length: int) -> torch.Tensor:
    """(N, L, D) float32: embeddings of cleaned texts, cut at `length` tokens, zero where padded."""
    tokens = tokenizer(
        [clean(text) for text in texts],
        padding="max_length",
        max_length=length,
        truncation=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    ids, mask = tokens["input_ids"].to(encoder.device), tokens["attention_mask"].to(encoder.device)
    hidden = encoder(ids, attention_mask=mask).last_hidden_state.float()
    return torch.where(mask[:, :, None].bool(), hidden, torch.zeros_like(hidden))


def without_padding(embedding: torch.Tensor) -> torch.Tensor:
    """(L, D) → (l, D): an embedding without the zeros behind it, in memory of its own."""
    used = embedding.ne(0).any(dim=1).nonzero()
    return embedding[: int(used.max()) + 1 if len(used) else 0].clone()


def with_padding(embedding: torch.Tensor, length: int) -> torch.Tensor:
    """(l, D) → (L, D): the inverse of `without_padding`.

    Example:
        >>> with_padding(without_padding(torch.tensor([[1.0], [2.0], [0.0]])), 3).flatten().tolist()
        [1.0, 2.0, 0.0]
    """
    return torch.nn.functional.pad(embedding, (0, 0, 0, length - len(embedding)))


def is_cut(tokenizer: Any, prompt: str, length: int) -> bool:
    """Whether the prompt has more than `length` tokens, so that its end is not read."""
    return len(tokenizer(clean(prompt), truncation=False, verbose=False)["input_ids"]) > length


def known_share(tokenizer: Any, prompts: Sequence[str]) -> float | None:
    """Share of the words that a word-level tokenizer knows; None for tokenizers that can spell any word."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    unknown = tokenizer.unk_token_id
    if backend is None or type(backend.model).__name__ != "WordLevel" or unknown is None:
        return None
    ids = [
        token
        for prompt in prompts
        for token in tokenizer(clean(prompt), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    ]
    return sum(token != unknown for token in ids) / len(ids) if ids else None
