"""Answers from the policy and from an endpoint; test_serving.py uses a real server."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlhf_core.algorithms.rollouts import roll_out
from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.policy import PolicySettings
from rlhf_core.config.tree import BudgetSettings, SamplingSettings
from rlhf_core.endpoints.budget import Budget
from rlhf_core.endpoints.endpoint import ChatReply, ChatRequest, Endpoint
from rlhf_core.errors import BudgetError, EndpointError
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.trunk import Role
from rlhf_core.records.conversation import ask
from rlhf_core.sampling.candidates import (
    AnswerSampler,
    Completion,
    EndpointSampler,
    PolicySampler,
)
from tests.conftest import FP32
from tests.facts import prompt
from tests.rlhf_core.models.thinker import THOUGHT, write_thinker
from tests.servers import Answer, Server, completion

SAMPLING = SamplingSettings(max_new_tokens=4)
PROMPTS, SEEDS = [prompt("Why?"), prompt("How?")], [[1, 2], [3, 4]]


def answer(body: dict[str, Any], number: int) -> Answer:
    return (400, {}, "{}") if body["seed"] == 2 else completion(f"to seed {body['seed']}")


def check_places(sampler: AnswerSampler) -> list[list[Any]]:
    """Check that every answer is reported once, with its indices in the result."""
    seen: dict[tuple[int, int], Any] = {}
    rows = sampler(PROMPTS, SEEDS, lambda at, seed, found: seen.update({(at, seed): found}))
    assert [len(row) for row in rows] == [2, 2]
    places = {(at, seed): found for at, row in enumerate(rows) for seed, found in enumerate(row)}
    assert {place: str(found) for place, found in seen.items()} == {
        place: str(found) for place, found in places.items()
    }
    return rows


def test_remote_answers_are_reported_where_they_belong():
    server = Server(answer)
    settings = EndpointSettings(model="m", base_url=server.url)
    (first, failed), (third, fourth) = check_places(EndpointSampler(settings, None, SAMPLING))
    server.close()
    assert [found.text for found in (first, third, fourth)] == [f"to seed {n}" for n in (1, 3, 4)]
    assert isinstance(failed, EndpointError)


def test_local_answers_are_reported_alike(trunk):
    check_places(PolicySampler(trunk, Role.REFERENCE, PolicySettings(), SAMPLING))


@pytest.mark.parametrize("delivery", ["direct", "batch"])
def test_no_answer_is_sampled_at_another_temperature_than_is_recorded(delivery: str):
    """Though the server took it at first, or another request has learnt the refusal before."""

    def refuse(body: dict[str, Any], number: int) -> Answer:
        said = json.dumps({"error": {"message": "no", "param": "temperature"}})
        return completion() if "temperature" not in body or number == 1 else (400, {}, said)

    server = Server(refuse)
    settings = EndpointSettings(model=delivery, base_url=server.url, max_attempts=1)
    warm = EndpointSampler(settings, None, SamplingSettings(max_new_tokens=4, temperature=0.7))
    warm.preflight()
    late = warm(PROMPTS, SEEDS)
    assert all("set temperature to 1" in str(found) for row in late for found in row)
    (judged,) = Endpoint(settings).complete([ChatRequest(ask("Why?").messages, 4, 0.0)])
    assert isinstance(judged, ChatReply)
    sent = len(server.requests)
    warm.endpoint.settings = settings.model_copy(update={"delivery": delivery})
    known = warm(PROMPTS, SEEDS)
    assert all("set temperature to 1" in str(found) for row in known for found in row)
    assert len(server.requests) == sent
    server.close()


@pytest.mark.parametrize("calls", [1, 3])
def test_a_sampler_stays_within_its_budget(calls: int):
    """Nothing costs money here, so a limit of $0 allows everything and calls are limited."""
    server = Server(lambda body, number: completion())
    budget = Budget(BudgetSettings(max_usd=0.0, max_calls=calls))
    settings = EndpointSettings(model="m", base_url=server.url)
    rows = EndpointSampler(settings, None, SAMPLING, budget)(PROMPTS, SEEDS)
    server.close()
    refused = [found for row in rows for found in row if isinstance(found, BudgetError)]
    assert (len(server.requests), len(refused)) == (calls, 4 - calls)


@pytest.mark.parametrize(
    ("thinking", "tokens", "expected"),
    [
        ("auto", 16, ("B", THOUGHT, "eos")),
        ("auto", 4, ("", THOUGHT[:3], "length")),
        (False, 16, ("B", None, "eos")),
    ],
)
def test_thoughts_are_kept_apart_from_local_answers(
    tmp_path: Path, thinking: Any, tokens: int, expected: tuple[str, str | None, str]
):
    """Training reads all tokens, judges the answer alone."""
    trunk = open_trunk(write_thinker(tmp_path), FP32, 2)
    sampling = SamplingSettings(max_new_tokens=tokens, temperature=1e-3)
    sampler = PolicySampler(trunk, Role.REFERENCE, PolicySettings(thinking=thinking), sampling)
    ((answer,),) = sampler(PROMPTS[:1], [[1]])
    assert isinstance(answer, Completion)
    assert (answer.text, answer.reasoning, answer.finish_reason) == expected
    assert len(answer.token_ids or ()) == answer.completion_tokens
    ids = [sampler.chat.prompt_ids(PROMPTS[0].conversation)]
    (rollout,) = roll_out(trunk, ids, [0], [[1]], sampling, Role.REFERENCE)
    assert (rollout.text, rollout.finish_reason) == (expected[0], expected[2])
    assert rollout.tokens.response_ids == answer.token_ids


def test_thoughts_are_kept_apart_from_remote_answers():
    message = {"role": "assistant", "content": "The Seine.", "reasoning_content": "A river."}
    server = Server(lambda body, number: completion(message=message))
    settings = EndpointSettings(model="m", base_url=server.url)
    ((answer,),) = EndpointSampler(settings, None, SAMPLING)(PROMPTS[:1], [[1]])
    server.close()
    assert isinstance(answer, Completion)
    assert (answer.text, answer.reasoning) == ("The Seine.", "A river.")
