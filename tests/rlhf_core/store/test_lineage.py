"""Lineage and retraction, on a store in which everything that a policy stands on is known."""

import json
import shutil
from pathlib import Path

import pytest

from rlhf_core.errors import IdError
from rlhf_core.preferences.ranking import pairs_of, rank
from rlhf_core.preferences.votes import Combination
from rlhf_core.records import (
    Candidate,
    EvaluationResult,
    GuardComparison,
    InputRole,
    Judgement,
    ModelInput,
    ModelKind,
    ModelVersion,
    Outcome,
    PromptSet,
    Record,
    Retraction,
    Revision,
    Split,
)
from rlhf_core.store import Store, queries, reading
from rlhf_core.store.lineage.retracting import retract
from rlhf_core.store.lineage.tree import Branch, Subject, lineage_down, lineage_up, subject_of
from tests import facts
from tests.facts import candidate, prompt

COMBINATION = Combination({"one-1": 1.0, "other-1": 1.0}, 0.02)
RANKED, SHOWN, MENDED, UNUSED = (prompt(text) for text in ("Why?", "How?", "Who?", "When?"))


def model(kind: ModelKind, parent: ModelVersion | None = None, recipe: str = "{}") -> ModelVersion:
    parent_id = parent.id if parent else None
    return ModelVersion(
        kind=kind, base="tiny", parent_id=parent_id, recipe=recipe, config_hash="hash"
    )


def learnt(by: ModelVersion, *records: Record) -> list[ModelInput]:
    return [ModelInput(model_id=by.id, input_table=r.table, input_id=r.id) for r in records]


def judged(judge: str, of: Candidate, score: float, **fields: object) -> Judgement:
    return Judgement.model_validate(
        {
            "prompt_id": of.prompt_id,
            "judge": judge,
            "judge_version": f"{judge}-1",
            "candidate_id": of.id,
            "outcome": Outcome.SCORED,
            "score": score,
            **fields,
        }
    )


BASE = model(ModelKind.BASE)
SFT = model(ModelKind.SFT, BASE)
ANSWERS = [
    candidate(text, index, prompt_id=RANKED.id, model_id=SFT.id)
    for index, text in enumerate(("good", "bad", "middling"))
]
JUDGEMENTS = [
    *(judged("one", of, score) for of, score in zip(ANSWERS, (0.9, 0.1, 0.5), strict=True)),
    *(judged("other", of, score) for of, score in zip(ANSWERS, (0.8, 0.2, 0.5), strict=True)),
]
RANKING = rank(ANSWERS, JUDGEMENTS, COMBINATION)
assert RANKING is not None
PAIRS = pairs_of(RANKING, ANSWERS, JUDGEMENTS, COMBINATION, "hash")
REVISION = Revision(
    prompt_id=MENDED.id, reviser="r", model="m", round=1, principle="honesty", text="Mended."
)
REWARD = model(ModelKind.REWARD, SFT)
POLICY = model(ModelKind.POLICY, SFT, json.dumps({"reward_judges": ["length-1"]}))
NEXT = model(ModelKind.POLICY, POLICY)
ASIDE = model(ModelKind.SFT, BASE, '{"other": 1}')
EVALUATION = facts.evaluation(
    POLICY.id,
    SFT.id,
    judge="referee",
    judge_version="referee-1",
    win_rate=1.0,
    win_rate_low=1.0,
    win_rate_high=1.0,
    policy_score=1.0,
    baseline_score=0.0,
    kl=0.1,
)
OURS, THEIRS = (
    candidate("x", 0, prompt_id=SHOWN.id, model_id=model_id) for model_id in (POLICY.id, SFT.id)
)
COMPARED = EvaluationResult(
    evaluation_id=EVALUATION.id,
    prompt_id=SHOWN.id,
    sample=0,
    policy_candidate_id=OURS.id,
    baseline_candidate_id=THEIRS.id,
    margin=1.0,
)
FACTS: list[Record] = [
    *(RANKED, SHOWN, MENDED, UNUSED, *ANSWERS, *JUDGEMENTS, RANKING, *PAIRS, REVISION),
    *(BASE, SFT, REWARD, POLICY, NEXT, ASIDE, EVALUATION, OURS, THEIRS, COMPARED),
    *learnt(SFT, SHOWN, REVISION),
    *learnt(REWARD, RANKING),
    ModelInput(model_id=REWARD.id, input_table="models", input_id=SFT.id, role=InputRole.SAMPLER),
    *learnt(POLICY, SHOWN, REWARD),
    *learnt(ASIDE, UNUSED),
]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store to read only."""
    store = Store(tmp_path_factory.mktemp("known") / "solon.duckdb", run_id="test")
    store.append(FACTS)
    store.publish()
    return store


@pytest.fixture
def filled(known: Store, tmp_path: Path) -> Store:
    """A copy of the store to write to."""
    shutil.copytree(known.files.database.parent, tmp_path / "copy")
    return Store(tmp_path / "copy" / "solon.duckdb", run_id="test")


def up(store: Store, wanted: str, limit: int = 3) -> tuple[Branch, ...]:
    with reading(store.files.database) as snapshot:
        return lineage_up(snapshot, subject_of(snapshot, wanted), limit)


def down(store: Store, wanted: str, limit: int = 3) -> tuple[Branch, ...]:
    with reading(store.files.database) as snapshot:
        return lineage_down(snapshot, subject_of(snapshot, wanted), limit)


def flat(branches: tuple[Branch, ...]) -> list[Branch]:
    return [one for branch in branches for one in (branch, *flat(branch.branches))]


def models(branches: tuple[Branch, ...]) -> set[str]:
    return {branch.ids[0] for branch in flat(branches) if branch.table == "models"}


def ids(store: Store, sql: str, *values: object) -> set[str]:
    return {str(next(iter(row.values()))) for row in store.query(sql, list(values))}


def retraction(table: str, identity: str, number: int = 1, withdrawn: bool = False) -> Retraction:
    return Retraction(
        subject_table=table,
        subject_id=identity,
        number=number,
        withdrawn=withdrawn,
        reason="broken",
        retracted_by="me",
    )


def test_an_evaluation_leads_to_the_answers_it_compared_and_back(known: Store):
    told = {b.note: b.ids for b in up(known, EVALUATION.id) if b.relation == "compares"}
    assert told == {"policy": (OURS.id,), "baseline": (THEIRS.id,)}
    (found,) = [b for b in down(known, THEIRS.id) if b.relation == "compared in"]
    assert (found.table, found.note, found.ids) == ("evaluations", "baseline", (EVALUATION.id,))


def test_a_policy_stands_on_parents_teachers_and_samplers(known: Store):
    sql = "SELECT ancestor_id FROM model_ancestry WHERE model_id = ?"
    assert ids(known, sql, NEXT.id) == {NEXT.id, POLICY.id, REWARD.id, SFT.id, BASE.id}
    assert ids(known, sql, ASIDE.id) == {ASIDE.id, BASE.id}


def test_upwards_a_policy_leads_to_all_that_is_behind_it(known: Store):
    found = up(known, NEXT.id)
    assert models(found) == {POLICY.id, REWARD.id, SFT.id, BASE.id}
    counted = {(b.table, b.note): b.count for b in flat(found) if b.table != "models"}
    assert [b.count for b in found if b.relation == "all behind it"] == [1]
    assert counted[("candidates", SFT.id)] == 3
    assert counted[("judgements", "one-1")] == counted[("judgements", "other-1")] == 3
    assert counted[("pairs", "preferred")] == 3
    assert counted[("revisions", "honesty")] == 1
    judges = {b.relation: b.ids for b in flat(found) if b.table == "judge_versions"}
    assert judges == {"rewarded by": ("length-1",), "evaluated by": ("referee-1",)}


def test_each_model_is_told_in_full_once(known: Store):
    told = [b for b in flat(up(known, NEXT.id)) if b.ids == (SFT.id,)]
    assert [bool(b.branches) for b in told] == [not b.is_repeated for b in told]
    assert sum(not b.is_repeated for b in told) == 1


@pytest.mark.parametrize(
    ("wanted", "taught"),
    [
        (RANKED.id, {REWARD.id, POLICY.id, NEXT.id}),
        (SHOWN.id, {SFT.id, REWARD.id, POLICY.id, NEXT.id}),
        (MENDED.id, {SFT.id, REWARD.id, POLICY.id, NEXT.id}),
        (UNUSED.id, {ASIDE.id}),
        (ANSWERS[0].id, {REWARD.id, POLICY.id, NEXT.id}),
        (JUDGEMENTS[4].id, {REWARD.id, POLICY.id, NEXT.id}),
        (RANKING.id, {REWARD.id, POLICY.id, NEXT.id}),
        (PAIRS[1].id, {REWARD.id, POLICY.id, NEXT.id}),
        (REVISION.id, {SFT.id, REWARD.id, POLICY.id, NEXT.id}),
        ("one-1", {REWARD.id, POLICY.id, NEXT.id}),
        ("length-1", {POLICY.id, NEXT.id}),
        (BASE.id, {SFT.id, ASIDE.id, REWARD.id, POLICY.id, NEXT.id}),
    ],
)
def test_downwards_every_fact_leads_to_the_models_that_learnt_from_it(
    known: Store, wanted: str, taught: set[str]
):
    """Directly or by another model."""
    assert models(down(known, wanted)) == taught


def test_a_judge_that_only_evaluated_taught_nothing(filled: Store):
    filled.append([judged("referee", ANSWERS[0], 1.0)])
    filled.publish()
    assert models(down(filled, "referee-1")) == set()


def test_upwards_a_judgement_leads_to_its_answer_and_the_model_of_it(known: Store):
    found = up(known, JUDGEMENTS[0].id)
    assert {b.ids[0] for b in found} == {"one-1", RANKED.id, ANSWERS[0].id, SFT.id}


def test_principles_are_named_where_a_judge_says_which_it_followed(filled: Store):
    said = judged("one", ANSWERS[0], 0.5, attempt="2", raw_output='{"principle": "kind", "A": 1}')
    filled.append([said])
    filled.publish()
    (branch,) = [b for b in up(filled, said.id) if b.table == "principles"]
    assert branch.ids == ("kind",)


def test_a_group_names_no_more_ids_than_asked(known: Store):
    (branch,) = [b for b in up(known, RANKING.id, limit=2) if b.table == "candidates"]
    assert branch.count == 3
    assert branch.ids == tuple(sorted(answer.id for answer in ANSWERS)[:2])


def test_the_beginning_of_an_id_is_enough_where_one_thing_has_it(known: Store):
    with reading(known.files.database) as snapshot:
        assert subject_of(snapshot, POLICY.id[:12]).id == POLICY.id
        assert subject_of(snapshot, "oth").table == "judge_versions"
        with pytest.raises(IdError, match=f"several ids: {min(POLICY.id, NEXT.id)} .models., "):
            subject_of(snapshot, "policy-")
        with pytest.raises(IdError, match=r"no id begins with 'x%'; looked among judge versions, "):
            subject_of(snapshot, "x%")
        with pytest.raises(IdError):
            subject_of(snapshot, "")


def test_prompts_and_the_models_that_learnt_from_them(known: Store):
    rows = known.query(
        "SELECT model_id, is_direct FROM prompt_models WHERE prompt_id = ?", [MENDED.id]
    )
    found = {row["model_id"]: row["is_direct"] for row in rows}
    assert found == {SFT.id: True, REWARD.id: False, POLICY.id: False, NEXT.id: False}


def test_nothing_is_tainted_while_nothing_is_retracted(known: Store):
    for view in ("retracted", "tainted_pairs", "tainted_models", "check_models_on_retracted"):
        assert known.query(f"SELECT * FROM {view}") == []
    assert len(known.query("SELECT * FROM opinions")) == len(JUDGEMENTS)


ALL_PAIRS = {pair.id for pair in PAIRS}
OF_GOOD = {pair.id for pair in PAIRS if ANSWERS[0].id in (pair.left_id, pair.right_id)}
TAUGHT = {REWARD.id, POLICY.id, NEXT.id}


@pytest.mark.parametrize(
    ("table", "identity", "pairs", "tainted", "opinions"),
    [
        ("judgements", JUDGEMENTS[0].id, OF_GOOD, TAUGHT, 5),
        ("judge_versions", "other-1", ALL_PAIRS, TAUGHT, 3),
        ("pairs", PAIRS[0].id, {PAIRS[0].id}, TAUGHT, 6),
        ("candidates", ANSWERS[0].id, OF_GOOD, TAUGHT, 4),
        ("prompts", RANKED.id, ALL_PAIRS, TAUGHT, 0),
        ("prompts", MENDED.id, set(), {SFT.id, *TAUGHT}, 6),
        ("judge_versions", "length-1", set(), {POLICY.id, NEXT.id}, 6),
        ("prompts", UNUSED.id, set(), {ASIDE.id}, 6),
    ],
)
def test_what_rests_on_a_retracted_fact_is_tainted(
    filled: Store, table: str, identity: str, pairs: set[str], tainted: set[str], opinions: int
):
    filled.append([retraction(table, identity)])
    assert ids(filled, "SELECT pair_id FROM tainted_pairs") == pairs
    assert ids(filled, "SELECT model_id FROM tainted_models") == tainted
    assert ids(filled, "SELECT id FROM check_models_on_retracted") == tainted
    assert len(filled.query("SELECT * FROM opinions")) == opinions


def test_tainted_models_count_their_own_rows_and_those_behind_them(filled: Store):
    filled.append([retraction("judgements", JUDGEMENTS[0].id), retraction("prompts", SHOWN.id)])
    rows = filled.query("SELECT model_id, own_rows, inherited_rows FROM tainted_models")
    found = {row.pop("model_id"): tuple(row.values()) for row in rows}
    assert found == {  # sft and policy: the prompt; reward: the ranking
        SFT.id: (1, 0),
        REWARD.id: (1, 1),
        POLICY.id: (1, 2),
        NEXT.id: (0, 3),
    }


def test_a_withdrawn_retraction_taints_nothing_and_can_be_made_again(filled: Store):
    of = ("candidates", ANSWERS[0].id)
    filled.append([retraction(*of), retraction(*of, number=2, withdrawn=True)])
    assert filled.query("SELECT * FROM tainted_models") == []
    assert len(filled.query("SELECT * FROM opinions")) == len(JUDGEMENTS)
    filled.append([retraction(*of, number=3)])
    assert ids(filled, "SELECT model_id FROM tainted_models") == TAUGHT


def test_lineage_shows_the_taint(filled: Store):
    assert not any(b.tainted for b in flat(up(filled, NEXT.id)))
    filled.append([retraction("judgements", JUDGEMENTS[0].id)])
    filled.publish()
    found = {(b.table, b.ids[0]) for b in flat(up(filled, NEXT.id, limit=1)) if b.tainted}
    assert found >= {("models", POLICY.id), ("models", REWARD.id), ("rankings", RANKING.id)}
    assert {i for table, i in found if table == "models"} == {POLICY.id, REWARD.id}
    (judgements,) = [b for b in flat(up(filled, PAIRS[0].id)) if b.note == "one-1"]
    assert (judgements.count, judgements.tainted) == (2, 1)


def test_comparisons_of_the_guard_are_not_among_the_rankings_of_a_batch(filled: Store):
    """Even if they have its recipe, model and seed: some of them no reward model may learn from."""
    batches = {(SFT.id, ANSWERS[0].seed)}
    assert queries.rankings_of(filled, COMBINATION.recipe, batches, [RANKED]) == [RANKING]
    filled.append(
        [
            GuardComparison(
                line="l",
                cycle=2,
                policy_id=POLICY.id,
                prompt_id=RANKED.id,
                ranking_id=RANKING.id,
                candidate_id=RANKING.candidate_ids[0],
                opponent_id=RANKING.candidate_ids[1],
                outcome="worse",
                kept_aside=True,
            )
        ]
    )
    assert queries.rankings_of(filled, COMBINATION.recipe, batches, [RANKED]) == []


def test_stages_leave_out_what_is_retracted_and_take_it_back(filled: Store):
    shown = [answer.id for answer in ANSWERS]
    batches = {(SFT.id, ANSWERS[0].seed)}

    def read() -> tuple[int, list[str]]:
        judgements = queries.judgements_of(filled, shown, COMBINATION.weights.keys())
        rankings = queries.rankings_of(filled, COMBINATION.recipe, batches, [RANKED])
        return len(judgements), [ranking.id for ranking in rankings]

    assert read() == (6, [RANKING.id])
    retract(filled, Subject("judge_versions", "other-1"), "broken", "me")
    assert read() == (3, [])
    left = queries.judgements_of(filled, shown, COMBINATION.weights.keys())
    again = rank(ANSWERS, left, COMBINATION)
    assert again is not None
    filled.append([again])
    assert read() == (3, [again.id])
    retract(filled, Subject("judge_versions", "other-1"), "mended", "me", withdrawn=True)
    assert read() == (6, [RANKING.id])  # and not both


def test_a_retracted_pair_is_left_out_of_its_ranking(filled: Store):
    retract(filled, Subject("pairs", PAIRS[0].id), "broken", "me")
    assert queries.retracted_pairs(filled, [RANKING]) == [PAIRS[0].id]
    (kept,) = queries.pairs_of_rankings(filled, [RANKING]).values()
    assert {pair.id for pair in kept} == {PAIRS[1].id, PAIRS[2].id}


def test_a_retracted_prompt_is_asked_no_more(filled: Store):
    known = PromptSet(source="s", prompt_ids=(RANKED.id, SHOWN.id))
    filled.append([known])
    retract(filled, Subject("prompts", SHOWN.id), "broken", "me")
    assert queries.prompts_of(filled, known.id, Split.TRAIN) == [RANKED]


def test_what_is_retracted_cannot_be_retracted_nor_the_rest_be_taken_back(filled: Store):
    subject = Subject("pairs", PAIRS[0].id)
    with pytest.raises(IdError, match="nothing to withdraw"):
        retract(filled, subject, "why", "me", withdrawn=True)
    retract(filled, subject, "broken", "me")
    with pytest.raises(IdError, match="retracted already, by me: broken"):
        retract(filled, subject, "again", "you")
