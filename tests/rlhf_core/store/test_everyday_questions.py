"""Questions that people ask every week, against a small store whose answers are known."""

from datetime import UTC, datetime

import duckdb
import pytest

from rlhf_core.records import (
    Evaluation,
    Judgement,
    ModelKind,
    ModelVersion,
    Outcome,
    Promotion,
    RolloutVerdict,
)
from rlhf_core.store import Store, reading
from rlhf_core.store.audit.named import named_query
from tests import facts
from tests.facts import candidate, prompt

EASY, HARD = prompt("Easy?"), prompt("Hard?")


def answer(asked, place: int, cost: float = 0.0):
    return candidate(f"{asked.text} {place}", place, prompt_id=asked.id, cost_usd=cost)


def score(of, value: float | None, judge: str = "exact", cost: float = 0.0) -> Judgement:
    return Judgement(
        prompt_id=of.prompt_id,
        judge=judge,
        judge_version=f"{judge}-1",
        candidate_id=of.id,
        outcome=Outcome.SCORED if value is not None else Outcome.UNPARSED,
        score=value,
        prompt_tokens=10,
        completion_tokens=1,
        cost_usd=cost,
    )


def ask(store: Store, name: str, **parameters: object) -> list[dict[str, object]]:
    store.publish()
    query = named_query(name)
    with reading(store.files.database) as snapshot:
        return snapshot.query(query.sql, {**query.defaults, **parameters}).as_dicts()


def test_prompts_whose_best_answer_is_not_good_are_found(store: Store):
    """Easy has one good answer of two; the best of hard is 0.3; unread and proxy say nothing."""
    easy, hard = ([answer(asked, place) for place in range(2)] for asked in (EASY, HARD))
    said = [score(easy[0], 0.1), score(easy[1], 0.9), score(hard[0], 0.3), score(hard[1], 0.2)]
    store.append([EASY, HARD, *easy, *hard, *said])
    store.append([score(hard[0], None, "mute"), score(hard[0], -3.0, "proxy")])
    (row,) = ask(store, "never_answered_well")
    assert (row["prompt"], row["judge"], row["answers"]) == ("Hard?", "exact", 2)
    assert (row["best_score"], row["mean_score"]) == (0.3, pytest.approx(0.25))
    assert ask(store, "never_answered_well", below=0.2) == []
    assert ask(store, "never_answered_well", judge="mute") == []


def test_costs_are_summed_by_week_and_by_who_was_paid(store: Store):
    """2026-01-01 is a Thursday, so its week began on 2025-12-29; 2026-01-05 is a Monday."""
    answers = [answer(EASY, place, cost=0.5) for place in range(2)]
    said = [score(one, 0.5, cost=0.25) for one in answers]
    verdict = RolloutVerdict(
        model_id="policy",
        rollout_id="r",
        judge="rewarder",
        judge_version="rewarder-1",
        outcome=Outcome.SCORED,
        score=1.0,
        cost_usd=2.0,
    )
    store.append([EASY, *answers, *said, verdict])
    days = {"candidates": 1, "judgements": 5, "rollout_verdicts": 4}
    with duckdb.connect(str(store.files.database)) as connection:
        for table, day in days.items():
            moment = datetime(2026, 1, day, 12, tzinfo=UTC)
            connection.execute(f"UPDATE {table} SET created_at = ?", [moment])
    rows = ask(store, "costs_by_week")
    found = {(str(row["week"]), row["what"], row["who"]): row for row in rows}
    assert {key: (row["calls"], row["cost_usd"]) for key, row in found.items()} == {
        ("2026-01-05", "judging", "exact"): (2, 0.5),
        ("2025-12-29", "rewarding", "rewarder"): (1, 2.0),
        ("2025-12-29", "sampling", answers[0].model_id): (2, 1.0),
    }
    judging = found["2026-01-05", "judging", "exact"]
    assert (judging["prompt_tokens"], judging["completion_tokens"]) == (20, 2)
    assert [row["what"] for row in ask(store, "costs_by_week", what="sampling")] == ["sampling"]


def model(name: str) -> ModelVersion:
    return ModelVersion(kind=ModelKind.POLICY, base="tiny", recipe=name, config_hash="hash")


def evaluation(policy: str, baseline: str, rate: float) -> Evaluation:
    return facts.evaluation(
        policy,
        baseline,
        judge="exact",
        judge_version="exact-1",
        prompts=40,
        comparisons=80,
        win_rate=rate,
        win_rate_low=rate - 0.1,
        win_rate_high=rate + 0.1,
    )


def test_the_model_promoted_last_is_live_in_its_line(store: Store):
    """Line `main` is promoted, promoted with an edited config, refused; line `other` is refused."""
    policies = [model(name) for name in ("first", "second", "third", "fourth")]
    decided = [("main", 1, True), ("main", 2, True), ("main", 3, False), ("other", 1, False)]
    for (line, cycle, promoted), policy, rate in zip(
        decided, policies, (0.6, 0.7, 0.4, 0.3), strict=True
    ):
        found = evaluation(policy.id, "sft", rate)
        decision = Promotion(
            line=line,
            config_hash=f"hash {cycle}",
            cycle=cycle,
            policy_id=policy.id,
            baseline_id="sft",
            evaluation_id=found.id,
            promoted=promoted,
            reasons=(),
        )
        store.append([policy, found, decision])
    (row,) = ask(store, "live_models")
    assert (row["line"], row["model_id"], row["cycle"]) == ("main", policies[1].id, 2)
    assert (row["win_rate"], row["prompts"], row["refused_since"]) == (0.7, 40, 1)
