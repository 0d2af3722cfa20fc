import pytest

from flows.planning.outlook import decision_ahead
from judges.panel.panel import Panelist
from rlhf_core.config import Config, JudgeSettings
from rlhf_core.records import Mode, Prompt, Split
from tests.facts import prompt


def ahead(held_out: int, **promotion: float) -> tuple[float | None, str]:
    tree = {"judges": [{"kind": "similarity"}], "prompts": {"path": "p"}, "promotion": promotion}
    config = Config.model_validate({**tree, "evaluation": {"judges": [{"kind": "brevity"}]}})
    judge = JudgeSettings(kind="brevity", modes=(Mode.KNOWLEDGE_SEEKING,))
    return decision_ahead(config, _prompts(held_out), Panelist(judge))


def _prompts(held_out: int) -> list[Prompt]:
    judged = {"mode": Mode.KNOWLEDGE_SEEKING, "split": Split.HOLDOUT}
    others = [{**judged, "split": Split.TRAIN}, {**judged, "mode": Mode.CREATIVE}]
    kinds = [judged] * held_out + others * 5
    return [prompt(f"{n}?").model_copy(update=kind) for n, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("held_out", "least"), [(6, "100.0%"), (12, "83.3%"), (20, "75.0%"), (48, "66.7%")]
)
def test_the_least_win_rate_is_known_before_the_run(held_out: int, least: str):
    """Least k with P(k or more of n by a coin) ≤ 2.5 %: 6 of 6, 10 of 12, 15 of 20, 32 of 48."""
    rate, said = ahead(held_out, min_prompts=6)
    assert rate is not None
    assert f"decides on {held_out} held-out prompts" in said
    assert said.endswith(f"must win {least}")


def test_too_few_prompts_for_a_decision_are_reported_before_the_run():
    """Prompts of other modes and of the training split do not count."""
    rate, said = ahead(19)
    assert rate is None
    assert "NO DECISION IS POSSIBLE: brevity can score 19 held-out prompts, fewer than" in said
    assert ahead(20)[0] == 0.75
