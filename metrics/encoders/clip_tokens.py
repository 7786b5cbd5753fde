"""CLIP's byte-pair tokens at any context length, as OpenAI's tokenizer gives them.

open_clip has the vocabulary and the merging; it differs from OpenAI's only where a text spells a special token, which is handled here. A
longer text is cut and its last token becomes the end: ViCLIP reads 32 tokens, so most prompts of a story script are cut.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

VICLIP_CONTEXT = 32
START, END = 49406, 49407
_SPECIAL = {"<|startoftext|>": START, "<|endoftext|>": END}
_SPLIT = re.compile("(" + "|".join(re.escape(word) for word in _SPECIAL) + ")")


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


def whole(text: str) -> list[int]:
    """All tokens of a text, start and end included.

    Example:
        >>> whole("a cat")
        [49406, 320, 2368, 49407]
    """
    tokenizer = _tokenizer()
    parts = [part for part in _SPLIT.split(tokenizer.clean_fn(text)) if part.strip()]
    ids = [token for part in parts for token in ([_SPECIAL[part]] if part in _SPECIAL else tokenizer.encode(part))]
    return [START, *ids, END]


def token_ids(text: str, context: int = VICLIP_CONTEXT) -> list[int]:
    """Tokens cut (the last one is then the end) or padded with zeros to `context`.

    Example:
        >>> token_ids("a cat plays", 4), token_ids("a cat", 6)
        ([49406, 320, 2368, 49407], [49406, 320, 2368, 49407, 0, 0])
    """
    ids = whole(text)
    if len(ids) > context:
        ids = [*ids[: context - 1], END]
    return ids + [0] * (context - len(ids))


def is_cut(text: str, context: int = VICLIP_CONTEXT) -> bool:
    """Whether the end of the text is not read."""
    return len(whole(text)) > context
