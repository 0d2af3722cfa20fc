"""Alarms of the guard after `solon forget`: decisions stay, deleted answers and words go."""

from pathlib import Path

import pytest

from rlhf_core.records import GuardAlarm, Promotion, RolloutRecord
from rlhf_core.store import Store
from rlhf_core.store.forgetting import forget
from tests.rlhf_core.store.user_facts import BASE, MODELS, NEXT, POLICY, asked, chain

HERS, SENT_HERS = asked("ann", "q7z4hx")
HIS, SENT_HIS = asked("bob", "other")
QUOTE = 'boilerplate: "call " q7z4hx ." in 60% of the answers (0.6, usually at most 0.2)'
LENGTH = "length: longer answers (40, usually at most 30)"
LEFT = (
    "boilerplate: the same words, since deleted, in 60% of the answers (0.6, usually at most 0.2)"
)


def alarm(model_id: str, detector: str, reason: str, evidence: list[str]) -> GuardAlarm:
    return GuardAlarm(
        model_id=model_id,
        step=1,
        detector=detector,
        value=0.6,
        threshold=0.2,
        kl=1.0,
        action="stop",
        reason=reason,
        evidence=tuple(evidence),
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a policy that answered both prompts in training, and is stopped for it."""
    store = Store(tmp_path / "solon.duckdb")
    store.append([*MODELS, SENT_HERS, SENT_HIS])
    store.append([*chain(HERS, "q7z4hx"), *chain(HIS, "other")])
    both = {each.prompt_id: each.id for each in store.rows(RolloutRecord)}
    evidence = [both[HERS.id], both[HIS.id]]
    store.append(
        [
            alarm(POLICY.id, "boilerplate", QUOTE, evidence),
            alarm(POLICY.id, "length", LENGTH, evidence[1:]),
            alarm(NEXT.id, "boilerplate", QUOTE.replace("q7z4hx", "other"), []),
            Promotion(
                line="line",
                config_hash="hash",
                cycle=1,
                policy_id=POLICY.id,
                baseline_id=BASE.id,
                evaluation_id="none",
                promoted=False,
                reasons=(f"guard, step 1 of its training: {QUOTE}", "KL 11 is above 10"),
            ),
        ]
    )
    return store


def test_alarms_lose_deleted_answers_and_quoted_words(store: Store):
    (his,) = [each.id for each in store.rows(RolloutRecord) if each.prompt_id == HIS.id]
    forget(store, "ann")
    alarms = {(each.model_id, each.detector): each for each in store.rows(GuardAlarm)}
    quoting = alarms[POLICY.id, "boilerplate"]
    assert (quoting.reason, quoting.evidence) == (LEFT, (his,))
    assert alarms[POLICY.id, "length"].reason == LENGTH
    assert alarms[POLICY.id, "length"].evidence == (his,)


def test_alarms_about_policies_that_never_answered_the_user_stay_as_they_were(store: Store):
    forget(store, "ann")
    (other,) = store.rows(GuardAlarm, "model_id = ?", [NEXT.id])
    assert other.reason == QUOTE.replace("q7z4hx", "other")


def test_decisions_quote_no_deleted_words(store: Store):
    forget(store, "ann")
    (promotion,) = store.rows(Promotion)
    assert promotion.reasons == (f"guard, step 1 of its training: {LEFT}", "KL 11 is above 10")


def test_an_alarm_outlives_the_last_of_its_evidence(store: Store):
    forget(store, "ann")
    forget(store, "bob")
    assert {each.evidence for each in store.rows(GuardAlarm)} == {()}
    assert len(store.rows(GuardAlarm)) == 3


def test_no_fact_refers_to_a_deleted_answer(store: Store):
    """Neither by an id that `solon check` follows, nor by one in the evidence."""
    before = store.query("SELECT id FROM check_orphans")
    forget(store, "ann")
    assert [row for row in store.query("SELECT id FROM check_orphans") if row not in before] == []
    dangling = "SELECT unnest(evidence) AS id FROM guard_alarms"
    known = "SELECT id FROM rollouts UNION SELECT id FROM candidates"
    assert store.query(f"{dangling} EXCEPT ({known})") == []
