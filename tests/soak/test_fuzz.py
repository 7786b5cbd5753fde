"""A few fuzzed inputs of every kind; `tox -e soak` tries many more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kills import WORDS, KillTest
from mutator import ODD_TEXT, Mutator
from targets import SHARES

HERE = Path(__file__).parent
INPUTS = 1_500


@pytest.fixture(scope="module")
def whole(tmp_path_factory, server) -> Path:
    whole = KillTest(tmp_path_factory.mktemp("fuzz"), server).whole
    server.run(WORDS, whole)  # once more, so that its caches are there
    return whole


def test_no_fuzzed_input_ends_in_a_traceback_a_hang_or_an_escape(whole, tmp_path):
    words = [sys.executable, str(HERE / "fuzz.py"), str(whole), str(tmp_path / "sandbox"), str(INPUTS), "3"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if " tried " in line]
    assert len(lines) == len(SHARES)
    assert all(line[line.index("tried") - 1] == line[line.index("clean") - 1] for line in lines), done.stdout
    assert all(int(line[line.index("read") - 1]) >= 1 for line in lines), "the good inputs are read"


def environment() -> dict[str, str]:
    import os

    from forked import PATHS

    return {**os.environ, "PYTHONPATH": os.pathsep.join(PATHS)}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(ODD_TEXT),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.sampled_from(("id", "shots", "scenes")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_is_a_story_or_a_clear_error(data):
    from stbench.errors import UserError
    from stbench.story import parse_story

    said, story = "", None
    try:
        story = parse_story(data, source="here", id="x")
    except UserError as error:
        said = str(error)
    assert "\n" not in said
    assert said or story.shots


@given(st.binary(max_size=300), st.integers(0, 2**32))
def test_the_same_seed_makes_the_same_bad_inputs(data, seed):
    assert Mutator(seed).bytes(data) == Mutator(seed).bytes(data)
