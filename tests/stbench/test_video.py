from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stbench.methods import ShotResult
from stbench.validity import InvalidShotError, check_result
from stbench.video import VideoError, concat, decodes_to, read_mp4, read_png, write_mp4, write_png


def picture(frames: int = 5, height: int = 48, width: int = 80) -> np.ndarray:
    """Flat areas and an edge, as Story World draws them."""
    clip = np.full((frames, height, width, 3), (120, 180, 240), np.uint8)
    for k in range(frames):
        clip[k, height // 2 :, k : k + 12] = (200, 40, 30)
    return clip


@pytest.mark.parametrize("size", [(48, 80), (16, 16), (47, 81)])
@pytest.mark.parametrize("fps", [8, 16, 23.976])
def test_what_is_written_is_read_back(tmp_path: Path, size, fps):
    clip = picture(5, *size)
    write_mp4(tmp_path / "a.mp4", clip, fps)
    frames, found = read_mp4(tmp_path / "a.mp4")
    assert frames.shape == clip.shape
    assert frames.dtype == np.uint8
    assert found == pytest.approx(fps, rel=1e-3)
    assert decodes_to(tmp_path / "a.mp4") == (frames.shape, found)
    difference = np.abs(frames.astype(int) - clip)
    assert np.median(difference) <= 3
    assert difference.mean() < 8  # halved chroma bleeds over edges, which are much of a tiny picture


def test_a_single_frame_is_a_video(tmp_path: Path):
    write_mp4(tmp_path / "a.mp4", picture(1), 8)
    assert read_mp4(tmp_path / "a.mp4")[0].shape == (1, 48, 80, 3)


def test_the_same_frames_give_the_same_bytes(tmp_path: Path):
    for name in ("a.mp4", "b.mp4"):
        write_mp4(tmp_path / name, picture(17), 8)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_a_cut_file_is_one_clear_error(tmp_path: Path, keep: int):
    path = tmp_path / "a.mp4"
    write_mp4(path, picture(), 8)
    path.write_bytes(path.read_bytes()[:keep])
    for read in (read_mp4, decodes_to):
        with pytest.raises(VideoError, match=r"a\.mp4"):
            read(path)


def test_a_file_cut_in_its_pictures_does_not_decode_to_all_of_them(tmp_path: Path):
    path = tmp_path / "a.mp4"
    write_mp4(path, np.random.default_rng(0).integers(0, 256, (9, 48, 80, 3), dtype=np.uint8), 8)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for read in (lambda file: read_mp4(file)[0].shape, lambda file: decodes_to(file)[0]):
        try:
            shape = read(path)
        except VideoError:
            continue
        assert shape[0] < 9


def test_a_missing_file_is_one_clear_error(tmp_path: Path):
    with pytest.raises(VideoError, match="cannot be decoded"):
        read_mp4(tmp_path / "none.mp4")


def test_films_are_joined_in_order_and_only_of_one_size(tmp_path: Path):
    for name, value in (("a", 60), ("b", 160)):
        write_mp4(tmp_path / f"{name}.mp4", np.full((3, 16, 16, 3), value, np.uint8), 8)
    assert concat([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "film.mp4") == 6
    frames, _ = read_mp4(tmp_path / "film.mp4")
    assert [round(float(frame.mean()), -1) for frame in frames] == [60, 60, 60, 160, 160, 160]
    write_mp4(tmp_path / "c.mp4", picture(), 8)
    with pytest.raises(VideoError, match=r"c\.mp4: is 80x48 at 8 fps; expected 16x16"):
        concat([tmp_path / "a.mp4", tmp_path / "c.mp4"], tmp_path / "film.mp4")


def test_stills_are_lossless(tmp_path: Path):
    frame = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", frame)
    assert (read_png(tmp_path / "a.png") == frame).all()


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("frames-uint8", {"frames": picture().astype(float)}),
        ("frames-uint8", {"frames": [1, 2]}),
        ("frames-shape", {"frames": picture()[0]}),
        ("frames-shape", {"frames": picture()[:0]}),
        ("fps", {"fps": 0}),
        ("fps", {"fps": float("nan")}),
        ("not-black", {"frames": np.full((2, 8, 8, 3), 5, np.uint8)}),
        ("not-constant", {"frames": np.full((2, 8, 8, 3), (9, 90, 200), np.uint8)}),
        ("keyframe-index", {"keyframes": (5,)}),
        ("tail-length", {"tail": 6}),
    ],
)
def test_validity_rules_have_names(rule, changes):
    good = {"frames": picture(), "fps": 8.0, "keyframes": (0, 4), "tail": 5}
    check_result(ShotResult(**good))
    with pytest.raises(InvalidShotError) as caught:
        check_result(ShotResult(**{**good, **changes}))
    assert caught.value.rule == rule


def test_a_shot_that_fades_in_from_black_is_valid():
    frames = picture()
    frames[:2] = 0
    check_result(ShotResult(frames=frames, fps=8.0))


def test_on_a_cpu_with_avx512_the_same_frames_do_not_now_and_then_give_other_bytes(tmp_path: Path):
    from stbench.video import _repeatable

    (tmp_path / "new").write_text("flags\t\t: fpu sse2 avx2 avx512f avx512bw\n")
    (tmp_path / "old").write_text("flags\t\t: fpu sse2 avx2\n")
    assert _repeatable(tmp_path / "new") == {"x264-params": "asm=AVX2"}
    assert _repeatable(tmp_path / "old") == _repeatable(tmp_path / "none") == {}
