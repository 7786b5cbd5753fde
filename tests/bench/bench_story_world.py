"""Does memory work on Story World? Methods, seeds and ablations on the suite `world`, measured and laid side by side.

    python tests/bench/bench_story_world.py --runs runs/study                    four methods, seeds 0 1 2
    python tests/bench/bench_story_world.py --runs runs/study --ablate           StoryMem's switches and ranks, seed 0
    python tests/bench/bench_story_world.py --runs runs/study --markdown docs/story-world-tables.md
    python tests/bench/bench_story_world.py --runs runs/paper/runs --only-read   from the runs of `stbench paper`, same names

Runs are kept and continued: the same command makes only what is missing. `--only-read` makes nothing. Intervals are 95%, by
story; the seeds of a story fall into one cluster. Nothing here asserts: it prints, and a person judges.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lora_ranks import write_cut
from scipy import stats as scipy_stats

from stbench.errors import UserError
from stbench.scores import Score
from stbench.stats import cluster_interval
from stbench.store import RunFolder
from stbench.story import Story

MODEL = Path(__file__).parents[2] / "storymem" / "models" / "world"
METHODS = ("world-truth", "storymem", "wan-i2v-chain", "wan-t2v")
SEEDLESS = ("world-truth",)  # rendered: every seed gives the same film
ABLATIONS = (  # name → options
    ("no memory", ("memory.size=0",)),
    ("memory 1", ("memory.size=1", "memory.sink=1")),
    ("memory 3", ("memory.size=3", "memory.sink=3")),
    ("memory 5", ("memory.size=5", "memory.sink=3")),
    ("memory 10", ("memory.size=10", "memory.sink=3")),
    ("no sink", ("memory.sink=0",)),
    ("S = 0", ("positions.stride=0",)),
    ("S = 1", ("positions.stride=1",)),
    ("S = 10", ("positions.stride=10",)),
    ("sharp keyframes", ("quality=sharpness",)),
    ("release-2025-12", ("variant=release-2025-12",)),
)
RANKS = (4, 16, 32)  # the adapter cut to these, see lora_ranks.py
KEPT = ("truth_colour_kept", "truth_accessory_kept")
PROMPT = ("truth_place", "truth_species", "truth_action", "truth_size")
CONSISTENCY = ("cross_shot_consistency", "cross_shot_consistency_top10", "cross_shot_appearance", "entity_consistency")


@dataclass(frozen=True, kw_only=True)
class Films:
    """One method with all its seeds."""

    name: str
    runs: tuple[RunFolder, ...]

    @property
    def stories(self) -> dict[str, Story]:
        """Story id → script."""
        return {story.id: story for story in self.runs[0].manifest.stories}

    def rows(self, metric: str) -> Iterator[tuple[int, Score]]:
        """(place of the run, row) of every scored unit."""
        for place, run in enumerate(self.runs):
            yield from ((place, row) for row in run.scores() if row.metric == metric and row.value is not None)

    def seconds(self) -> float:
        """Median seconds that a shot took."""
        return float(np.median([record.seconds for run in self.runs for part in run.story_records() for record in part.records]))


@dataclass(frozen=True, kw_only=True)
class Table:
    """A title, a header and rows of text; printed and written alike."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """A pipe table."""
        lines = [self.header, tuple("---" if i == 0 else "---:" for i in range(len(self.header))), *self.rows]
        return f"### {self.title}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"

    def text(self) -> str:
        """Columns for a terminal."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        body = (
            "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines
        )
        return self.title + "\n" + "\n".join("  " + line.rstrip() for line in body) + "\n"


def film(
    method: str, seed: int, out: Path, options: Sequence[str], *, limit: int | None, make: bool, model: Path | None = None
) -> RunFolder | None:
    """Make or continue one run and open it; None where it is not there and nothing is to be made."""
    if make:
        command = [sys.executable, "-W", "ignore", "-m", "stbench.cli", "run", "--method", method, "--suite", "world", "--seed", str(seed)]
        command += ["--out", str(out), *(word for option in options for word in ("--set", option))]
        command += ["--limit", str(limit)] if limit else []
        command += ["--model", str(model)] if model else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 3):
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        print(f"  {out.name}: done", file=sys.stderr, flush=True)
    try:
        return RunFolder.open(out)
    except UserError:
        return None


def mean_and_interval(values: dict[str, list[float]], *, percent: bool = True) -> str:
    """`51.4 (40.5..62.0) n=255`; by story."""
    flat = [value for part in values.values() for value in part]
    if not flat:
        return "–"
    scale, digits = (100, 1) if percent else (1, 3)
    interval = cluster_interval(values)
    span = (
        "" if interval.low is None or interval.high is None else f" ({scale * interval.low:.{digits}f}..{scale * interval.high:.{digits}f})"
    )
    return f"{scale * float(np.mean(flat)):.{digits}f}{span}"


def by_story(films: Films, metric: str, keep: Callable[[Score], bool] = lambda row: True) -> dict[str, list[float]]:
    """Story id → values of all seeds."""
    found: dict[str, list[float]] = {}
    for _, row in films.rows(metric):
        if keep(row):
            found.setdefault(row.story, []).append(float(row.value or 0.0))
    return found


def difference(base: Films, new: Films, metric: str) -> dict[str, list[float]]:
    """Story id → new - base, paired by seed and shot; a method with one seed stands against every seed of the other."""
    before = {(place, row.story, row.shot): float(row.value or 0.0) for place, row in base.rows(metric)}
    after = {(place, row.story, row.shot): float(row.value or 0.0) for place, row in new.rows(metric)}
    found: dict[str, list[float]] = {}
    for place in range(max(len(base.runs), len(new.runs))):
        low, high = min(place, len(base.runs) - 1), min(place, len(new.runs) - 1)
        for at, story, shot in after:
            if at == high and (low, story, shot) in before:
                found.setdefault(story, []).append(after[at, story, shot] - before[low, story, shot])
    return found


def characters(story: Story) -> list[int]:
    """The character of each shot."""
    return [int(shot.truth["character"]) if shot.truth else -1 for shot in story.shots]


def absence(story: Story, shot_id: str) -> int:
    """Shots since the same character was last seen; 0: it was in the shot before."""
    cast, place = characters(story), next(shot.index for shot in story.shots if shot.id == shot_id)
    return next((back for back in range(place) if cast[place - 1 - back] == cast[place]), 0)


def cuts_since_first(story: Story, shot_id: str) -> int:
    """Scene cuts between the character's first shot and this one."""
    cast, place = characters(story), next(shot.index for shot in story.shots if shot.id == shot_id)
    first = cast.index(cast[place])
    return sum(shot.cut for shot in story.shots[first + 1 : place + 1])


def main_table(films: Sequence[Films]) -> Table:
    """Every metric of every method."""
    rows = [(metric, *(mean_and_interval(by_story(f, metric)) for f in films)) for metric in (*KEPT, *PROMPT)]
    rows += [(metric, *(mean_and_interval(by_story(f, metric), percent=False) for f in films)) for metric in CONSISTENCY]
    rows += [("seconds a shot, median", *(f"{f.seconds():.2f}" for f in films))]
    title = f"Methods; seeds: {', '.join(f'{f.name} {len(f.runs)}' for f in films)}; percent or cosine, 95% by story"
    return Table(title=title, header=("metric", *(f.name for f in films)), rows=tuple(rows))


def split_table(films: Sequence[Films], title: str, kind: Callable[[Story, str], str | None]) -> Table:
    """Kept colour and accessory, split by a property of the shot."""
    stories = films[0].stories
    labels = sorted({label for _, row in films[0].rows(KEPT[0]) if (label := kind(stories[row.story], str(row.shot))) is not None})
    rows = []
    for metric in KEPT:
        for label in labels:
            cells = []
            for f in films:
                values = by_story(f, metric, lambda row, f=f, label=label: kind(f.stories[row.story], str(row.shot)) == label)  # type: ignore[misc]
                cells.append(f"{mean_and_interval(values)} n={sum(map(len, values.values()))}")
            rows.append((f"{metric.removeprefix('truth_')}, {label}", *cells))
    return Table(title=title, header=("kept", *(f.name for f in films)), rows=tuple(rows))


def ranking_table(films: Sequence[Films]) -> Table:
    """Paired differences between neighbours of the expected order, and rank correlation with the truth."""
    rows = []
    for better, worse in itertools.pairwise(films):
        rows.append(
            (f"{better.name} - {worse.name}", *(mean_and_interval(difference(worse, better, m), percent=False) for m in CONSISTENCY))
        )
    correlations = []
    for metric in CONSISTENCY:
        learned, truth = [], []
        for f in films:
            kept, cosine = by_story(f, KEPT[0]), by_story(f, metric)
            shared = [story for story in kept if story in cosine]
            truth += [float(np.mean(kept[story])) for story in shared]
            learned += [float(np.mean(cosine[story])) for story in shared]
        correlations.append(f"{scipy_stats.spearmanr(learned, truth).statistic:.3f} n={len(truth)}" if len(truth) > 2 else "–")
    rows.append(("Spearman with colour kept, stories × methods", *correlations))
    return Table(title="Does learned consistency rank as the truth does?", header=("paired difference", *CONSISTENCY), rows=tuple(rows))


def tables(films: Sequence[Films]) -> list[Table]:
    """Everything about the methods."""

    def cast(story: Story, shot: str) -> str:
        return "two characters" if len(set(characters(story))) > 1 else "one character"

    def away(story: Story, shot: str) -> str | None:
        return f"absent {absence(story, shot)}" if len(set(characters(story))) > 1 else None

    def cuts(story: Story, shot: str) -> str:
        return f"{min(cuts_since_first(story, shot), 6)}{'+' if cuts_since_first(story, shot) >= 6 else ''} cuts since first"

    return [
        main_table(films),
        ranking_table(films),
        split_table(films, "One or two characters", cast),
        split_table(films, "Shots since the character was last seen (stories with two characters)", away),
        split_table(films, "Scene cuts since the character's first shot", cuts),
    ]


def collect(root: Path, methods: Sequence[str], seeds: Sequence[int], *, limit: int | None, make: bool) -> list[Films]:
    """The runs of every method."""
    found = []
    for method in methods:
        runs = [
            film(method, seed, root / f"{method}-s{seed}", (), limit=limit, make=make)
            for seed in (seeds[:1] if method in SEEDLESS else seeds)
        ]
        there = tuple(run for run in runs if run is not None)
        if there:
            found.append(Films(name=method, runs=there))
    return found


def ablations(root: Path, seed: int, *, limit: int | None, make: bool) -> Table:
    """StoryMem with one switch moved at a time, and with its adapter cut to lower ranks."""
    runs = {"storymem": film("storymem", seed, root / f"storymem-s{seed}", (), limit=limit, make=make)}
    for name, sets in ABLATIONS:
        out = root / f"storymem-{'-'.join(sets).replace('=', '_')}-s{seed}"
        runs[name] = film("storymem", seed, out, sets, limit=limit, make=make)
    for rank in RANKS:
        model = write_cut(MODEL, rank, root / "models" / f"rank-{rank}") if make else None
        out = root / f"storymem-rank-{rank}-s{seed}"
        runs[f"rank cut to {rank}"] = film("storymem", seed, out, (), limit=limit, make=make, model=model)
    return main_table([Films(name=name, runs=(run,)) for name, run in runs.items() if run is not None])


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/study"), help="where runs are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--limit", type=int, help="only the first N stories")
    parser.add_argument("--ablate", action="store_true", help="also StoryMem's switches and ranks, with the first seed")
    parser.add_argument("--only-read", action="store_true", help="make nothing")
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    options = parser.parse_args()
    make = not options.only_read
    found = tables(collect(options.runs, options.methods, options.seeds, limit=options.limit, make=make))
    if options.ablate:
        found.append(ablations(options.runs, options.seeds[0], limit=options.limit, make=make))
    print("\n".join(table.text() for table in found))
    if options.markdown:
        options.markdown.write_text("\n".join(table.markdown() for table in found))


if __name__ == "__main__":
    main()
