"""Sampling on a server with vLLM's protocol; test_vllm.py uses the real one."""

import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf_core.algorithms.online import add_critic, train_online
from rlhf_core.algorithms.rollouts import RolloutStep
from rlhf_core.algorithms.selection import Trial
from rlhf_core.algorithms.sft import SELECTION_SCORE, train_sft
from rlhf_core.config.engine import EngineSettings
from rlhf_core.config.training import PPOSettings, RLOOSettings
from rlhf_core.config.tree import SamplingSettings, SFTSettings
from rlhf_core.errors import ConfigError, EndpointError, TrainingError
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.loading import locate
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.completion import read_sample, reports_raw_logprobs
from rlhf_core.sampling.local import Sample, SamplingLimits
from rlhf_core.sampling.sampler import LOCAL, Sampler, limits_of
from rlhf_core.sampling.server import ServerSampler
from tests.conftest import FP32
from tests.fake_vllm import FakeVLLM, serve
from tests.rlhf_core.algorithms.planted import random_tokens, share_of_low

NewTrunk = Callable[[], Trunk]
TINY = Path(locate("tiny-random"))
PROMPTS = [random_tokens(torch.Generator().manual_seed(2), 4 + index) for index in range(4)]
STEPS = {
    "steps": 2,
    "prompts_per_step": 2,
    "samples_per_prompt": 2,
    "missing_eos_score": None,  # no answer of six tokens ends
}
LIMITS = SamplingLimits(3, 1.0, frozenset({2}), 0)
VOCABULARY = 259
"""Tokens that the tiny model knows."""


class Place:
    """A fake server, and the settings and samplers that use it."""

    def __init__(self, fake: FakeVLLM, folder: Path) -> None:
        self.fake = fake
        self.http = serve(fake)
        self.folder = folder / "engine"

    def settings(self, **changes: Any) -> EngineSettings:
        url = f"http://127.0.0.1:{self.http.server_port}"
        chosen = {"kind": "vllm", "url": url, "importance_cap": None, "max_attempts": 1, **changes}
        return EngineSettings.model_validate(chosen)

    def sampler(self, **changes: Any) -> ServerSampler:
        return ServerSampler(self.settings(**changes), TINY, self.folder)

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.fake.refuse = lambda path, body: None
        self.fake.forget()


@pytest.fixture(scope="module")
def fake() -> FakeVLLM:
    return FakeVLLM(str(TINY))


@pytest.fixture
def place(fake: FakeVLLM, tmp_path: Path) -> Iterator[Place]:
    with closing(Place(fake, tmp_path)) as found:
        yield found
        found.fake.root = str(TINY)


@pytest.fixture(scope="module")
def model() -> Trunk:
    """A policy that no test trains."""
    trunk = open_trunk("tiny-random", FP32, 4)
    trunk.add_role(Role.POLICY, 1)
    return trunk


def ask(model: Trunk, sampler: Sampler, role: Role = Role.POLICY, **limits: Any) -> list[Sample]:
    """Return the answers of a role to a prompt, of two tokens at most."""
    sampling = SamplingSettings.model_validate({"max_new_tokens": 2, **limits})
    (found,) = sampler.sample(model, role, PROMPTS[:1], [[7, 8]], limits_of(model, sampling))
    return found


def train(
    trunk: Trunk,
    sampler: Sampler,
    engine: EngineSettings | None = None,
    settings: PPOSettings | RLOOSettings | None = None,
) -> list[RolloutStep]:
    """Return the steps of a training: two of PPO, on two prompts with two answers each."""
    chosen = settings or PPOSettings.model_validate({**STEPS, "learning_rate": 0.05})
    trunk.add_role(Role.POLICY, 1)
    if isinstance(chosen, PPOSettings):
        trunk.add_role(Role.REWARD, 1)
        add_critic(trunk, chosen)
    sampling = SamplingSettings(max_new_tokens=6, engine=engine or EngineSettings())
    steps = train_online(trunk, PROMPTS, share_of_low, chosen, sampling, 1, sampler=sampler)
    return list(steps)


def test_ppo_on_a_server_that_samples_alike_is_ppo_to_the_last_bit(
    new_trunk: NewTrunk, place: Place
):
    """Each step's weights are loaded under a name of their own, and the old ones unloaded."""
    local, remote = new_trunk(), new_trunk()
    expected = train(local, LOCAL)
    sampler = place.sampler()
    found = train(remote, sampler, place.settings())
    assert [[r.tokens for r in step.rollouts] for step in found] == [
        [r.tokens for r in step.rollouts] for step in expected
    ]
    for ours, theirs in zip(found, expected, strict=True):
        gap, other = (dict(step.metrics).pop("sampling_gap") for step in (ours, theirs))
        assert gap == pytest.approx(other, abs=1e-5)
        assert {**ours.metrics, "sampling_gap": 0} == {**theirs.metrics, "sampling_gap": 0}
    for kept, trained in zip(
        local.parameters(Role.POLICY), remote.parameters(Role.POLICY), strict=True
    ):
        assert torch.equal(kept, trained)
    assert {answer.engine for step in found for answer in step.rollouts} == {"vllm 0.0.fake"}
    first, second = [body["lora_name"] for body in place.fake.bodies("/v1/load_lora_adapter")]
    assert first != second
    assert place.fake.bodies("/v1/unload_lora_adapter") == [{"lora_name": first}]
    models = [body["model"] for body in place.fake.bodies("/v1/completions")]
    assert models == [first] * 4 + [second] * 4
    assert [folder.name for folder in place.folder.glob("*/*")] == [second]
    sampler.close()
    assert place.fake.bodies("/v1/unload_lora_adapter")[1:] == [{"lora_name": second}]
    assert list(place.folder.iterdir()) == []


def test_weights_that_a_server_tries_are_chosen_to_the_last_bit(new_trunk: NewTrunk, place: Place):
    """Fine-tuning with a trial after each of two epochs; each trial loads the weights anew."""
    demonstrations = [TokenSequence(tuple(prompt), (5, 6, 2)) for prompt in PROMPTS]
    settings = SFTSettings(epochs=2, prompts_per_step=2, learning_rate=0.01)
    sampling = SamplingSettings(max_new_tokens=6)
    chosen, scores = [], []
    for sampler in (LOCAL, place.sampler()):
        trunk = new_trunk()
        trial = Trial(PROMPTS[:2], share_of_low, sampling, 1, None, sampler)
        steps = list(train_sft(trunk, demonstrations, settings, 1, trial=trial))
        scores.append([step.metrics.get(SELECTION_SCORE) for step in steps])
        chosen.append(trunk.parameters(Role.SFT))
    assert scores[0] == scores[1]
    assert [score is not None for score in scores[0]] == [False, True, False, True]
    assert all(map(torch.equal, *chosen))
    assert len(place.fake.bodies("/v1/load_lora_adapter")) == 2


def test_equal_weights_are_loaded_once_and_the_base_never(place: Place, model: Trunk):
    model.copy_role(Role.POLICY, Role.CHAMPION)
    sampler = place.sampler()
    for role in (Role.REFERENCE, Role.POLICY, Role.CHAMPION):
        found, expected = ask(model, sampler, role), ask(model, LOCAL, role)
        assert [one.token_ids for one in found] == [one.token_ids for one in expected]
    assert len(place.fake.bodies("/v1/load_lora_adapter")) == 1


def test_adapters_of_a_process_that_was_killed_are_removed(place: Place, model: Trunk):
    """Nobody holds the lock of its folder any more; a sampler that lives keeps its own."""
    left = place.folder / f".solon-{'0' * 32}.partial" / "solon-1"
    left.mkdir(parents=True)
    first, second = place.sampler(), place.sampler()
    ask(model, first)
    assert not left.parent.exists()
    ask(model, second)
    assert len(list(place.folder.glob("*/*"))) == 2
    for each in (first, second):
        each.close()
    assert list(place.folder.iterdir()) == []


def test_an_engine_that_is_another_policy_is_weighted_up_to_the_cap(
    new_trunk: NewTrunk, place: Place
):
    """It says e^0.4 times less than the policy has: each weight is 1.49, and cut to 1.2."""
    settings = RLOOSettings.model_validate(
        {**STEPS, "algorithm": "rloo", "steps": 1, "minibatches": 1}
    )
    (plain,) = train(new_trunk(), LOCAL, None, settings)
    place.fake.shift = -0.4
    (uncut,) = train(new_trunk(), place.sampler(), place.settings(importance_cap=2.0), settings)
    (cut,) = train(new_trunk(), place.sampler(), place.settings(importance_cap=1.2), settings)
    assert uncut.metrics["sampling_gap"] == pytest.approx(0.4, abs=1e-4)
    assert uncut.metrics["importance_weight"] == pytest.approx(1.4918247, abs=1e-4)
    assert (uncut.metrics["importance_cut"], cut.metrics["importance_cut"]) == (0.0, 1.0)
    assert cut.metrics["importance_weight"] == pytest.approx(1.2, abs=1e-6)
    norm = plain.metrics["policy_grad_norm"]
    assert norm > 1e-3
    assert cut.metrics["policy_grad_norm"] == pytest.approx(1.2 * norm, rel=1e-4)
    assert uncut.metrics["policy_grad_norm"] == pytest.approx(1.4918247 * norm, rel=1e-3)


def test_an_engine_with_another_model_is_refused(trunk: Trunk, place: Place):
    place.fake.shift = -0.6
    settings = RLOOSettings(algorithm="rloo", steps=1, prompts_per_step=2, samples_per_prompt=2)
    with pytest.raises(TrainingError, match=r"0\.60 nats a token: it serves another model"):
        train(trunk, place.sampler(), place.settings(), settings)


def test_a_trunk_on_another_base_than_the_served_one_is_refused(place: Place, tmp_path: Path):
    """Its adapter would be loaded onto the served base, whose answers would pass for its own."""
    shutil.copytree(TINY, tmp_path / "other")
    other, sampler = open_trunk(str(tmp_path / "other"), FP32, 4), place.sampler()
    with pytest.raises(ValueError, match=f"adapters on {TINY}, not on {tmp_path / 'other'}"):
        ask(other, sampler, Role.REFERENCE)


def test_a_server_of_another_model_is_refused(place: Place):
    place.fake.root = "/models/sft-other"
    with pytest.raises(ConfigError, match=r"serves /models/sft-other.*start it with --model /"):
        place.sampler()


@pytest.mark.parametrize(
    ("status", "reply", "advice"),
    [
        (404, {"detail": "Not Found"}, "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"),
        (
            400,
            {"error": {"message": "LoRA rank 4 is greater than max_lora_rank 1."}},
            "--max-lora-rank of at least policy.lora_rank",
        ),
        (500, {"error": {"message": "LoRA is not enabled."}}, "--enable-lora"),
        (404, {"error": {"message": "No adapter found for /a"}}, "under the same path"),
    ],
)
def test_an_adapter_that_does_not_load_says_what_to_do(
    model: Trunk, place: Place, status: int, reply: Any, advice: str
):
    place.fake.refuse = lambda path, body: (status, reply) if "load" in path else None
    with pytest.raises(EndpointError, match=f"did not load.*{status}.*{advice}"):
        ask(model, place.sampler())
    assert list(place.folder.glob("*/*")) == []


def test_a_server_killed_in_mid_rollout_ends_the_step_and_nothing_is_kept(
    trunk: Trunk, place: Place
):
    """The third answer of the second step finds nobody; the first step's work stands."""

    def refuse(path: str, body: Any) -> tuple[int, Any] | None:
        if path == "/v1/completions" and len(place.fake.bodies(path)) > 10:
            place.http.socket.close()
            raise ConnectionAbortedError
        return None

    place.http.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    place.fake.refuse = refuse
    trunk.add_role(Role.POLICY, 1)
    settings = RLOOSettings(algorithm="rloo", steps=2, prompts_per_step=4, samples_per_prompt=2)
    sampling = SamplingSettings(max_new_tokens=2, engine=place.settings(concurrency=1))
    sampler = place.sampler(concurrency=1)
    steps = train_online(trunk, PROMPTS, share_of_low, settings, sampling, 1, sampler=sampler)
    next(steps)
    before = [parameter.clone() for parameter in trunk.parameters(Role.POLICY)]
    with pytest.raises(EndpointError, match="left an answer out, so none is kept"):
        next(steps)
    assert all(map(torch.equal, before, trunk.parameters(Role.POLICY)))


def test_a_server_that_is_busy_is_asked_again(model: Trunk, place: Place):
    busy = iter([(503, {"error": {"message": "busy"}})])
    place.fake.refuse = lambda path, body: next(busy, None) if "completions" in path else None
    found, expected = ask(model, place.sampler(max_attempts=2)), ask(model, LOCAL)
    assert [one.token_ids for one in found] == [one.token_ids for one in expected]


def test_log_probabilities_from_before_the_temperature_are_refused(model: Trunk, place: Place):
    sampler = place.sampler()
    ask(model, sampler, temperature=0.5)
    place.fake.ignores_temperature = True
    ask(model, sampler, temperature=0.5)  # the server was tested already
    with pytest.raises(ConfigError, match="--logprobs-mode processed_logprobs"):
        ask(model, place.sampler(), temperature=0.5)


def test_a_colocated_server_sleeps_between_samplings(model: Trunk, place: Place):
    ask(model, place.sampler(sleep=True, send_seeds=False), Role.REFERENCE)
    paths = [path for path, _ in place.fake.calls]
    sampling = ["/wake_up", *["/v1/completions"] * 2, "/sleep?level=1"]
    assert paths == ["/wake_up", "/sleep?level=1", *sampling]
    assert "seed" not in place.fake.bodies("/v1/completions")[0]


def test_a_server_without_sleep_mode_says_so(place: Place):
    place.fake.refuse = lambda path, body: (404, {"detail": "Not Found"})
    with pytest.raises(EndpointError, match="VLLM_SERVER_DEV_MODE=1, or set sleep to false"):
        place.sampler(sleep=True)


def reply(**changes: Any) -> bytes:
    choice = {
        "token_ids": [5, 6, 2],
        "finish_reason": "stop",
        "logprobs": {"token_logprobs": [-0.5, -1.0, -2.0]},
    }
    return json.dumps({"choices": [{**choice, **changes}]}).encode()


def test_an_answer_ends_with_its_end_token_or_at_its_limit():
    expected = Sample((5, 6, 2), (-0.5, -1.0, -2.0), "eos")
    assert read_sample(reply(), LIMITS, VOCABULARY) == expected
    assert read_sample(reply(finish_reason="length"), LIMITS, VOCABULARY) == expected
    cut = read_sample(reply(token_ids=[5, 6, 9], finish_reason="length"), LIMITS, VOCABULARY)
    assert cut.finish_reason == "length"
    certain = reply(logprobs={"token_logprobs": [0, 1e-7, -2.0]})  # rounding
    assert read_sample(certain, LIMITS, VOCABULARY).logprobs == (0.0, 1e-7, -2.0)


UNUSABLE = [
    ({"token_ids": None}, "no token ids; vLLM does from"),
    ({"logprobs": None}, "no log-probabilities of its tokens"),
    ({"logprobs": {"token_logprobs": [-0.5, -1.0]}}, "3 tokens with 2 log-probabilities"),
    ({"token_ids": [5, 2]}, "2 tokens with 3 log-probabilities"),
    ({"logprobs": {"token_logprobs": [-0.5, None, -2.0]}}, "None as a log-probability"),
    ({"logprobs": {"token_logprobs": [-0.5, math.nan, -2.0]}}, "nan as a log-probability.*--dtype"),
    ({"logprobs": {"token_logprobs": [-math.inf, -1.0, -2.0]}}, "-inf as a log-probability"),
    ({"logprobs": {"token_logprobs": [-0.5, 3.0, -2.0]}}, r"3\.0 as a log-probability"),
    ({"token_ids": [5, VOCABULARY, 2]}, "the token 259, and the policy knows the tokens 0 to 258"),
    ({"token_ids": [-1, 6, 2]}, "the token -1"),
    ({"token_ids": ["5", 6, 2]}, "the token '5'"),
    ({"finish_reason": "abort"}, r"broke an answer off after 3 tokens \(finish_reason 'abort'"),
    ({"finish_reason": None}, "finish_reason None, and a whole answer has stop or length"),
    ({"token_ids": [5, 2, 6]}, "goes on after its end"),
    ({"token_ids": [], "logprobs": {"token_logprobs": []}}, "is empty"),
    ({"token_ids": [5, 6, 7]}, "ended an answer after 3 of 3"),
    (
        {"token_ids": [5], "logprobs": {"token_logprobs": [-0.5]}, "finish_reason": "length"},
        "--max-model-len",
    ),
]


@pytest.mark.parametrize(("changes", "reason"), UNUSABLE)
def test_a_reply_without_a_whole_answer_is_an_error(changes: dict[str, Any], reason: str):
    with pytest.raises(EndpointError, match=reason):
        read_sample(reply(**changes), LIMITS, VOCABULARY)


@pytest.mark.parametrize(("changes", "reason"), UNUSABLE)
def test_an_answer_that_cannot_be_used_trains_nothing(
    model: Trunk, place: Place, changes: dict[str, Any], reason: str
):
    """The second of two answers is spoilt; the sampler returns neither."""
    assert model.vocabulary == VOCABULARY
    whole, spoilt = json.loads(reply()), json.loads(reply(**changes))
    replies = iter([(200, whole), (200, spoilt)])
    place.fake.refuse = lambda path, body: next(replies) if "completions" in path else None
    sampler = place.sampler(concurrency=1)
    place_of_server = re.escape(f"server at http://127.0.0.1:{place.http.server_port} ")
    with pytest.raises(EndpointError, match=f"{place_of_server}cannot be used.*{reason}"):
        sampler.sample(model, Role.REFERENCE, PROMPTS[:1], [[7, 8]], LIMITS)


def test_a_reply_that_is_cut_off_in_mid_transfer_is_an_error(model: Trunk, place: Place):
    place.fake.sends_half = True
    with pytest.raises(EndpointError, match="left an answer out, so none is kept"):
        ask(model, place.sampler(), Role.REFERENCE)


@pytest.mark.parametrize("tops", [{"5": math.nan, "6": -1.0}, {"5": None, "6": -1.0}])
def test_a_probe_without_numbers_is_an_error(tops: dict[str, Any]):
    probe = reply(logprobs={"top_logprobs": [tops]})
    with pytest.raises(EndpointError, match="are no log-probabilities"):
        reports_raw_logprobs(probe, probe)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"choices": []}', b'{"choices": [1]}'])
def test_a_reply_that_is_no_completion_is_an_error(content: bytes):
    with pytest.raises(EndpointError, match="no completion"):
        read_sample(content, LIMITS, VOCABULARY)
