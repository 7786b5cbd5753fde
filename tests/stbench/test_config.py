from __future__ import annotations

from dataclasses import fields

import pytest

from stbench.config import RunConfig, check_device, default_out, parse_options, resolve_device
from stbench.errors import UserError


def test_every_setting_is_marked_identity_or_runtime():
    """Decide for a new field whether it can change pixels or scores (identity) or not (runtime)."""
    assert {f.name for f in fields(RunConfig) if f.metadata.get("role") == "identity"} == {
        "method",
        "suite",
        "model",
        "seed",
        "options",
        "protocol",
        "references",
    }
    assert [f.name for f in fields(RunConfig) if f.metadata.get("role") not in ("identity", "runtime")] == []


@pytest.mark.parametrize("word", ["", "=", "a", "=1", " =1"])
def test_bad_options_are_refused(word):
    with pytest.raises(UserError, match="expected key=value"):
        parse_options([word])


def test_values_may_hold_equal_signs():
    assert parse_options(["a=b=c", "d="]) == {"a": "b=c", "d": ""}


@pytest.mark.parametrize("model", ["/somewhere/../my model", "my model", "../my model/"])
def test_the_run_folder_stays_below_runs(model):
    out = default_out(method="m", suite="s", model=model, seed=7, identity_digest="0123456789")
    assert out.as_posix() == "runs/m-s-my_model-s7-01234567"


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1", "auto"])
def test_device_names(device):
    assert check_device(device) == device


def test_a_missing_gpu_is_one_clear_line():
    assert resolve_device("cpu") == "cpu"
    with pytest.raises(UserError, match="cuda:99 is asked for"):
        resolve_device("cuda:99")
