"""Validity rules of a shot's frames: what no method may publish. Named, so that a failure says which one it broke."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from stbench.methods import ShotResult

BLACK = 8  # 0..255: a shot whose brightest value is below this shows nothing
CONTRAST = 2  # 0..255: a shot whose every frame has less range than this shows nothing


class InvalidShotError(Exception):
    """A shot broke a validity rule."""

    def __init__(self, rule: str, found: str):
        self.rule = rule
        super().__init__(f"rule {rule}: {found}")


def check_result(result: ShotResult) -> None:
    """Raise `InvalidShotError` at the first rule that a result breaks: type, shape, rate, content, still indices."""
    frames = result.frames
    found = f"{getattr(frames, 'dtype', type(frames).__name__)} {tuple(getattr(frames, 'shape', ()))}"
    if _not_finite(frames):
        raise InvalidShotError("frames-finite", f"the frames are {found} and hold NaN or infinity")
    if str(getattr(frames, "dtype", "")) != "uint8":
        raise InvalidShotError("frames-uint8", f"the frames are {found}, expected uint8")
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.shape[0] < 1 or min(frames.shape[1:3]) < 2:
        raise InvalidShotError("frames-shape", f"the frames are {found}, expected (F, H, W, 3) with F ≥ 1")
    if not 0 < result.fps <= 240:
        raise InvalidShotError("fps", f"{result.fps} frames per second, expected more than 0 and at most 240")
    _check_content(frames)
    count = int(frames.shape[0])
    for index in result.keyframes:
        if not 0 <= index < count:
            raise InvalidShotError("keyframe-index", f"keyframe {index} of {count} frames")
    if not 0 <= result.tail <= count:
        raise InvalidShotError("tail-length", f"a tail of {result.tail} of {count} frames")


def _not_finite(frames: object) -> bool:
    import numpy as np

    return isinstance(frames, np.ndarray) and frames.dtype.kind == "f" and not bool(np.isfinite(frames).all())


def _check_content(frames: np.ndarray) -> None:
    brightest = contrast = 0
    for frame in frames:
        high = frame.max(axis=(0, 1))  # per channel
        brightest, contrast = max(brightest, int(high.max())), max(contrast, int((high - frame.min(axis=(0, 1))).max()))
        if brightest >= BLACK and contrast >= CONTRAST:  # mostly the first frame says so
            return
    if brightest < BLACK:
        raise InvalidShotError("not-black", f"no pixel is brighter than {brightest} of 255")
    raise InvalidShotError("not-constant", "every frame has one colour")
