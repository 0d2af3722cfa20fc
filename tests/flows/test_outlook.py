from pathlib import Path

import pytest

from flows.planning.outlook import Outlook, decision_ahead
from judges.panel.panel import Panelist
from rlhf_core.config import Config, JudgeSettings
from rlhf_core.records import EvaluationResult, Mode, Promotion, Prompt, Record, Split
from rlhf_core.store import Store
from tests.facts import prompt


def ahead(folder: Path, held_out: int, decided: int = 0, **promotion: float) -> Outlook:
    """Return the outlook on so many prompts that took part in so many decisions."""
    tree = {"judges": [{"kind": "similarity"}], "prompts": {"path": "p"}, "promotion": promotion}
    tree |= {"evaluation": {"judges": [{"kind": "brevity"}]}, "store": folder / "solon.duckdb"}
    config = Config.model_validate(tree)
    if decided:
        Store(config.store).append(_decisions(config.name, decided, _prompts(held_out)[:held_out]))
    judge = JudgeSettings(kind="brevity", modes=(Mode.KNOWLEDGE_SEEKING,))
    return decision_ahead(config, _prompts(held_out), Panelist(judge))


def _decisions(line: str, count: int, prompts: list[Prompt]) -> list[Record]:
    decisions = [
        Promotion(
            line=line,
            config_hash="c",
            cycle=cycle,
            policy_id=f"policy-{cycle}",
            baseline_id="sft",
            evaluation_id=f"evaluation-{cycle}",
            promoted=False,
            reasons=("wins 51.0%",),
            error_rate=0.05 / (cycle * (cycle + 1)),
        )
        for cycle in range(1, count + 1)
    ]
    results = [
        EvaluationResult(
            evaluation_id=decision.evaluation_id,
            prompt_id=asked.id,
            sample=0,
            policy_candidate_id="ours",
            baseline_candidate_id="theirs",
            margin=None,
        )
        for decision in decisions
        for asked in prompts
    ]
    return [*decisions, *results]


def _prompts(held_out: int) -> list[Prompt]:
    judged = {"mode": Mode.KNOWLEDGE_SEEKING, "split": Split.HOLDOUT}
    others = [{**judged, "split": Split.TRAIN}, {**judged, "mode": Mode.CREATIVE}]
    kinds = [judged] * held_out + others * 5
    return [prompt(f"{n}?").model_copy(update=kind) for n, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("held_out", "least"), [(6, "100.0%"), (12, "83.3%"), (20, "75.0%"), (48, "66.7%")]
)
def test_the_least_win_rate_is_known_before_the_run(tmp_path: Path, held_out: int, least: str):
    """Least k with P(k or more of n by a coin) ≤ 2.5 %: 6 of 6, 10 of 12, 15 of 20, 32 of 48."""
    found = ahead(tmp_path, held_out, min_prompts=6)
    assert found.least_win_rate is not None
    assert f"decides on {held_out} held-out prompts, with 97.5% confidence (decision 1 on" in (
        found.decision
    )
    assert f"a win rate of {least} is the least that can show" in found.decision
    assert found.wear == ""


def test_the_power_is_known_before_the_run(tmp_path: Path):
    """Whoever truly wins 79.9 % wins 15 or more of 20 with a chance of 80 %."""
    said = ahead(tmp_path, 20).decision
    assert said.endswith("whose true win rate is 79.9% is promoted with a chance of 80%")


def test_each_decision_on_the_same_prompts_takes_more(tmp_path: Path):
    """At 0.05 / 12, of 20 prompts 17 must be won: 16 or more is 0.59 %, 17 or more 0.13 %."""
    found = ahead(tmp_path, 20, decided=2)
    assert found.least_win_rate == 0.85
    assert "with 99.6% confidence (decision 3 on them): a win rate of 85.0%" in found.decision
    assert found.wear.startswith("2 decisions on these 20 held-out prompts")
    assert "at most 3.33%; 1.67% is left" in found.wear


def test_too_few_prompts_for_a_decision_are_reported_before_the_run(tmp_path: Path):
    """Prompts of other modes and of the training split do not count."""
    found = ahead(tmp_path, 19)
    assert found.least_win_rate is None
    assert "NO DECISION IS POSSIBLE: brevity can score 19 held-out prompts, fewer than" in (
        found.decision
    )
    assert ahead(tmp_path, 20).least_win_rate == 0.75


def test_worn_prompts_are_too_few_for_a_decision(tmp_path: Path):
    """Winning all of 8 is 0.39 %, and decision 4 has an error rate of 0.25 %."""
    assert ahead(tmp_path / "a", 8, decided=2, min_prompts=6).least_win_rate == 1.0
    found = ahead(tmp_path / "b", 8, decided=3, min_prompts=6)
    assert found.least_win_rate is None
    assert "fewer than the 9 that decision 4 on the same prompts takes" in found.decision
