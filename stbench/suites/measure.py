"""What can be counted in a suite: lengths, cuts, who returns after how many shots. Running sums, so that size does not matter."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stbench.story import Story
from stbench.suites.tokens import READERS, UMT5, clip_lengths, umt5_estimate

_SENTENCE = re.compile(r"[.!?…](?=\s|$)")
_SIZES = {
    "close-up": re.compile(r"\bclose-?\s?up|\bmacro\b|\bclose (?:profile|two-shot)", re.IGNORECASE),
    "medium": re.compile(r"\bmedium (?:shot|view|close)|\btwo-shot|\bside view|\bfrom the side", re.IGNORECASE),
    "wide": re.compile(
        r"\bwide (?:shot|view|side)|\bwide,|\baerial|\bestablishing|\bextreme wide|\blong shot|\bseen from (?:far )?above", re.IGNORECASE
    ),
}
_CAMERA = re.compile(
    r"\b(?:camera|view|flight|pan|tracking|tilts?|dolly|zooms?|hand-?held|overhead|low angle|high angle|aerial|telephoto)\b", re.IGNORECASE
)


def words(text: str) -> int:
    """Words between spaces."""
    return len(text.split())


def sentences(text: str) -> int:
    """Sentences, by their final marks; at least 1 for any text.

    Example:
        >>> sentences("Night. A cat sleeps, 2.5 m up"), sentences("A cat")
        (2, 1)
    """
    marks = len(_SENTENCE.findall(text.strip()))
    return marks + (not _SENTENCE.search(text.strip()[-1:])) if text.strip() else 0


def gaps(story: Story, kinds: tuple[str, ...] = ("character",)) -> list[int]:
    """How many shots each return was away: 0 is never in it, since the next shot is no return.

    Args:
        story: With entities, or with Story World's truth.
        kinds: Kinds of entities that count.
    """
    wanted = {entity.id for entity in story.entities if entity.kind in kinds}
    last: dict[str, int] = {}
    found = []
    for shot in story.shots:
        names = [name for name in shot.entities if name in wanted]
        if shot.truth is not None and "character" in shot.truth:
            names.append(f"character {shot.truth['character']}")
        for name in names:
            if name in last and shot.index - last[name] > 1:
                found.append(shot.index - last[name] - 1)
            last[name] = shot.index
    return found


def characters(story: Story) -> int:
    """How many characters appear in more than no shot, by entities or by truth."""
    declared = {entity.id for entity in story.entities if entity.kind == "character"}
    by_entity = {name for shot in story.shots for name in shot.entities if name in declared}
    by_truth = {shot.truth["character"] for shot in story.shots if shot.truth is not None and "character" in shot.truth}
    return len(by_entity) or len(by_truth)


@dataclass
class Range:
    """Smallest, largest and mean of what was added."""

    low: float = float("inf")
    high: float = float("-inf")
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """One more."""
        self.low, self.high = min(self.low, value), max(self.high, value)
        self.total, self.count = self.total + value, self.count + 1

    @property
    def mean(self) -> float | None:
        """None of nothing."""
        return self.total / self.count if self.count else None

    def to_json(self) -> dict[str, Any] | None:
        """JSON-able; None of nothing."""
        return {"min": self.low, "mean": round(self.total / self.count, 3), "max": self.high} if self.count else None

    def text(self, digits: int = 0) -> str:
        """`8-12` or `–`."""
        if not self.count:
            return "–"
        return f"{self.low:.{digits}f}" if self.low == self.high else f"{self.low:.{digits}f}-{self.high:.{digits}f}"


@dataclass
class Facts:
    """Counts over the stories that were added."""

    stories: int = 0
    shots: int = 0
    cuts: int = 0
    shots_per_story: Range = field(default_factory=Range)
    scenes: Range = field(default_factory=Range)
    characters: Range = field(default_factory=Range)
    words: Range = field(default_factory=Range)
    sentences: Range = field(default_factory=Range)
    clip_tokens: Range = field(default_factory=Range)
    cut_prompts: Counter[str] = field(default_factory=Counter)  # reader → prompts that it cuts
    tokens: Counter[str] = field(default_factory=Counter)  # reader → tokens of all prompts
    unread: Counter[str] = field(default_factory=Counter)  # reader → tokens beyond its limit
    gaps: Counter[int] = field(default_factory=Counter)
    first_frames: int = 0
    with_entities: int = 0  # shots that say who or where
    sizes: Counter[str] = field(default_factory=Counter)
    moving: int = 0  # prompts that name a camera position or movement
    appearance: Counter[str] = field(default_factory=Counter)

    def add(self, story: Story) -> list[int]:
        """Count a story; gives CLIP's token counts of its prompts."""
        prompts = [shot.prompt for shot in story.shots]
        lengths = clip_lengths(prompts)
        self.stories += 1
        self.shots += len(prompts)
        self.cuts += story.cuts
        self.shots_per_story.add(len(prompts))
        self.scenes.add(len({shot.scene for shot in story.shots}))
        if count := characters(story):
            self.characters.add(count)
        for prompt, clip in zip(prompts, lengths, strict=True):
            self._add_prompt(prompt, clip)
        self.gaps.update(gaps(story))
        self.first_frames += sum(bool(shot.first_frame_prompt) for shot in story.shots)
        self.with_entities += sum(bool(shot.entities or shot.place or shot.truth) for shot in story.shots)
        design = story.extra.get("design")
        if isinstance(design, Mapping) and isinstance(design.get("appearance"), str):
            self.appearance[design["appearance"]] += 1
        return lengths

    def _add_prompt(self, prompt: str, clip: int) -> None:
        self.words.add(words(prompt))
        self.sentences.add(sentences(prompt))
        self.clip_tokens.add(clip)
        for reader in READERS:
            needed = umt5_estimate(prompt) if reader is UMT5 else clip
            self.tokens[reader.name] += needed
            self.unread[reader.name] += max(0, needed - reader.tokens)
            self.cut_prompts[reader.name] += needed > reader.tokens
        self.sizes[next((name for name, pattern in _SIZES.items() if pattern.search(prompt)), "not named")] += 1
        self.moving += bool(_CAMERA.search(prompt))

    @property
    def continuations(self) -> float:
        """Share of shots that go on from the one before; 0 of nothing."""
        return 1 - self.cuts / self.shots if self.shots else 0.0

    def unread_share(self, reader: str) -> float:
        """Share of all tokens that a reader does not see."""
        return self.unread[reader] / self.tokens[reader] if self.tokens[reader] else 0.0

    def to_json(self) -> dict[str, Any]:
        """JSON-able dict."""
        ranges = ("shots_per_story", "scenes", "characters", "words", "sentences", "clip_tokens")
        return {
            "stories": self.stories,
            "shots": self.shots,
            "cuts": self.cuts,
            "continuations": round(self.continuations, 4),
            **{name: getattr(self, name).to_json() for name in ranges},
            "gaps": {str(gap): count for gap, count in sorted(self.gaps.items())},
            "first_frames": self.first_frames,
            "shots_with_entities": self.with_entities,
            "sizes": dict(self.sizes),
            "camera": self.moving,
            "appearance": dict(self.appearance),
            "readers": {
                reader.name: {
                    "limit": reader.tokens,
                    "cut_prompts": self.cut_prompts[reader.name],
                    "unread": round(self.unread_share(reader.name), 4),
                    "estimated": reader is UMT5,
                }
                for reader in READERS
            },
        }
