"""Where metrics get features from: the cache, or one decode and one pass per encoder for everything a shot still lacks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metrics.base import Clip, Need, NoValueError
from metrics.cache import FeatureCache
from metrics.reading import READER, read_clip, reader_digest
from metrics.temporal_flickering import frame_differences
from stbench.encoders import ENCODERS
from stbench.scores import Score
from stbench.video import VideoError, read_mp4

DIFFERENCES_DIGEST = hashlib.sha256(b"frame differences, uint8, v1").hexdigest()


class FeatureSource:
    """The `metrics.base.Features` of one scoring. Encoders are loaded when the first clip or text needs them.

    Attributes:
        decoded: How many clips were decoded so far.
        encoded: How many features were computed so far, by kind.
    """

    def __init__(self, *, protocol: str, device: str, cache: FeatureCache, known: Mapping[str, Score]):
        self.protocol, self.known = protocol, known
        self._device, self._cache = device, cache
        self._encoders: dict[str, Any] = {}
        self._digests: dict[Need, str] = {}
        self._failures: dict[tuple[Need, str], str] = {}
        self.decoded = 0
        self.encoded: dict[Need, int] = {}

    def digest(self, need: Need) -> str:
        """sha256 of what makes this kind of feature."""
        if need not in self._digests:
            if need == READER:
                self._digests[need] = reader_digest()
            elif need.encoder is None:
                self._digests[need] = DIFFERENCES_DIGEST
            else:
                self._digests[need] = str(ENCODERS.get(need.encoder).digest())  # type: ignore[attr-defined]
        return self._digests[need]

    def _encoder(self, name: str) -> Any:
        if name not in self._encoders:
            self._encoders[name] = ENCODERS.get(name).load(self._device)  # type: ignore[attr-defined]
        return self._encoders[name]

    def _key(self, need: Need, content: str) -> str:
        return FeatureCache.key(kind=need.kind, maker=self.digest(need), content=content)

    def clip(self, need: Need, clip: Clip) -> np.ndarray:
        """The feature of one clip; raises `NoValueError` where the clip is missing, unreadable or unfit."""
        self.prepare(clip, [need])
        content = _content(clip)
        if (need, content) in self._failures:
            raise NoValueError(self._failures[need, content])
        found = self._cache.get(self._key(need, content))
        if found is None:
            raise NoValueError("the feature could not be kept")
        return found

    def prepare(self, clip: Clip, needs: Sequence[Need]) -> None:
        """Compute what the cache lacks of these features, decoding the clip once at most."""
        if clip.video is None:
            return
        content = _content(clip)
        lacking = [n for n in needs if (n, content) not in self._failures and self._cache.get(self._key(n, content)) is None]
        if not lacking:
            return
        try:
            frames, _ = read_mp4(clip.video)
            self.decoded += 1
        except VideoError:
            self._failures.update({(need, content): "the video cannot be decoded" for need in needs})
            return
        for need in lacking:
            try:
                self._cache.put(self._key(need, content), self._compute(need, frames))
                self.encoded[need] = self.encoded.get(need, 0) + 1
            except NoValueError as why:
                self._failures[need, content] = str(why)

    def _compute(self, need: Need, frames: np.ndarray) -> np.ndarray:
        if need == READER:
            return read_clip(frames)
        if need.kind == "differences":
            return frame_differences(frames)
        if need.encoder is None or need.kind not in ("video", "frames"):
            raise ValueError(f"nothing makes features of kind {need.kind!r}")
        encoder = self._encoder(need.encoder)
        made: np.ndarray = encoder.encode_video(frames) if need.kind == "video" else encoder.encode_frames(frames)
        if not np.isfinite(made).all():
            raise NoValueError(f"{need.encoder} gave a feature that is not finite")
        return made

    def texts(self, encoder: str, texts: Sequence[str]) -> np.ndarray:
        """(N, D) unit vectors of N texts."""
        need = Need(kind="text", encoder=encoder)
        rows = []
        for text in texts:
            key = self._key(need, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())
            row = self._cache.get(key)
            if row is None:
                row = np.asarray(self._encoder(encoder).encode_texts([text])[0])
                self._cache.put(key, row)
            rows.append(row)
        return np.stack(rows)

    def forget(self) -> None:
        """Free what is held of finished films."""
        self._cache.forget()
        self._failures.clear()


def _content(clip: Clip) -> str:
    if clip.digest is None:
        raise NoValueError(clip.reason or "the shot is missing")
    return clip.digest
