"""The protocols of published tables: complete, explicit, and no more work than their encoders need."""

import pytest
from small_films import FakeEncoder, film

from metrics import features as features_module
from metrics.cache import FeatureCache
from metrics.features import FeatureSource
from metrics.protocols import PROTOCOLS
from metrics.scoring import score_films
from stbench.encoders import ENCODERS

NAMES = ("storymem-paper", "vbench-custom")


class Table:
    """One counting encoder per name."""

    def __init__(self):
        self.encoders = {}

    def get(self, name):
        return self.encoders.setdefault(name, FakeEncoder(weights=name))


@pytest.fixture
def table(monkeypatch):
    made = Table()
    monkeypatch.setattr(features_module, "ENCODERS", made)
    return made


@pytest.mark.parametrize("name", [*NAMES, "natural"])
def test_every_encoder_exists_and_choices_are_said(name):
    protocol = PROTOCOLS.get(name)
    assert {metric.need.encoder for metric in protocol.metrics} - {None} <= set(ENCODERS.names())
    assert "32 tokens" in protocol.caption()
    assert len({metric.name for metric in protocol.metrics}) == len(protocol.metrics)


def test_the_paper_protocol_encodes_each_shot_exactly_once(tmp_path, table):
    source = FeatureSource(protocol="storymem-paper", device="cpu", cache=FeatureCache(None), known={})
    rows = score_films([film(tmp_path, shots=4)], metrics=PROTOCOLS.get("storymem-paper").metrics, features=source)
    assert source.decoded == 4
    assert table.encoders["viclip-l-14"].calls == {"video": 4, "texts": 5}
    assert table.encoders["laion-aesthetic"].calls == {"frames": 4}
    assert {row.metric: row.reason for row in rows if row.value is None} == {}
    assert len(rows) == 4 + 1 + 4 + 1 + 1


def test_a_second_protocol_encodes_only_what_it_does_not_share(tmp_path, table):
    cache, films = FeatureCache(tmp_path / "cache"), [film(tmp_path, shots=3)]
    for name in NAMES:
        source = FeatureSource(protocol=name, device="cpu", cache=cache, known={})
        score_films(films, metrics=PROTOCOLS.get(name).metrics, features=source)
    assert table.encoders["viclip-l-14"].calls["video"] == 3
    assert table.encoders["laion-aesthetic"].calls["frames"] == 3
    assert table.encoders["dino-vit-b-16"].calls["frames"] == 3


def test_vbench_own_averages_are_said_where_they_differ(tmp_path, table):
    plan = PROTOCOLS.get("vbench-custom")
    films = [film(tmp_path, shots=1, frames=3), film(tmp_path, shots=1, frames=9, name="long")]
    source = FeatureSource(protocol=plan.name, device="cpu", cache=FeatureCache(None), known={})
    rows = score_films(films, metrics=plan.metrics, features=source)
    short, long = (row.value for row in rows if row.metric == "subject_consistency")
    assert short != long
    said = plan.remarks(rows)
    assert said[0] == f"VBench's own average on one GPU, over frames: subject_consistency {(2 * short + 8 * long) / 10:.6f}"
    assert said[1].startswith("VBench's own average, over frames: background_consistency 0.")
    assert max(len(line) for line in said) < 90
