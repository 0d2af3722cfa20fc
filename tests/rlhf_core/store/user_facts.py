"""The facts of a whole cycle behind one prompt, each text with a mark of its own in it."""

from collections.abc import Sequence
from zlib import crc32

from rlhf_core.records import (
    Candidate,
    EvaluationResult,
    Failure,
    HumanVerdict,
    Judgement,
    JudgeProbe,
    ModelInput,
    ModelKind,
    ModelVersion,
    Outcome,
    Pair,
    PairOutcome,
    PrivacyFinding,
    Prompt,
    PromptUser,
    Ranking,
    Record,
    Response,
    Revision,
    RolloutRecord,
    SpotCheck,
    Strategy,
)
from tests import facts
from tests.facts import candidate, prompt, response


def model(kind: ModelKind, recipe: str, parent_id: str | None = None) -> ModelVersion:
    return ModelVersion(kind=kind, base="b", parent_id=parent_id, recipe=recipe, config_hash="c")


REWARD = model(ModelKind.REWARD, "learns from the rankings")
POLICY = model(ModelKind.POLICY, "learns from the reward model")
NEXT = model(ModelKind.POLICY, "goes on from that policy", POLICY.id)
BASE = model(ModelKind.SFT, "comes before them all")
EVALUATION = facts.evaluation(
    POLICY.id,
    BASE.id,
    win_rate=1.0,
    win_rate_low=0.1,
    win_rate_high=1.0,
    policy_score=1.0,
    baseline_score=0.0,
    kl=0.1,
)
MODELS = [
    *(REWARD, POLICY, NEXT, BASE, EVALUATION),
    ModelInput(model_id=POLICY.id, input_table="models", input_id=REWARD.id),
]


def asked(user: str, mark: str) -> tuple[Prompt, PromptUser]:
    found = prompt(f"{mark}-prompt", reference_answers=(f"{mark}-reference",))
    return found, PromptUser(prompt_id=found.id, user_id=user)


def chain(of: Prompt, mark: str) -> list[Record]:
    """All that can come from a prompt; its responses are the last two."""
    answers = [candidate(f"{mark}-answer-{n}", n, prompt_id=of.id) for n in range(2)]
    said, unread = response(f"{mark}-said"), response(f"{mark}-critique-said")
    judgement = judged(answers[0], mark, said)
    ranking, pair = paired(answers, judgement)
    others: list[Record] = [
        *(judgement, ranking, pair),
        revised(of, mark, unread),
        checked(pair, mark),
        *trained(of, mark, ranking),
        compared(answers),
        JudgeProbe(
            line="l",
            cycle=2,
            judge="j",
            judge_version="j-1",
            judgement_id=judgement.id,
            outcome=Outcome.SCORED,
            score=0.5,
        ),
        Failure(stage="judge", subject_id=answers[1].id, reason=f"{mark}-failed", attempt="a"),
        PrivacyFinding(
            prompt_set_id="s", source="f", kind="email", action="counted", prompt_id=of.id, spans=1
        ),
    ]
    return [of, *answers, *others, said, unread]


def judged(answer: Candidate, mark: str, said: Response) -> Judgement:
    return Judgement(
        prompt_id=answer.prompt_id,
        judge="j",
        judge_version="j-1",
        candidate_id=answer.id,
        outcome=Outcome.SCORED,
        score=0.5,
        raw_output=f"{mark}-raw",
        reason=f"{mark}-rationale",
        response_ids=(said.id,),
    )


def paired(answers: Sequence[Candidate], judgement: Judgement) -> tuple[Ranking, Pair]:
    left, right = answers
    ranking = Ranking(
        prompt_id=left.prompt_id,
        model_id="sft-test",
        seed=1,
        recipe="r",
        candidate_ids=(left.id, right.id),
        utilities=(1.0, 0.0),
        judgement_ids=(judgement.id,),
    )
    pair = Pair(
        prompt_id=left.prompt_id,
        ranking_id=ranking.id,
        left_id=left.id,
        right_id=right.id,
        outcome=PairOutcome.TIE,
        judgement_ids=(judgement.id,),
        judge_versions=("j-1",),
        config_hash="c",
    )
    return ranking, pair


def compared(answers: Sequence[Candidate]) -> EvaluationResult:
    ours, theirs = answers
    return EvaluationResult(
        evaluation_id=EVALUATION.id,
        prompt_id=ours.prompt_id,
        sample=0,
        policy_candidate_id=ours.id,
        baseline_candidate_id=theirs.id,
        margin=1.0,
    )


def revised(of: Prompt, mark: str, said: Response) -> Revision:
    return Revision(
        prompt_id=of.id,
        reviser="v",
        model="m",
        round=0,
        critique=f"{mark}-critique",
        text=f"{mark}-mended",
        response_ids=(said.id,),
    )


def checked(pair: Pair, mark: str) -> SpotCheck:
    return SpotCheck(
        pair_id=pair.id,
        prompt_id=pair.prompt_id,
        left_id=pair.left_id,
        right_id=pair.right_id,
        person="p",
        verdict=HumanVerdict.TIE,
        note=f"{mark}-note",
        strategy=Strategy.RANDOM,
        shown_left=pair.left_id,
        seconds=1.0,
        round=1,
    )


def trained(of: Prompt, mark: str, ranking: Ranking) -> tuple[RolloutRecord, ModelInput]:
    """A reward model learnt from the ranking, and a policy answered the prompt in training."""
    rollout = RolloutRecord(
        model_id=POLICY.id,
        step=1,
        row=crc32(mark.encode()) % 2**20,
        prompt_id=of.id,
        text=f"{mark}-rollout",
        score=0.0,
        kl=0.0,
        completion_tokens=1,
        finish_reason="eos",
    )
    learnt = ModelInput(model_id=REWARD.id, input_table="rankings", input_id=ranking.id)
    return rollout, learnt
