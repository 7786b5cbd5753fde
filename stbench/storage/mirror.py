"""A mirror: finished shots of a run in an object store (s3://, gs://, any fsspec URL), so that a machine may vanish with its disk.

An object store renames nothing and may list late, so nothing is renamed and nothing listed. Files are stored by what they hold,
`objects/<sha256>`, so a new version never overwrites an old one; each is read back and compared; only then is the shot's record
written, which is the commit. A reader takes a shot only if its record is whole and of this run, and every file has the recorded sha256.

Credentials come from the environment or the storage library's own settings, never from the URL, so none can get into our files.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.errors import EXIT_PARTIAL, InvalidRunError, UserError
from stbench.files import make_folder, publish, temp_path, write_bytes
from stbench.journal import Journal, read_journal
from stbench.keys import story_keys
from stbench.record import ShotRecord, as_input, read_record
from stbench.verified import Verified

if TYPE_CHECKING:
    from stbench.store import RunFolder
    from stbench.story import Story

ATTEMPTS = 8
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 20.0


class MirrorError(UserError):
    """The store kept refusing. Everything is safe in the run folder."""

    exit_code = EXIT_PARTIAL


class Mirror:
    """The mirror of one run.

    Args:
        url: Where it is; a folder for this run alone.
        store: An fsspec file system; made from the URL if missing.
        sleep: Waits between attempts.

    Raises:
        UserError: No such storage, or a URL with a password in it.
    """

    def __init__(self, url: str, *, store: Any = None, sleep: Callable[[float], None] = time.sleep):
        self.url, self._sleep = check_url(url), sleep
        self._store, self._root = (store, url.partition("://")[2]) if store is not None else _open(url)

    def push(self, folder: RunFolder, record: ShotRecord) -> None:
        """Store a finished shot: its files, each compared, then its record.

        Raises:
            MirrorError: The store kept refusing.
        """
        for file in record.files:
            self.put(f"objects/{file.sha256}", folder.file(record, file).read_bytes())
        self.put(self._record(record.story, record.shot), folder.record_path(record.story, record.shot).read_bytes())

    def pull(self, folder: RunFolder, story: Story, verified: Verified) -> list[ShotRecord]:
        """Fetch the shots of a story that are not here, in order, where they follow from the shots before.

        Raises:
            MirrorError: The store kept refusing. A damaged or foreign record is no error; its shot is made again.
        """
        from stbench.filming import reusable

        keys = story_keys(identity=folder.manifest.identity, story=story, run_seed=folder.manifest.seed)
        there = [record for _, record in reusable(folder, story, verified=verified)]
        before: list[ShotRecord] = []
        fetched: list[ShotRecord] = []
        for shot, key, here in zip(story.shots, keys, there, strict=True):
            record = here or self._fetch(folder, story.id, shot.id, key, before)
            if record is None:
                continue
            before.append(record)
            if here is None:
                fetched.append(record)
        return fetched

    def _fetch(self, folder: RunFolder, story: str, shot: str, key: str, before: list[ShotRecord]) -> ShotRecord | None:
        data = self.get(self._record(story, shot))
        if data is None:
            return None
        path = folder.record_path(story, shot)
        temp = temp_path(path)
        make_folder(path.parent)
        try:
            temp.write_bytes(data)
            try:
                record = read_record(temp)
            except InvalidRunError:
                return None
            if record is None or not record.intact or (record.story, record.shot, record.shot_key) != (story, shot, key):
                return None
            if record.inputs != tuple(as_input(done) for done in before) or not self._fetch_files(folder, record):
                return None
            publish(temp, path)
            return record
        finally:
            temp.unlink(missing_ok=True)

    def _fetch_files(self, folder: RunFolder, record: ShotRecord) -> bool:
        """All files of a record, compared and written; False if one is missing or differs."""
        for file in record.files:
            data = self.get(f"objects/{file.sha256}")
            if data is None or _sha256(data) != file.sha256:
                return False
            write_bytes(folder.file(record, file), data)
        return True

    def put(self, name: str, data: bytes) -> None:
        """Write an object and read it back, until it holds what it should."""

        def write() -> None:
            if self._read(name) != data:
                self.put_once(name, data)
                if self._read(name) != data:
                    raise OSError("it does not hold what was written")

        self._persist(name, write)

    def put_once(self, name: str, data: bytes) -> None:
        """One request; whatever the storage library raises."""
        self._store.pipe_file(f"{self._root}/{name}", data)

    def create(self, name: str, data: bytes) -> bool:
        """Write an object that nobody wrote before; False if somebody did. `data` must be nobody else's."""
        created = []

        def write() -> None:
            there = self._read(name)  # an earlier attempt may have been stored, and its answer lost
            if there is None:
                try:
                    self._store.pipe_file(f"{self._root}/{name}", data, mode="create")
                    there = data
                except FileExistsError:
                    there = self._read(name)
            created.append(there == data)

        self._persist(name, write)
        if created[-1]:
            self.put(name, data)  # the store may have kept half of it
        return created[-1]

    def get(self, name: str) -> bytes | None:
        """What an object holds; None if it is not there."""
        found: list[bytes | None] = []
        self._persist(name, lambda: found.append(self._read(name)))
        return found[-1]

    def _read(self, name: str) -> bytes | None:
        try:
            return bytes(self._store.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            return None

    def _persist(self, name: str, act: Callable[[], None]) -> None:
        """Try again after a pause that doubles, cut by chance so that many workers do not come back together."""
        for attempt in range(ATTEMPTS):
            try:
                act()
                return
            except Exception as error:  # whatever a storage library raises is one failed request
                if attempt == ATTEMPTS - 1:
                    reason = f"{type(error).__name__}: {str(error)[:200]}"
                    raise MirrorError(
                        f"{name} cannot be stored or read after {ATTEMPTS} attempts ({reason})",
                        where=f"--mirror {self.url}",
                        hint="the run folder is safe; repeat the command",
                    ) from error
                self._sleep(min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S) * random.uniform(0.5, 1.0))  # noqa: S311 (no secret)

    def _record(self, story: str, shot: str) -> str:
        return f"shots/{story}/{shot}.json"


def places(out: str | None, mirror: str | None) -> tuple[Path | None, str | None]:
    """`--out` and `--mirror` as given → the run folder and the mirror. A run whose `--out` is a URL is filmed in a folder named after it.

    Example:
        >>> places("runs/mine", "s3://bucket/run")
        (PosixPath('runs/mine'), 's3://bucket/run')
        >>> places("s3://bucket/team/run", None)
        (PosixPath('runs/bucket-team-run'), 's3://bucket/team/run')
    """
    if out is None or "://" not in out:
        return Path(out) if out else None, check_url(mirror) if mirror else None
    url = check_url(out, flag="--out")
    if mirror:
        raise UserError("--mirror is given too", where=f"--out {out}", expected="one URL")
    return Path("runs") / re.sub(r"[^A-Za-z0-9._]+", "-", url.partition("://")[2]), url


def check_url(url: str, *, flag: str = "--mirror") -> str:
    """Refuse what is no URL, and a URL that carries a password.

    Example:
        >>> check_url("s3://bucket/run")
        's3://bucket/run'
        >>> check_url("s3://me:secret@bucket/run")
        Traceback (most recent call last):
        ...
        stbench.errors.UserError: --mirror: the URL carries credentials; expected them in the environment, such as AWS_PROFILE
    """
    scheme, divider, rest = url.partition("://")
    if not divider or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) or not rest.strip("/"):
        raise UserError(f"found {url!r:.80}", where=flag, expected="a URL of a folder, such as s3://bucket/run")
    if "@" in rest.partition("/")[0] or "?" in rest:
        raise UserError("the URL carries credentials", where=flag, expected="them in the environment, such as AWS_PROFILE")
    return url.rstrip("/")


def _open(url: str) -> tuple[Any, str]:
    """The file system of a URL, without its caches of listings, and the path within it; a disk's makes folders, as a bucket needs none."""
    import fsspec

    folders = {"auto_mkdir": True} if url.startswith("file://") else {}
    try:
        store, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **folders)
    except (ImportError, ValueError) as error:
        raise UserError(f"{str(error)[:200]}", where=f"--mirror {url}", expected="a storage that fsspec knows") from error
    return store, str(root).rstrip("/")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def publisher(url: str | None, folder: RunFolder, journal: Journal) -> Callable[[ShotRecord], None]:
    """What to do with each shot when it is finished. A store that refuses does not stop the run: `push_rest` tries again at its end."""
    if url is None:
        return lambda record: None
    mirror = Mirror(url)

    def push(record: ShotRecord) -> None:
        facts = {"story": record.story, "shot": record.shot, "key": record.shot_key}
        try:
            mirror.push(folder, record)
        except MirrorError as error:
            journal.add("mirror_behind", **facts, reason=str(error))
        else:
            journal.add("shot_mirrored", **facts, url=mirror.url)

    return push


def fetch_all(url: str | None, folder: RunFolder, now: Callable[[], float]) -> int:
    """Fetch every shot of a run that is in its mirror and not here; returns how many."""
    if url is None:
        return 0
    mirror, verified, fetched = Mirror(url), Verified(folder.path), 0
    with closing(Journal(folder.events_path, now)) as journal:
        for story in folder.stories:
            for record in mirror.pull(folder, story, verified):
                journal.add("shot_fetched", story=record.story, shot=record.shot, key=record.shot_key, url=mirror.url)
                fetched += 1
    return fetched


def push_rest(url: str | None, folder: RunFolder, now: Callable[[], float]) -> None:
    """Store every finished shot of which the journal does not know that the mirror has it.

    Raises:
        MirrorError: The store kept refusing.
    """
    if url is None:
        return
    mirror = Mirror(url)
    events = read_journal(folder.events_path).events
    known = {
        event.get("key") for event in events if event.get("event") in ("shot_mirrored", "shot_fetched") and event.get("url") == mirror.url
    }
    with closing(Journal(folder.events_path, now)) as journal:
        for record in (record for part in folder.story_records() for record in part.records):
            if record.shot_key not in known:
                mirror.push(folder, record)
                journal.add("shot_mirrored", story=record.story, shot=record.shot, key=record.shot_key, url=mirror.url)


def push_results(url: str | None, folder: RunFolder) -> None:
    """Store what was made of the shots, under `results/`: manifest, scores, films, report. For people; nothing is read from there.

    Raises:
        MirrorError: The store kept refusing.
    """
    if url is None:
        return
    mirror = Mirror(url)
    found = [folder.path / "manifest.json", folder.scores_path]
    for part in (folder.path / "films", folder.report_path):
        found += sorted(path for path in part.rglob("*") if path.is_file())
    for path in found:
        if path.is_file():
            mirror.put(f"results/{path.relative_to(folder.path)}", path.read_bytes())
