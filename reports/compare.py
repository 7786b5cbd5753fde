"""`stbench compare BASE NEW...`: from run folders to a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from reports.comparison import Comparison, compare
from reports.runs import check_runs, label
from reports.tables import read_scores
from reports.views import titles_of
from stbench.store import RunFolder


def compare_runs(runs: Sequence[RunFolder]) -> Comparison:
    """Compare the first run, and those that differ from it in the seed only, with the others.

    Raises:
        UserError: Fewer than two runs, one given twice, one without scores, or no story in common.
    """
    check_runs(runs)
    return compare(read_scores(runs, titles_of([label(run) for run in runs])))
