"""Films: the shots of a story in one mp4, joined from the records, for people to look at. Never scored; may be deleted."""

from __future__ import annotations

from pathlib import Path

from stbench.files import loud, make_folder, publish, read_small_json, temp_path, write_json
from stbench.keys import file_sha256
from stbench.seal import broken, sealed
from stbench.store import RunFolder, StoryRecords


def write_film(folder: RunFolder, part: StoryRecords) -> Path | None:
    """Join the finished shots of one story; kept if it is already made of the same shots.

    Returns:
        The film, or None if no shot is finished.
    """
    from stbench.video import VideoError, concat, read_mp4

    if not part.records:
        return None
    path = folder.film_path(part.story.id)
    facts = {"shots": [record.video.sha256 for record in part.records], "complete": part.complete}
    if film_is_current(path, facts):
        return path
    temp = temp_path(path)
    make_folder(path.parent)
    try:
        with loud(path):
            count = concat([folder.shot_video(record) for record in part.records], temp)
        if len(read_mp4(temp)[0]) != count:
            raise VideoError("does not decode to the frames it was written from", where=str(path))
        with loud(path):
            path.with_suffix(".json").unlink(missing_ok=True)  # facts never stand beside a film that they are not about
        publish(temp, path)
    finally:
        temp.unlink(missing_ok=True)
    write_json(path.with_suffix(".json"), sealed({**facts, "frames": count, "sha256": file_sha256(path)}))
    return path


def film_is_current(path: Path, facts: dict[str, object]) -> bool:
    """The film exists unaltered and was joined from exactly these shots."""
    try:
        stored = read_small_json(path.with_suffix(".json"))
        same = all(stored[key] == value for key, value in facts.items()) and not broken(stored)
        return same and file_sha256(path) == stored["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
