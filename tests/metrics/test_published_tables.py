"""Published numbers: what the papers say about them holds of the stored ones, and they are shown as published."""

import json

import pytest

from stbench.cli import main
from stbench.published import published_tables


def said(capsys, *words):
    with pytest.raises(SystemExit):
        main(list(words))
    return capsys.readouterr()


def test_the_gains_that_the_paper_states_follow_from_the_stored_rows():
    rows = {row.method: row.values["cross_shot_consistency"] for row in published_tables("storymem-paper")[0].rows}
    assert rows["StoryMem"] / rows["Wan2.2-T2V, shots independent"] - 1 == pytest.approx(0.287, abs=5e-4)
    assert rows["StoryMem"] / rows["HoloCine"] - 1 == pytest.approx(0.094, abs=5e-4)


def test_every_column_is_a_metric_of_the_protocol(capsys):
    data = json.loads(said(capsys, "protocol", "storymem-paper", "--json").out)
    names = {metric["name"] for metric in data["metrics"]}
    assert all(set(row["values"]) == names for table in data["published"] for row in table["rows"])
    assert all("arXiv" in table["source"] for table in data["published"])


def test_a_name_is_never_a_path():
    assert published_tables("../published/storymem-paper") == ()


def test_the_command_prints_choices_and_published_rows_in_80_columns(capsys):
    done = said(capsys, "protocol", "storymem-paper")
    assert "32 tokens" in done.out
    assert "published, not measured here" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    assert "did you mean 'storymem-paper'?" in said(capsys, "protocol", "storymem-papr").err
