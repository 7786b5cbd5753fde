"""Keys: what a shot depends on, as one hash.

`shot_key(k) = H(schema, identity of the method, head of the story, shot k, seed of shot k, shot_key(k-1))`. The chain is
what makes resume safe: when the prompt of shot 3 changes, the keys of shots 3, 4, … change and those of 1 and 2 do not.
The head of the story is its id, name, overview, extra fields, reference pictures and entities: the request that a method gets holds
these, and the shots up to k, and nothing else (see `stbench.filming`). A method that plans a whole film at once says `"sees": "story"` in
its identity; its requests hold all shots, so its keys do too, and any edit of a story makes every shot of it another one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stbench.story import Shot, Story

KEY_SCHEMA = 1
CHUNK_BYTES = 1 << 20


def canonical_json(data: Any) -> bytes:
    r"""One spelling per value: sorted keys, no spaces, UTF-8; NaN and infinity are refused with a ValueError.

    Example:
        >>> canonical_json({"b": 1, "a": [True, None, "é"]})
        b'{"a":[true,null,"\xc3\xa9"],"b":1}'
    """
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")


def digest(data: Any) -> str:
    """sha256 of the canonical JSON of `data`, in hex."""
    return hashlib.sha256(canonical_json(data)).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def sees_whole_story(identity: Mapping[str, Any]) -> bool:
    """Whether every shot may depend on all shots of its story, later ones included.

    Example:
        >>> sees_whole_story({"method": "storydiffusion", "sees": "story"}), sees_whole_story({"method": "storymem"})
        (True, False)
    """
    return identity.get("sees") == "story"


def shot_key(*, identity: Mapping[str, Any], story: Story, shot: Shot, seed: int, previous: str | None) -> str:
    """Key of one shot.

    Args:
        identity: `Method.identity()`.
        story: Its story; only what comes before its shots counts, unless the method sees the whole story.
        shot: The shot.
        seed: The shot's own seed.
        previous: Key of the shot before it, None for the first.
    """
    head: dict[str, Any] = {"id": story.id, "name": story.name, "overview": story.overview, "extra": dict(story.extra)}
    if story.references:
        head["references"] = [picture.sha256 for picture in story.references]
    if story.entities:
        head["entities"] = [asdict(entity) for entity in story.entities]
    if sees_whole_story(identity):
        head["shots"] = [one.to_json() for one in story.shots]
    return digest(
        {
            "schema": KEY_SCHEMA,
            "identity": dict(identity),
            "story": head,
            "shot": shot.to_json(),
            "seed": seed,
            "previous": previous,
        }
    )


def story_keys(*, identity: Mapping[str, Any], story: Story, run_seed: int) -> list[str]:
    """Keys of all shots of a story, in order."""
    from stbench.seeds import shot_seed

    keys: list[str] = []
    for shot in story.shots:
        seed = shot_seed(run_seed=run_seed, story=story.id, index=shot.index)
        keys.append(shot_key(identity=identity, story=story, shot=shot, seed=seed, previous=keys[-1] if keys else None))
    return keys
