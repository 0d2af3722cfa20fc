"""Records made by hand, as short as a test wants them. Imports no torch."""

from pathlib import Path

from rlhf_core.preferences.spot_checks import CheckablePair, Shown
from rlhf_core.records import Candidate, Evaluation, Mode, Prompt, Response, Split
from rlhf_core.store import QueryResult, reading


def prompt(text: str = "Why?", **fields: object) -> Prompt:
    defaults = {"mode": Mode.KNOWLEDGE_SEEKING, "split": Split.TRAIN}
    return Prompt.model_validate({"text": text, **defaults, **fields})


def candidate(text: str, index: int = 0, **fields: object) -> Candidate:
    defaults = {
        "prompt_id": prompt().id,
        "model_id": "sft-test",
        "sampling": "s",
        "temperature": 1.0,
        "max_new_tokens": 8,
        "seed": 1,
        "sample_index": index,
        "finish_reason": "eos",
        "prompt_tokens": 3,
        "completion_tokens": len(text.split()) + 1,
    }
    return Candidate.model_validate({"text": text, **defaults, **fields})


def evaluation(policy_id: str, baseline_id: str, **fields: object) -> Evaluation:
    """An evaluation by a judge on one prompt, without opinions unless the fields have them."""
    defaults = {
        "judge": "j",
        "judge_version": "j-1",
        "role": "decides",
        "settings": "s",
        "prompts": 1,
        "comparisons": 1,
        "unscored": 0,
        "win_rate": None,
        "win_rate_low": None,
        "win_rate_high": None,
        "policy_score": None,
        "baseline_score": None,
        "policy_tokens": 1.0,
        "baseline_tokens": 1.0,
        "policy_eos_rate": 1.0,
        "kl": 0.0,
    }
    models = {"policy_id": policy_id, "baseline_id": baseline_id}
    return Evaluation.model_validate({**models, **defaults, **fields})


def response(text: str = "", **fields: object) -> Response:
    defaults = {"request_hash": text, "model": "m", "finish_reason": "eos", "prompt_tokens": 9}
    return Response.model_validate({"text": text, **defaults, **fields})


def checkable_pair(one: str, other: str, **fields: object) -> CheckablePair:
    """A pair of answers by their words; ids are the words too."""
    defaults: dict[str, object] = {
        "pair_id": f"{one}|{other}",
        "prompt_id": prompt().id,
        "prompt": "Why?",
        "context": None,
        "left": Shown(one, one),
        "right": Shown(other, other),
        "dissent": 0.0,
        "margin": 0.5,
        "weight": 0.0,
    }
    return CheckablePair(**{**defaults, **fields})  # type: ignore[arg-type]


def query_store(path: Path | str, sql: str) -> QueryResult:
    """Return what one statement of an auditor finds in the store at `path`."""
    with reading(path) as snapshot:
        return snapshot.query(sql)
