"""Remote sampler and remote judge against a real OpenAI-compatible server: `transformers serve`.

It gives no log-probabilities, so the judge falls back on the words, as with many real servers.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from judges import load
from judges.panel.judge import Contest
from rlhf_core.config import JudgeSettings
from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.models.loading import locate
from rlhf_core.records import Outcome
from rlhf_core.sampling.candidates import Completion, EndpointSampler
from tests.facts import prompt
from tests.servers import wait_until_healthy

START_SECONDS = 120
ASKED = prompt("What is the capital of France?", reference_answers=("Paris.",))


@pytest.fixture(scope="module")
def model() -> str:
    return locate("smollm2-135m-instruct")


@pytest.fixture(scope="module")
def url(model: str) -> Iterator[str]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", model]
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_healthy(server, f"http://127.0.0.1:{port}/health", START_SECONDS)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()


def test_sampling_from_a_real_server(url: str, model: str):
    settings = EndpointSettings(model=model, base_url=url, concurrency=2)
    sampler = EndpointSampler(settings, "Answer briefly.", SamplingSettings(max_new_tokens=12))
    ((one, other),) = sampler([ASKED], [[1, 2]])
    for answer in (one, other):
        assert isinstance(answer, Completion)
        assert answer.text
        assert 0 < answer.completion_tokens <= 13
        assert answer.prompt_tokens > 10
        assert answer.finish_reason in ("eos", "length")
        assert answer.logprobs is None
        assert answer.latency_seconds > 0


def test_judging_by_a_real_server(url: str, model: str):
    options = {"model": f"openai:{model}", "base_url": url, "top_logprobs": None, "max_tokens": 4}
    judge = load(JudgeSettings.model_validate({"kind": "pairwise", **options}))
    contests = [Contest(ASKED, "Paris.", "Bananas."), Contest(ASKED, "Bananas.", "Paris.")]
    for opinion in judge.compare(contests):
        assert opinion.outcome is not Outcome.UNAVAILABLE, opinion.reason
        assert opinion.raw_output
        assert opinion.completion_tokens > 0
        assert (opinion.probability is None) == (opinion.outcome is Outcome.UNPARSED)


def test_a_model_the_server_does_not_have_is_a_failure_with_its_reason(url: str):
    settings = EndpointSettings(model="no/such-model", base_url=url, max_attempts=1)
    sampler = EndpointSampler(settings, None, SamplingSettings(max_new_tokens=4))
    ((answer,),) = sampler([ASKED], [[1]])
    assert not isinstance(answer, Completion)
    assert "HTTP 4" in str(answer)
