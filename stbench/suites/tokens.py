"""How long a prompt is for those who read it: text encoders cut what is beyond their limit, silently.

CLIP's tokens are exact (but for text with broken encoding or curly quotes, which CLIP mends first): its vocabulary comes with
open_clip, and is read from its file without importing the package. umT5's vocabulary does not come with any package here, so its count
is an estimate, and is only used to say that a limit may be passed.
"""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from stbench.errors import UserError

VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
MERGES = 49152 - 256 - 2


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A text encoder's limit, in tokens with start and end, and which protocols read prompts with it."""

    name: str
    tokens: int
    used_by: str


VICLIP = Reader(name="ViCLIP", tokens=32, used_by="protocols storymem-paper, vbench-custom")
CLIP = Reader(name="CLIP", tokens=77, used_by="metrics that compare frames with text")
UMT5 = Reader(name="umT5", tokens=512, used_by="Wan2.2, which films the prompt")
READERS = (VICLIP, CLIP, UMT5)


@lru_cache(maxsize=1)
def _clip() -> Any:
    """CLIP's tokenizer in the `tokenizers` library."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    spec = importlib.util.find_spec("open_clip")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = next((found for folder in folders if (found := Path(folder) / VOCABULARY).is_file()), None)
    if path is None:
        raise UserError(
            "CLIP's vocabulary is not there", expected=f"{VOCABULARY} in the package open_clip", hint="pip install open_clip_torch"
        )
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")[1 : MERGES + 1]
    merges = [(line.split()[0], line.split()[1]) for line in lines]
    letters = _byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    model = models.BPE(vocab={word: k for k, word in enumerate(words)}, merges=merges, end_of_word_suffix="</w>")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip(), normalizers.Lowercase()]
    )
    pattern = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pattern, behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _byte_letters() -> list[str]:
    """The 256 letters that stand for bytes in byte-pair vocabularies: printable ones for themselves, the rest from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + k) for k in range(len(rest))]


def clip_ids(text: str) -> list[int]:
    """CLIP's tokens of a text, without start and end.

    Example:
        >>> clip_ids("a cat plays")
        [320, 2368, 5134]
    """
    return list(_clip().encode(text).ids)


def clip_lengths(texts: Sequence[str]) -> list[int]:
    """CLIP's token counts, start and end included; ViCLIP counts alike."""
    return [len(encoding.ids) + 2 for encoding in _clip().encode_batch(list(texts))]


def umt5_estimate(text: str) -> int:
    """About how many tokens umT5 needs: four letters of a Latin script each, one per character of others.

    Example:
        >>> umt5_estimate("A cat plays on the roof.")
        7
    """
    latin = sum(char < "\u0250" for char in text)
    return 1 + latin // 4 + (len(text) - latin)
