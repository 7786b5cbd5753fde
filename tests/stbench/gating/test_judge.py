"""Every rule passes and fails where it should; A/A pairs pass; what cannot be compared fails."""

from __future__ import annotations

import math

import pytest
from made_evidence import evidence, fact

from stbench.errors import UserError
from stbench.gating.baseline import Baseline, Noise
from stbench.gating.evidence import Evidence
from stbench.gating.judge import Decision, judge
from stbench.gating.noise import noise_of, refuse_below_noise
from stbench.gating.rules import parse_rule, parse_rules

RULES = ("entity_consistency:2%", "shot.p50:10%", "shot.p90:10%", "shot.mean:10%", "peak_mem:5%")


def decide(base: Evidence, new: Evidence, *rules: str, noise: Noise | None = None) -> Decision:
    return judge(Baseline(number=1, evidence=base, noise=noise), new, parse_rules(rules))


def flat(level: float, *, stories: int = 6, **changes: object) -> Evidence:
    """The same value everywhere, but for a hair per story."""
    return evidence((fact({f"s{k}": {"01_01": level + 0.001 * k, "01_02": level} for k in range(stories)}, **changes),))


def timed(seconds: float, **changes: object) -> Evidence:
    by_shot = {f"s{k}": {"01_01": seconds, "01_02": seconds} for k in range(6)}
    return evidence(seconds={"shot": by_shot}, stories=dict.fromkeys(by_shot, "w"), **changes)


@pytest.mark.parametrize(
    ("rule", "base", "passes", "fails"),
    [
        ("entity_consistency:2%", flat(0.500), flat(0.491), flat(0.489)),
        ("entity_consistency:0.01abs", flat(0.500), flat(0.491), flat(0.489)),
        ("world/entity_consistency:2%", flat(0.500), flat(0.491), flat(0.489)),
        ("entity_consistency:+0.25abs", flat(0.500), flat(0.760), flat(0.740)),
        ("entity_consistency:+10%", flat(0.500), flat(0.560), flat(0.540)),
        ("shot.p50:10%", timed(20.0), timed(21.9), timed(22.1)),
        ("shot.p50:0.5abs", timed(20.0), timed(20.4), timed(20.6)),
        ("shot.p90:10%", timed(20.0), timed(21.9), timed(22.1)),
        ("shot.mean:10%", timed(20.0), timed(21.9), timed(22.1)),
        ("peak_mem:5%", *(evidence(peaks={"s": {"1": gib * 2**30}}, stories={"s": "w"}) for gib in (60.0, 62.9, 63.1))),
        ("peak_mem:2abs", *(evidence(peaks={"s": {"1": gib * 2**30}}, stories={"s": "w"}) for gib in (60.0, 61.9, 62.1))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_rule_passes_within_its_limit_and_fails_beyond(rule: str, base: Evidence, passes: Evidence, fails: Evidence) -> None:
    good, bad = decide(base, passes, rule), decide(base, fails, rule)
    assert (good.verdict, bad.verdict) == ("pass", "fail")
    assert good.verdicts[0].reason == ""
    assert bad.verdicts[0].reason
    assert decide(base, base, rule).verdict == ("fail" if "+" in rule else "pass")


def test_getting_better_never_fails() -> None:
    assert decide(flat(0.5), flat(0.9), "entity_consistency:2%").verdict == "pass"
    assert decide(timed(20.0), timed(5.0), "shot.p50:10%").verdict == "pass"


def test_the_direction_is_the_metrics_own() -> None:
    low, high = flat(0.5, higher_is_better=False), flat(0.6, higher_is_better=False)
    assert decide(low, high, "entity_consistency:2%").verdict == "fail"
    assert decide(high, low, "entity_consistency:2%").verdict == "pass"
    neither = [flat(level, higher_is_better=None) for level in (0.5, 0.6)]
    assert decide(neither[0], neither[1], "entity_consistency:2%").verdict == "fail"
    assert decide(neither[1], neither[0], "entity_consistency:2%").verdict == "fail"
    assert "neither direction" in decide(neither[1], neither[0], "entity_consistency:+2%").verdicts[0].reason


def test_aa_pairs_pass_20_of_20(draw) -> None:
    noise = noise_of([draw(seed) for seed in range(900, 904)])
    verdicts = [decide(draw(2 * k), draw(2 * k + 1), *RULES, noise=noise).verdict for k in range(20)]
    assert verdicts == ["pass"] * 20


def test_a_quality_drop_of_5_percent_is_caught_20_of_20(draw) -> None:
    for k in range(20):
        decision = decide(draw(2 * k), draw(2 * k + 1, better=0.95), *RULES)
        assert [verdict.rule for verdict in decision.failed] == ["entity_consistency:2%"]


def test_a_slowdown_of_20_percent_is_caught_20_of_20(draw) -> None:
    noise = noise_of([draw(seed) for seed in range(900, 904)])
    for k in range(20):
        decision = decide(draw(2 * k), draw(2 * k + 1, slower=1.2), *RULES, noise=noise)
        assert [verdict.rule for verdict in decision.failed] == ["shot.p50:10%", "shot.p90:10%", "shot.mean:10%"]


def test_more_memory_is_caught(draw) -> None:
    assert [v.rule for v in decide(draw(0), draw(1, fatter=1.1), *RULES).failed] == ["peak_mem:5%"]


def test_where_luck_is_large_the_limit_alone_would_cry_wolf(draw) -> None:
    """One-sided, an interval of 95% is wrong in 2.5% of A/A pairs; of 100, 7 or more would have a chance of 1 in 100."""
    found = [decide(draw(2 * k, luck=0.1), draw(2 * k + 1, luck=0.1), "entity_consistency:2%").verdicts[0] for k in range(100)]
    beyond = [v for v in found if v.change is not None and v.limit is not None and -v.change > v.limit]
    assert len(beyond) >= 12
    assert sum(not v.passed for v in found) <= 6
    assert all("luck" in v.reason for v in beyond if v.passed)


def test_one_story_beyond_the_limit_fails_for_want_of_an_interval() -> None:
    decision = decide(flat(0.5, stories=1), flat(0.4, stories=1), "entity_consistency:2%")
    assert "film more" in decision.failed[0].reason


def test_noise_that_was_measured_widens_a_limit() -> None:
    noise = Noise(runs=3, largest={"shot.p50": 3.0, "entity_consistency": 0.05}, share={"shot.p50": 0.15})
    assert decide(timed(20.0), timed(22.9), "shot.p50:10%", noise=noise).verdict == "pass"
    assert decide(timed(20.0), timed(23.1), "shot.p50:10%", noise=noise).verdict == "fail"
    assert decide(flat(0.5), flat(0.46), "entity_consistency:2%", noise=noise).verdict == "pass"
    assert decide(flat(0.5), flat(0.44), "entity_consistency:2%", noise=noise).verdict == "fail"


def test_limits_below_the_noise_are_refused(draw) -> None:
    runs = [draw(seed) for seed in range(4)]
    noise = noise_of(runs)
    assert 0 < noise.share["shot.p50"] < 0.1
    refuse_below_noise(parse_rules(RULES), noise, runs[0])
    with pytest.raises(UserError, match=r"shot\.p50:0\.1% is below A/A noise"):
        refuse_below_noise([parse_rule("shot.p50:0.1%")], noise, runs[0])
    with pytest.raises(UserError, match=r"entity_consistency:0\.0001abs is below"):
        refuse_below_noise([parse_rule("entity_consistency:0.0001abs")], noise, runs[0])
    with pytest.raises(UserError, match="one kind of device"):
        noise_of([draw(0), draw(1, device="NVIDIA A100")])


def test_noise_is_the_largest_difference_of_two_runs() -> None:
    noise = noise_of([timed(20.0), timed(21.0), timed(20.5)])
    assert noise.largest["shot.p50"] == 1.0
    assert noise.share["shot.p50"] == pytest.approx(0.05)


def without(run: Evidence, story: str) -> Evidence:
    values = {name: part for name, part in run.metrics[0].values.items() if name != story}
    return run.model_copy(
        update={
            "metrics": (run.metrics[0].model_copy(update={"values": values}),),
            "stories": {name: words for name, words in run.stories.items() if name != story},
            "seconds": {stage: {n: p for n, p in part.items() if n != story} for stage, part in run.seconds.items()},
            "peaks": {name: part for name, part in run.peaks.items() if name != story},
        }
    )


def changed(run: Evidence, **changes: object) -> Evidence:
    return run.model_copy(update={"metrics": (run.metrics[0].model_copy(update=changes),)})


@pytest.mark.parametrize(
    ("harm", "rules", "says"),
    [
        (lambda run: without(run, "world_003"), RULES, "vanished: world_003"),
        (lambda run: run.model_copy(update={"stories": run.stories | {"world_003": "x"}}), RULES, "world_003 has other words"),
        (lambda run: run.model_copy(update={"metrics": ()}), RULES[:1], "has no value of entity_consistency"),
        (lambda run: changed(run, metric="entity_consistancy"), RULES[:1], "did you mean 'entity_consistancy'?"),
        (lambda run: changed(run, version=2), RULES[:1], "not comparable: version is 1 in the base and 2 here"),
        (lambda run: changed(run, encoder_digest="f" * 64), RULES[:1], "not comparable: encoder_digest"),
        (lambda run: changed(run, encoder="clip"), RULES[:1], "not comparable: encoder is dino"),
        (lambda run: changed(run, protocol="st-bench"), RULES[:1], "not comparable: protocol is world"),
        (lambda run: changed(run, unit="share"), RULES[:1], "not comparable: unit"),
        (lambda run: run.model_copy(update={"metrics": run.metrics * 2}), RULES[:1], "several kinds of entity_consistency"),
        (lambda run: run.model_copy(update={"seed": 1}), RULES[:1], "the seed is 0 in the base and 1 here"),
        (lambda run: run.model_copy(update={"device": "NVIDIA A100"}), RULES[1:], "made on NVIDIA H100 in the base and on NVIDIA A100"),
        (lambda run: run.model_copy(update={"seconds": {}}), RULES[1:4], "no warm shot has a time of stage 'shot'"),
        (lambda run: run.model_copy(update={"peaks": {}}), RULES[4:], "peak memory was not measured"),
        (lambda run: run.model_copy(update={"problems": {"scores": "line 3 is not a score"}}), RULES[:1], "line 3 is not a score"),
        (lambda run: run.model_copy(update={"problems": {"timing": "line 3"}}), RULES[1:], "times cannot be trusted: line 3"),
    ],
)
def test_what_is_missing_or_cannot_be_compared_fails(draw, harm, rules, says) -> None:
    decision = decide(draw(0), harm(draw(0)), *rules)
    assert len(decision.failed) == len(rules)
    assert all(says in verdict.reason for verdict in decision.failed)


def test_a_value_that_the_base_has_and_this_run_lacks_fails_with_the_reason(draw) -> None:
    base, values = draw(0), dict(draw(0).metrics[0].values)
    values["world_002"] = {shot: value for shot, value in values["world_002"].items() if shot != "01_04"}
    new = changed(base, values=values).model_copy(update={"missing": {"entity_consistency": {"world_002": "no face found"}}})
    reason = decide(base, new, RULES[0]).failed[0].reason
    assert reason == "1 values of the base are missing here: world_002 01_04: no face found"
    assert decide(new, base, RULES[0]).verdict == "pass", "more values than the base has are no harm"


def test_no_rules_never_pass(draw) -> None:
    assert decide(draw(0), draw(0)).verdict == "fail"


@pytest.mark.parametrize(
    "text", ["", "shot", "shot.p50", "shot.p50:", "shot.p50:-1%", "shot.p50:nan%", "shot.p51:1%", "shot.p50:+1%", "peak_mem:+1%", "a:1"]
)
def test_bad_rules_are_usage_errors(text: str) -> None:
    with pytest.raises(UserError, match="--rule"):
        parse_rule(text)


def test_two_rules_about_one_number_are_refused() -> None:
    with pytest.raises(UserError, match=r"two rules are about shot\.p50"):
        parse_rules(["shot.p50:1%", "shot.p50:2%"])


def test_every_number_of_a_verdict_is_finite(draw) -> None:
    for verdict in decide(draw(0), draw(1), *RULES).verdicts:
        numbers = [value for value in verdict.to_json().values() if isinstance(value, float)]
        assert numbers
        assert all(math.isfinite(value) for value in numbers)
