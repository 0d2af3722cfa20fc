"""The two samplers with one interface; test_serving.py uses a real server."""

from typing import Any

import pytest

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.tree import BudgetSettings, SamplingSettings
from rlhf_core.endpoints.budget import Budget
from rlhf_core.errors import BudgetError, EndpointError
from rlhf_core.models.trunk import Role
from rlhf_core.sampling.samplers import EndpointSampler, LocalSampler, Sampler
from tests.facts import prompt
from tests.servers import Answer, Server, completion

SAMPLING = SamplingSettings(max_new_tokens=4)
PROMPTS, SEEDS = [prompt("Why?"), prompt("How?")], [[1, 2], [3, 4]]


def answer(body: dict[str, Any], number: int) -> Answer:
    return (400, {}, "{}") if body["seed"] == 2 else completion(f"to seed {body['seed']}")


def check_places(sampler: Sampler) -> list[list[Any]]:
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
    check_places(LocalSampler(trunk, Role.REFERENCE, None, SAMPLING))


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
