"""A word-level tokenizer for the small vocabulary of Story World. Unknown words become one token, and can be counted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PAD, UNKNOWN = 0, 1
_WORD = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*|[.,]")


def split_words(text: str) -> list[str]:
    """Lower-case words and punctuation marks.

    Example:
        >>> split_words("Close-up of a cat.")
        ['close-up', 'of', 'a', 'cat', '.']
    """
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class Vocabulary:
    """Words in id order, after the padding and the unknown token.

    Example:
        >>> Vocabulary(("a", "cat")).ids("A cat sleeps", length=5)
        [2, 3, 1, 0, 0]
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Vocabulary:
        """The vocabulary of a corpus, sorted, so that it does not depend on the order of the texts."""
        return cls(tuple(sorted({word for text in texts for word in split_words(text)})))

    def __len__(self) -> int:
        return len(self.words) + 2

    def ids(self, text: str, *, length: int) -> list[int]:
        """Token ids, cut or padded to `length`."""
        table = {word: i + 2 for i, word in enumerate(self.words)}
        found = [table.get(word, UNKNOWN) for word in split_words(text)][:length]
        return found + [PAD] * (length - len(found))

    def batch(self, texts: Sequence[str], *, length: int) -> list[list[int]]:
        """`ids` of several texts."""
        return [self.ids(text, length=length) for text in texts]
