"""Real vLLM servers: a panel that judges in three forms, and rollouts of a policy in training.

`make test-vllm` builds the environment of the server beside this one, and runs this file.
"""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.service.vllm_process import vllm_server
from judges import load
from judges.panel.judge import Contest, Opinion
from judges.panel.ledger import Ledger
from rlhf_core.algorithms.online import add_critic, train_online
from rlhf_core.algorithms.scoring import sequence_logprobs
from rlhf_core.config import JudgeSettings
from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.engine import EngineSettings
from rlhf_core.config.policy import PolicySettings
from rlhf_core.config.training import PPOSettings, RLOOSettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.endpoints.profile import profile_of
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.loading import locate
from rlhf_core.models.trunk import Role
from rlhf_core.records import Outcome, Response
from rlhf_core.sampling.candidates import Completion, EndpointSampler, PolicySampler
from rlhf_core.sampling.server import ServerSampler
from tests.conftest import FP32
from tests.facts import prompt
from tests.rlhf_core.algorithms.planted import share_of_low
from tests.servers import ROOT, wait_until_healthy

PYTHON = Path(os.environ.get("VLLM_PYTHON", ROOT / ".venv-vllm" / "bin" / "python"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="needs `make test-vllm`"),
]
POLICY = "smollm2-135m-instruct"
START_SECONDS = 300
OPTIONS = {
    "--max-model-len": "2048",
    "--dtype": "bfloat16",
    "--max-num-seqs": "16",
    "--max-logprobs": "8",
}
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
}
PANEL = """
- {name: soft, kind: pairwise, verdict: logprobs, min_label_mass: 0.0}
- {name: reasons, kind: pairwise, verdict: json, rationale_tokens: 200, max_tokens: 20}
- name: thinks
  kind: pairwise
  verdict: text
  thinking_tokens: 200
  extra_body: {structured_outputs: {regex: "<think>[A-Za-z ,.]{20,120}</think>(A|B)"}}
"""
ASKED = prompt("What is the capital of France?")
CONTESTS = [Contest(ASKED, "Paris.", "Bananas."), Contest(ASKED, "Bananas.", "Paris.")]


class Kept(Ledger):
    """A ledger that shows its replies."""

    def __init__(self) -> None:
        super().__init__()
        self.replies: list[Response] = []
        self.on_answer = self.replies.append


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    model = locate(POLICY)
    command = [str(PYTHON), "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    address = ["--served-model-name", "smollm2", "--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path_factory.mktemp("vllm") / "log"
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, *address, "--enforce-eager", *chain(*OPTIONS.items())],
            env={**inherited, **ENVIRONMENT},
            cwd=log.parent,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until_healthy(server, f"http://127.0.0.1:{port}/health", START_SECONDS)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineSettings]:
    """A server that Solon starts, in fp32, so that its log-probabilities can be compared."""
    settings = EngineSettings(
        kind="vllm",
        python=str(PYTHON),
        options={
            "dtype": "float32",
            "max-model-len": 512,
            "max-num-seqs": 8,
            "enforce-eager": True,
        },
        concurrency=8,
    )
    log = tmp_path_factory.mktemp("engine") / "log"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        with vllm_server(settings, Path(locate(POLICY)), 8, log) as url:
            yield EngineSettings(kind="vllm", url=url, concurrency=8)


def run(url: str, options: dict[str, Any]) -> tuple[list[Opinion], list[Response]]:
    """The opinions of one judge of the panel, after its tiny request, and its replies."""
    remote = {"model": "openai:smollm2", "base_url": url, "timeout_seconds": 120.0}
    ledger = Kept()
    judge = load(JudgeSettings.model_validate({**remote, **options}), ledger)
    judge.check()
    judge.preflight()
    return judge.compare(CONTESTS), ledger.replies


def test_a_panel_of_three_forms_of_verdict_on_one_server(url: str):
    """The server allows 8 alternatives of a token, so the 10 that are asked for become 8."""
    options = yaml.safe_load(PANEL)
    soft, reasons, thinks = [run(url, each) for each in options]
    for opinion in soft[0]:
        assert opinion.probability is not None
        assert 0.0 <= opinion.probability <= 1.0
    assert all(json.loads(str(reply.probabilities)) for reply in soft[1])
    for opinion in reasons[0]:
        assert opinion.probability is not None
        assert 0.0 < opinion.probability < 1.0  # soft too: read at the verdict's own token
        assert json.loads(str(opinion.raw_output))["rationale"]
    for opinion in thinks[0]:
        assert opinion.outcome in (Outcome.FIRST, Outcome.SECOND)
        assert opinion.probability in (0.0, 1.0)
    for reply in thinks[1]:
        thoughts, verdict = reply.text.removeprefix("<think>\n").split("\n</think>\n")
        assert len(thoughts) >= 20
        assert verdict in ("A", "B")
    settings = EndpointSettings(model="openai:smollm2", base_url=url)
    assert profile_of(settings).top_logprobs == 8
    decides = {name: options[-1][name] for name in ("thinking_tokens", "extra_body")}
    assert profile_of(settings.model_copy(update=decides)).thinks


def test_a_real_server_samples_for_the_policy(url: str):
    settings = EndpointSettings(model="smollm2", base_url=url, concurrency=2)
    sampler = EndpointSampler(settings, "Answer briefly.", SamplingSettings(max_new_tokens=12))
    sampler.preflight()
    ((one, other),) = sampler([ASKED], [[1, 2]])
    for answer in (one, other):
        assert isinstance(answer, Completion)
        assert answer.text
        assert 0 < answer.completion_tokens <= 12


@pytest.mark.parametrize("algorithm", ["ppo", "rloo"])
def test_a_real_server_samples_candidates_and_rollouts(
    algorithm: str, engine: EngineSettings, tmp_path: Path
):
    """The adapter moves by over 0.02 nats a token between the steps, and the server follows it."""
    trunk = open_trunk(POLICY, FP32, 8)
    sampling = SamplingSettings(max_new_tokens=12, engine=engine)
    sampler = ServerSampler(engine, Path(locate(POLICY)), tmp_path)
    candidates = PolicySampler(trunk, Role.REFERENCE, PolicySettings(), sampling, sampler)
    ((one, other),) = candidates([ASKED], [[1, 2]])
    for answer in (one, other):
        assert isinstance(answer, Completion)
        assert answer.token_ids
        assert len(answer.token_ids) == len(answer.logprobs or ()) == answer.completion_tokens
    trunk.add_role(Role.POLICY, 1)
    trunk.add_role(Role.REWARD, 1)
    kind = PPOSettings if algorithm == "ppo" else RLOOSettings
    settings = kind(
        algorithm=algorithm,
        steps=2,
        prompts_per_step=2,
        samples_per_prompt=4,
        minibatches=1,
        learning_rate=0.01,
        missing_eos_score=None,
    )
    if isinstance(settings, PPOSettings):
        add_critic(trunk, settings)
    prompts = [
        tuple(candidates.chat.prompt_ids(prompt(text).conversation))
        for text in ("What is the capital of France?", "Name a colour.")
    ]
    steps = train_online(trunk, prompts, share_of_low, settings, sampling, 1, sampler=sampler)
    first, second = list(steps)
    for step in (first, second):
        assert step.metrics["sampling_gap"] < 1e-3
        assert step.metrics["importance_weight"] == pytest.approx(1.0, abs=1e-2)
        assert step.metrics["importance_cut"] == 0.0
    sequences = [rollout.tokens for rollout in second.rollouts]
    tokens = sum(len(each.response_ids) for each in sequences)
    said = sum(sum(rollout.logprobs) for rollout in second.rollouts)
    before = sequence_logprobs(trunk, Role.REFERENCE, sequences, 1.0).sum().item()
    assert abs(said - before) / tokens > 0.02  # so another adapter than the first was loaded
    sampler.close()
    assert list(tmp_path.iterdir()) == []
