"""Where metrics get features from: the cache, or one decode and one pass per encoder for everything a shot still lacks."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metrics.base import Clip, Need, NoValueError
from metrics.cache import FeatureCache
from metrics.collectors import Chosen, Collector, Frames, Located, Neighbours, Whole
from metrics.decoding import batches, promised_frames
from metrics.encoders.flow import empty_flow
from metrics.encoders.half import InHalf, half_type
from metrics.encoders.sampling import midpoints
from metrics.entity_consistency import entities
from metrics.entity_crops import ENTITY_FRAMES, entity_features
from metrics.frames import ALL, FrameSet
from metrics.reading import READER, read_clip, reader_digest
from metrics.spent import DECODE, Spent, name_of
from metrics.temporal_flickering import frame_differences
from stbench.encoders import ENCODERS
from stbench.keys import digest
from stbench.scores import Score
from stbench.video import VideoError

DIFFERENCES_DIGEST = hashlib.sha256(b"frame differences, uint8, v1").hexdigest()
READER_LIMIT = 32  # frames; Story World's shots have 17
PASSES = 8  # of one clip; a file whose length changes from pass to pass is broken


class FeatureSource:
    """The `metrics.base.Features` of one scoring. Encoders are loaded when the first clip or text needs them.

    `prepare` may be called from several threads for different clips; everything else belongs to one thread.

    Attributes:
        decoded: How many times a clip was decoded so far.
        encoded: How many features were computed so far, by kind.
        spent: Time of that, by encoder.
        policy: Which frames stand for a clip: "all", "auto" or a number (see `metrics.frames`).
        half: Published encoders see pictures in half precision (see `metrics.encoders.half`).
    """

    def __init__(
        self, *, protocol: str, device: str, cache: FeatureCache, known: Mapping[str, Score], policy: str = ALL, half: bool = False
    ):
        self.protocol, self.known, self.policy, self.half = protocol, known, policy, half
        self._device, self._cache = device, cache
        self._encoders: dict[str, Any] = {}
        self._digests: dict[Need, str] = {}
        self._failures: dict[tuple[Need, str], str] = {}
        self._lock = threading.RLock()
        self.decoded = 0
        self.encoded: dict[Need, int] = {}
        self.spent = Spent()

    def digest(self, need: Need) -> str:
        """sha256 of what makes this kind of feature, the frame policy included."""
        with self._lock:
            if need not in self._digests:
                self._digests[need] = self._maker(need)
            return self._digests[need]

    def _maker(self, need: Need) -> str:
        if need == READER:
            return reader_digest()
        if need.encoder is None:
            return DIFFERENCES_DIGEST
        maker = str(ENCODERS.get(need.encoder).digest())  # type: ignore[attr-defined]
        if self._in_half(need):
            maker = digest([maker, "half", half_type(self._device)])
        if need.kind == "frames" and self.policy != ALL:
            maker = digest([maker, "frames", self.policy])
        if need.detector is not None:
            maker = digest([maker, "boxes", str(ENCODERS.get(need.detector).digest())])  # type: ignore[attr-defined]
        return maker

    def _in_half(self, need: Need) -> bool:
        return self.half and need.kind != "text" and need.encoder is not None and may_be_half(need.encoder)

    def model(self, name: str) -> Any:
        """An encoder or detector, loaded once."""
        with self._lock:
            if name not in self._encoders:
                loaded = ENCODERS.get(name).load(self._device)  # type: ignore[attr-defined]
                self._encoders[name] = InHalf(loaded, self._device) if self.half and may_be_half(name) else loaded
            return self._encoders[name]

    def precision(self, needs: Sequence[Need]) -> dict[str, Any]:
        """For a score's detail: nothing in full precision, else the type, and how far its features were from full ones (see `InHalf`)."""
        held = [self._cache.get(self._deviation_key(need)) for need in needs if self._in_half(need)]
        found = [float(one) for one in held if one is not None]
        return {"precision": half_type(self._device), "half_deviation": round(max(found), 6)} if found else {}

    def _deviation_key(self, need: Need) -> str:
        return FeatureCache.key(kind="deviation", maker=self.digest(need), content="the first pictures")

    def _key(self, need: Need, content: str) -> str:
        return FeatureCache.key(kind=need.kind, maker=self.digest(need), content=content)

    def clip(self, need: Need, clip: Clip) -> np.ndarray:
        """The feature of one clip; raises `NoValueError` where the clip is missing, unreadable or unfit."""
        self.prepare(clip, [need])
        content = content_of(need, clip)
        if (need, content) in self._failures:
            raise NoValueError(self._failures[need, content])
        found = self._cache.get(self._key(need, content))
        if found is None:
            raise NoValueError(clip.reason or "the shot is missing")
        return found

    def frames(self, need: Need, clip: Clip) -> FrameSet:
        """Frame features of one clip, with the places of the frames that were taken; raises as `clip` does."""
        features = self.clip(need, clip)
        if self.policy == ALL:
            return FrameSet(features=features, index=np.arange(len(features)), total=len(features))
        places = self._cache.get(self._places_key(need, content_of(need, clip)))
        if places is None:
            raise NoValueError("the features are there, but not the places of their frames: delete the cache")
        risk = None if np.isnan(places[1]) else float(places[1])
        return FrameSet(features=features, index=places[2:].astype(np.int64), total=int(places[0]), risk=risk)

    def _places_key(self, need: Need, content: str) -> str:
        return FeatureCache.key(kind="places", maker=self.digest(need), content=content)

    def _lacks(self, need: Need, clip: Clip) -> bool:
        content = content_of(need, clip)
        return (need, content) not in self._failures and not self._cache.has(self._key(need, content))

    def prepare(self, clip: Clip, needs: Sequence[Need]) -> None:
        """Compute what the cache lacks of these features, decoding the clip once."""
        if clip.video is None:
            return
        lacking = {need: self._collector(need, clip) for need in needs if self._lacks(need, clip)}
        if not lacking:
            return
        try:
            self._collect(clip, list(lacking.items()))
        except VideoError:
            for need in lacking:
                self._failures[need, content_of(need, clip)] = "the video cannot be decoded"
            return
        for need, collector in lacking.items():
            content = content_of(need, clip)
            try:
                self._keep(need, content, collector)
            except NoValueError as why:
                self._failures[need, content] = str(why)

    def promised(self, clip: Clip) -> int:
        """How many frames a clip says it has."""
        return promised_frames(clip.video or Path())

    def batches(self, clip: Clip) -> Iterator[np.ndarray]:
        """The frames of a clip, a few at a time."""
        return batches(clip.video or Path())

    def _collect(self, clip: Clip, collectors: list[tuple[Need, Collector]]) -> None:
        """Feed batches of frames until every collector has what it needs."""
        if clip.video is None:
            return
        promised = self.promised(clip)
        for _ in range(PASSES):
            for _, collector in collectors:
                collector.start(promised)
            at = 0
            for frames in self.spent.each(DECODE, self.batches(clip)):
                for need, collector in collectors:
                    with self.spent.on(name_of(need)):
                        collector.add(frames, at)
                at += len(frames)
            with self._lock:
                self.decoded += 1
            promised = at
            collectors = [(need, collector) for need, collector in collectors if not self._done(need, collector, at)]
            if not collectors:
                return
        raise VideoError("has another length each time it is decoded", where=str(clip.video), expected="a video")

    def _done(self, need: Need, collector: Collector, total: int) -> bool:
        with self.spent.on(name_of(need)):
            return collector.done(total)

    def _keep(self, need: Need, content: str, collector: Collector) -> None:
        with self.spent.on(name_of(need), clips=1):
            made = collector.result()
        if not need.is_text and not np.isfinite(made).all():
            raise NoValueError(f"{need.encoder} gave a feature that is not finite")
        if isinstance(collector, Frames) and self.policy != ALL:
            found = collector.frame_set()
            places = np.concatenate([[found.total, np.nan if found.risk is None else found.risk], found.index])
            self._cache.put(self._places_key(need, content), places)
        if self._in_half(need) and not self._cache.has(self._deviation_key(need)):
            self._cache.put(self._deviation_key(need), np.array(self.model(str(need.encoder)).deviation))
        self._cache.put(self._key(need, content), made)
        with self._lock:
            self.encoded[need] = self.encoded.get(need, 0) + 1

    def _collector(self, need: Need, clip: Clip) -> Collector:
        if need == READER:
            return Whole(read_clip, READER_LIMIT)
        if need.kind == "differences":
            return Neighbours(frame_differences, np.zeros(0))
        if need.encoder is None or need.kind not in MAKERS:
            raise ValueError(f"nothing makes features of kind {need.kind!r}")
        encoder = self.model(need.encoder)
        return MAKERS[need.kind](self, need, encoder, clip)

    def texts(self, encoder: str, texts: Sequence[str]) -> np.ndarray:
        """(N, D) unit vectors of N texts."""
        need = Need(kind="text", encoder=encoder)
        rows = []
        for text in texts:
            key = self._key(need, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())
            row = self._cache.get(key)
            if row is None:
                row = np.asarray(self.model(encoder).encode_texts([text])[0])
                self._cache.put(key, row)
            rows.append(row)
        return np.stack(rows)

    def forget(self) -> None:
        """Free what is held of finished films."""
        self._cache.forget()
        self._failures.clear()


def _video(source: FeatureSource, need: Need, encoder: Any, clip: Clip) -> Collector:
    """Encoders that say which frames they look at get those; others get the whole clip."""
    if hasattr(encoder, "pick"):
        return Chosen(encoder.encode_picked, encoder.pick)
    return Chosen(encoder.encode_video, lambda total: list(range(total)))


def _frames(source: FeatureSource, need: Need, encoder: Any, clip: Clip) -> Collector:
    return Frames(encoder.encode_frames, source.policy)


def _flow(source: FeatureSource, need: Need, encoder: Any, clip: Clip) -> Collector:
    return Neighbours(encoder.flow, empty_flow())


def _entities(source: FeatureSource, need: Need, encoder: Any, clip: Clip) -> Collector:
    finder, shot = source.model(str(need.detector)), clip.shot

    def encode(frames: np.ndarray, places: list[int], total: int) -> np.ndarray:
        return entity_features(frames, finder.find(frames, places, total, shot, entities(shot)), encoder.encode_frames)

    return Located(encode, lambda total: midpoints(total, ENTITY_FRAMES))


MAKERS: dict[str, Callable[[FeatureSource, Need, Any, Clip], Collector]] = {
    "video": _video,
    "frames": _frames,
    "flow": _flow,
    "entities": _entities,
}


def may_be_half(encoder: str) -> bool:
    """Whether half precision applies to an encoder."""
    return bool(getattr(ENCODERS.get(encoder), "may_be_half", False))


def content_of(need: Need, clip: Clip) -> str:
    """What a feature is made from: the digest of the video and, where boxes are looked for, who is looked for."""
    if clip.digest is None:
        raise NoValueError(clip.reason or "the shot is missing")
    if need.kind == "entities":
        return digest([clip.digest, list(entities(clip.shot)), dict(clip.shot.truth or {})])
    return clip.digest
