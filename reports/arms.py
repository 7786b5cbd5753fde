"""Arms of a comparison: the runs of one method that differ in their seed only, and what stands between two arms.

A run is paired with runs of the same seed, story by story and shot by shot, and only where both were asked to film the same
story, word for word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.tables import RunScores
from stbench.manifest import Manifest
from stbench.scores import Score
from stbench.stats import Unit


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One method with all its settings; a run per seed.

    Attributes:
        title: How tables call it.
        runs: Its runs; all of one identity, no seed twice.
    """

    title: str
    runs: tuple[RunScores, ...]

    @property
    def manifest(self) -> Manifest:
        """That of its first run: method and identity are those of all."""
        return self.runs[0].run.manifest

    @property
    def seeds(self) -> set[int]:
        """Seeds that were filmed."""
        return {run.run.manifest.seed for run in self.runs}

    def rows(self, metric: str, protocol: str, stories: Mapping[str, object], seeds: set[int] | None) -> dict[Unit, Score]:
        """All rows of a metric in these stories; without `seeds`, those of its first run, whatever its seed."""
        found: dict[Unit, Score] = {}
        for run in self.runs if seeds else self.runs[:1]:
            seed = run.run.manifest.seed
            if seeds and seed not in seeds:
                continue
            for row in run.scores:
                if row.metric == metric and row.protocol == protocol and row.story in stories:
                    found[(seed if seeds else None, row.story, row.shot)] = row
        return found


def arms_of(runs: Sequence[RunScores]) -> list[Arm]:
    """Group runs: same identity and another seed joins an arm, unless that would leave one arm and nothing to compare."""
    groups: list[list[RunScores]] = []
    for run in runs:
        home = next((group for group in groups if _joins(run, group)), None)
        if home is None:
            groups.append([run])
        else:
            home.append(run)
    if len(groups) == 1:
        groups = [[run] for run in runs]
    titles = [group[0].title if len(group) == 1 else _shared_title(group) for group in groups]
    return [
        Arm(title=title if titles.count(title) == 1 else group[0].title, runs=tuple(group))
        for title, group in zip(titles, groups, strict=True)
    ]


def _joins(run: RunScores, group: Sequence[RunScores]) -> bool:
    m, first = run.run.manifest, group[0].run.manifest
    alike = m.identity_digest == first.identity_digest and m.method == first.method and m.suite.digest == first.suite.digest
    return alike and all(m.seed != other.run.manifest.seed for other in group)


def _shared_title(group: Sequence[RunScores]) -> str:
    m = group[0].run.manifest
    return group[0].title.removesuffix(f" seed {m.seed}") if group[0].title != m.name else m.method


def shared_stories(base: Arm, new: Arm) -> dict[str, object]:
    """Id → story, for the stories that all runs of both arms were asked for, word for word."""
    every = [{story.id: story for story in run.run.stories} for arm in (base, new) for run in arm.runs]
    return {id: story for id, story in every[0].items() if all(other.get(id) == story for other in every[1:])}


def shared_seeds(base: Arm, new: Arm) -> set[int] | None:
    """Seeds of both arms; None where there is none, and pairs are then of the same story and shot only."""
    return (base.seeds & new.seeds) or None


def flags(base: Arm, new: Arm) -> list[str]:
    """What a reader must know before comparing these two arms; nothing for two that are alike but for the method."""
    lines = []
    before, after = base.manifest, new.manifest
    if before.suite.digest != after.suite.digest:
        lines.append(
            f"suite is {_suite(before)} in the base and {_suite(after)} in {new.title}: only stories that are the same are compared"
        )
    elif len(shared_stories(base, new)) < max(len(run.run.stories) for arm in (base, new) for run in arm.runs):
        lines.append(f"not all stories are in both: {len(shared_stories(base, new))} are compared with {new.title}")
    if before.device != after.device:
        lines.append(f"device is {before.device} in the base and {after.device} in {new.title}: times are not compared, pixels may differ")
    if shared_seeds(base, new) is None:
        lines.append(f"no seed is in both ({_seeds(base)} and {_seeds(new)}): paired by story and shot, first run of each")
    elif base.seeds != new.seeds:
        lines.append(f"seeds are {_seeds(base)} in the base and {_seeds(new)} in {new.title}: only those in both are compared")
    for run in (*base.runs, *new.runs):
        if run.status != "complete":
            lines.append(f"{run.title} is {run.status}")
    return lines


def _seeds(arm: Arm) -> str:
    return ", ".join(str(seed) for seed in sorted(arm.seeds))


def _suite(manifest: Manifest) -> str:
    return f"{manifest.suite.name} {manifest.suite.version} ({manifest.suite.digest[:12]})"
