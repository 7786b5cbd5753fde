"""Small films and a fake encoder for the scoring tests."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metrics.base import Clip, StoryClips
from stbench.keys import file_sha256
from stbench.story import Shot, Story
from stbench.video import write_mp4


@dataclass
class FakeEncoder:
    """Mean colours as features; counts its work. Stands in for every encoder of the protocol."""

    calls: dict = field(default_factory=dict)
    weights: str = "1"

    def load(self, device):
        return self

    def digest(self):
        return hashlib.sha256(self.weights.encode()).hexdigest()

    def _count(self, what):
        self.calls[what] = self.calls.get(what, 0) + 1

    def encode_video(self, frames):
        self._count("video")
        return unit(frames.mean((0, 1, 2)) + 1)

    def encode_frames(self, frames):
        self._count("frames")
        return np.stack([unit(f.mean((0, 1)) + 1) for f in frames])

    def encode_texts(self, texts):
        self._count("texts")
        return np.stack([unit(np.frombuffer(hashlib.sha256(t.encode()).digest()[:3], np.uint8) + 1.0) for t in texts])


def unit(x):
    return (x / np.linalg.norm(x)).astype(np.float32)


def film(folder: Path, *, shots=3, size=(32, 48), frames=5, name="tale", truth=None) -> StoryClips:
    """A story of `shots` shots of noise, written as mp4."""
    rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    clips = []
    for i in range(shots):
        path = folder / f"{name}_{i}.mp4"
        base = rng.integers(0, 255, (1, 1, 1, 3))
        write_mp4(path, np.clip(base + rng.integers(-20, 20, (frames, *size, 3)), 0, 255).astype(np.uint8), 8)
        shot = Shot(index=i, scene=1, number=i + 1, prompt=f"prompt {i}", cut=True, truth=truth[i] if truth else None)
        clips.append(Clip(shot=shot, video=path, digest=file_sha256(path)))
    story = Story(id=name, name=name, overview="an overview", shots=tuple(clip.shot for clip in clips))
    return StoryClips(story=story, clips=tuple(clips))
