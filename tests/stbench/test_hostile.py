"""What a stranger may hand us: nothing is written or followed outside of the run folder, nothing hangs, nothing unpacks without end."""

from __future__ import annotations

import json
import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from stbench.check import check_run
from stbench.errors import InvalidRunError, UserError
from stbench.opening import MAX_CLIP_BYTES, MAX_FRAME_PX, VideoError, open_video
from stbench.seal import sealed
from stbench.store import RunFolder
from stbench.story import safe_id
from stbench.video import read_mp4, read_png, write_mp4, write_png

ODD_NAMES = [
    "../../x",
    "/etc/x",
    "a\x00b",
    "",
    ".",
    "a/b",
    "..\\x",
    "a" * 300,
    "\u202etxt.exe",
    "\ud800",
    " x",
    "x.",
    "con",
    7,
    None,
    ["x"],
]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()}


@pytest.fixture
def run(film, run_words, tmp_path) -> Path:
    film(*run_words)
    return tmp_path / "run"


def change_manifest(run: Path, change) -> None:
    data = json.loads((run / "manifest.json").read_text())
    change(data)
    (run / "manifest.json").write_text(json.dumps(sealed(data)))


@pytest.mark.parametrize("name", ODD_NAMES, ids=[ascii(name)[:12] for name in ODD_NAMES])
def test_a_manifest_cannot_name_a_story_that_leaves_the_folder(run, film, name):
    change_manifest(run, lambda data: data["stories"][0].update(id=name))
    before = tree(run.parent)
    with pytest.raises(InvalidRunError, match=r"not a plain name|not a story|string"):
        RunFolder.open(run)
    for words in (("check", run), ("score", run), ("report", run)):
        assert film(*words).code == 4
    assert tree(run.parent) == before


@pytest.mark.parametrize("field", ["scene", "number", "index"])
@pytest.mark.parametrize("value", ["../../x", -1, 10**30, 1.5, None, True])
def test_a_manifest_cannot_name_a_shot_that_leaves_the_folder(run, field, value):
    change_manifest(run, lambda data: data["stories"][0]["shots"][0].update({field: value}))
    with pytest.raises(InvalidRunError):
        RunFolder.open(run)


@pytest.mark.parametrize("place", ["shots/ant", "films", "report", "cache", "events.jsonl", "shots/bee/01_01.mp4"])
def test_a_link_that_leads_out_of_the_run_folder_is_never_followed(run, run_words, film, tmp_path, place):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("years of work")
    target = outside if "." not in place else outside / "precious"
    path = run / place
    if path.is_dir():
        path.rename(tmp_path / "moved")
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    for words in (run_words, ("check", run), ("score", run), ("report", run)):
        done = film(*words)
        assert done.code == 4
        assert "symbolic link that leads out" in done.err
    assert tree(outside) == {str(outside / "precious"): b"years of work"}


def test_a_lock_that_is_a_link_does_not_empty_what_it_points_to(run_words, film, tmp_path):
    (tmp_path / "precious").write_text("years of work")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
    assert film(*run_words).code == 3
    assert (tmp_path / "precious").read_text() == "years of work"


def test_a_pipe_in_a_run_folder_is_refused_and_does_not_hang(run, run_words, film):
    (run / "timing.jsonl").unlink()
    os.mkfifo(run / "timing.jsonl")
    for words in (run_words, ("check", run)):
        done = film(*words)
        assert done.code == 4
        assert "neither a file nor a folder" in done.err


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "con", "NUL", "lpt1", "a" * 300, "\u202etxt.exe", "\x00", ""])
def test_story_names_become_file_names_on_every_system(name):
    made = safe_id(name)
    assert made == Path(made).name
    assert 0 < len(made) <= 65
    assert made.lower() not in ("con", "nul", "lpt1")
    assert made.isascii()
    assert safe_id(made) == made


def big_png(width: int, height: int) -> bytes:
    """A black one-bit picture: a few kilobytes, however large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + (width + 7) // 8)) for _ in range(height)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )


def test_a_picture_of_16k_pixels_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(big_png(16384, 16384))
    assert path.stat().st_size < 100_000
    with pytest.raises(VideoError, match=rf"is 16384x16384 pixels large; expected at most \d+ pixels; .* set {MAX_FRAME_PX}"):
        read_png(path)


def test_the_limits_of_pictures_and_clips_can_be_raised_and_lowered(tmp_path, monkeypatch):
    frames = np.full((4, 32, 32, 3), 90, np.uint8)
    write_mp4(tmp_path / "a.mp4", frames, 8)
    write_png(tmp_path / "a.png", frames[0])
    monkeypatch.setenv(MAX_FRAME_PX, "1023")
    for read, name in ((read_mp4, "a.mp4"), (read_png, "a.png")):
        with pytest.raises(VideoError, match="is 32x32 pixels large; expected at most 1023"):
            read(tmp_path / name)
    monkeypatch.setenv(MAX_FRAME_PX, "1024")
    assert read_png(tmp_path / "a.png").shape == (32, 32, 3)
    monkeypatch.setenv(MAX_CLIP_BYTES, str(4 * 32 * 32 * 3 - 1))
    with pytest.raises(VideoError, match=f"unpacks to more than 12287 bytes; .* set {MAX_CLIP_BYTES}"):
        read_mp4(tmp_path / "a.mp4")
    monkeypatch.setenv(MAX_CLIP_BYTES, "much")
    with pytest.raises(UserError, match="expected a whole number"):
        read_mp4(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile 'http://127.0.0.1:{port}/a.mp4'\n",
        "<?xml version='1.0'?><MPD><BaseURL>http://127.0.0.1:{port}/</BaseURL></MPD>",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
    ids=["m3u8", "concat", "dash", "sdp"],
)
def test_a_playlist_that_calls_itself_mp4_starts_no_connection(tmp_path, text):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        path = tmp_path / "clip.mp4"
        path.write_text(text.format(port=listener.getsockname()[1]))
        with pytest.raises(VideoError):
            read_mp4(path)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_file_name_that_looks_like_an_address_is_a_file_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a.mp4|b.mp4", "pipe:0", "data:text,x"):
        with pytest.raises(VideoError), open_video(Path(name)):
            pass
    write_mp4(tmp_path / "a.mp4", np.full((2, 16, 16, 3), 90, np.uint8), 8)
    (tmp_path / "a.mp4").rename(tmp_path / "subfile:x.mp4")
    assert len(read_mp4(Path("subfile:x.mp4"))[0]) == 2


def test_a_video_with_metadata_that_is_no_text_can_be_read(tmp_path):
    path = tmp_path / "a.mp4"
    write_mp4(path, np.full((2, 16, 16, 3), 90, np.uint8), 8)
    data = path.read_bytes()
    assert b"isomiso2" in data
    path.write_bytes(data.replace(b"isomiso2", b"isom\xe9\xff\xfe2"))
    assert len(read_mp4(path)[0]) == 2


def test_a_stopped_check_of_a_hostile_folder_writes_nothing(run):
    (run / "events.jsonl").write_bytes(b'{"event": ' + b"[" * 100_000)
    (run / "scores.jsonl").write_bytes(b"[" * 100_000)
    before = set(tree(run))
    assert check_run(run).verdict == "invalid"
    assert set(tree(run)) <= before


def test_scripts_in_names_and_prompts_are_inert_in_every_report(film, scripts, run_words, tmp_path):
    from reports.report import write_report

    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`=1+1"
    for path in scripts.glob("*.json"):
        data = json.loads(path.read_text()) | {"story_name": evil, "story_overview": evil}
        for scene in data["scenes"]:
            scene["video_prompts"] = [evil for _ in scene["video_prompts"]]
        path.write_text(json.dumps(data))
    film(*run_words)
    write_report([RunFolder.open(tmp_path / "run")], tmp_path / "report")
    texts = [path for path in (tmp_path / "report").rglob("*") if path.suffix in (".html", ".md", ".svg", ".tex", ".csv")]
    assert texts
    for path in texts:
        text = path.read_text().lower()
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
        assert "javascript:" not in text, path


@pytest.mark.parametrize("name", ["a" * 300 + ".mp4", "a\x00.mp4", "../x.mp4", "", ".."])
def test_a_record_cannot_name_a_file_that_no_folder_can_hold(run, name):
    path = run / "shots" / "ant" / "01_01.json"
    data = json.loads(path.read_text())
    data["video"]["name"] = name
    path.write_text(json.dumps(sealed(data)))
    assert "records" in {problem.rule for problem in check_run(run).problems}


def test_what_a_run_folder_says_does_not_steer_the_terminal(run, film):
    evil = "x\x1b[31m\x07"

    def spoil(data):
        data |= dict.fromkeys(("name", "method", "description", "protocol"), evil) | {"options": {evil: evil}}
        data["suite"] |= {"name": evil}

    change_manifest(run, spoil)
    for name, change in (
        ("scores.jsonl", {"metric": evil, "story": evil}),
        ("timing.jsonl", {"stage": evil, "story": evil, "seconds": evil}),
    ):
        first, *rest = (run / name).read_text().splitlines()
        (run / name).write_text("\n".join([json.dumps(sealed(json.loads(first) | change)), *rest, ""]))
    for words in (("check", run), ("report", run), ("compare", run, run)):
        done = film(*words)
        assert "x?[31m?" in done.err + done.out or words[0] != "check"
        assert not {"\x1b", "\x07"} & set(done.out + done.err), words


@pytest.mark.parametrize("option", ["--suite", "--out", "--reference"])
def test_a_name_too_long_for_the_system_is_one_line(film, run_words, option):
    done = film(*run_words, option, "a" * 5000)
    assert done.code == 2
    assert "File name too long" in done.err
    assert len(done.err) < 300


@pytest.mark.parametrize(
    "words",
    [
        "rm -rf /",
        "stbench run --method external --set recipe=evil.yaml",
        "stbench run --method=external --set recipe=evil.yaml",
        "stbench run --method frozen --method holocine --set environment=evil/python",
        "stbench run --suite world",
    ],
)
def test_a_journal_cannot_make_a_gate_start_a_program(run, words):
    from stbench.gating.noise import command_of
    from stbench.journal import Journal

    Journal(run / "events.jsonl", lambda: 1.0).add("run_continued", command=words)
    with pytest.raises(UserError, match=r"journal knows no `stbench run` command|command is not repeated"):
        command_of(RunFolder.open(run))


def test_a_repetition_keeps_the_command_of_an_ordinary_run_and_uploads_nothing(run):
    from stbench.gating.noise import command_of
    from stbench.journal import Journal

    Journal(run / "events.jsonl", lambda: 1.0).add(
        "run_continued", command="stbench run --method frozen --out x --mirror s3://a/b --seed 3"
    )
    assert command_of(RunFolder.open(run)) == ["run", "--method", "frozen", "--seed", "3"]


@pytest.mark.parametrize("file", ["events.jsonl", "timing.jsonl", "scores.jsonl"])
def test_odd_values_in_lines_of_older_runs_end_in_no_traceback(run, film, file):
    lines = [json.loads(line) for line in (run / file).read_text().splitlines()]
    spoilt = []
    for line in lines:
        line.pop("seal")  # older runs had none, so nothing but the reader stands in between
        spoilt += [line | {name: odd} for name in line for odd in ([1], {"a": 1}, 10**400, "\x1b", True, None, -1e308)]
    (run / file).write_text("".join(json.dumps(line) + "\n" for line in spoilt))
    assert film("check", run).code == 4
    assert film("check", run, "--json").code == 4
    assert film("report", run).code in (0, 3, 4)


def test_a_list_of_other_files_that_calls_itself_mp4_reads_none_of_them(tmp_path):
    write_mp4(tmp_path / "private.mp4", np.full((2, 16, 16, 3), 90, np.uint8), 8)
    (tmp_path / "clip.mp4").write_text("ffconcat version 1.0\nfile private.mp4\n")
    with pytest.raises(VideoError, match="cannot be decoded"):
        read_mp4(tmp_path / "clip.mp4")
