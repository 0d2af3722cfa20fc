"""Each fault of the table in deploy/docs/endpoints.md: the right verdict, reason and cost."""

import logging
from collections.abc import Callable, Iterator

import pytest

from judges import load
from judges.panel.judge import Answer, Contest, Opinion
from rlhf_core.config import JudgeSettings
from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.endpoints import retries
from rlhf_core.errors import EndpointError
from rlhf_core.records import Outcome
from rlhf_core.sampling.candidates import Completion, EndpointSampler
from tests.endpoint_faults import FAULTS
from tests.endpoint_faults.__main__ import PAGE, page_with_table
from tests.endpoint_faults.fault import Fault
from tests.facts import prompt
from tests.servers import Server, started

ASKED = prompt("What is the capital of France?")
OPTIONS = {"model": "openai:m", "max_attempts": 2}
RUBRIC = "aspects: [{name: helpful, question: Is it helpful, best: 'Yes'}]"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.01)
    with started(Server) as start:
        yield start


def judged(url: str, rubric: str | None = None, **options: object) -> Opinion:
    """The opinion of a judge that comes to its questions through its tiny request."""
    options = {**OPTIONS, "base_url": url, **options}
    kind = {"kind": "rubric", "rubric": rubric} if rubric else {"kind": "pairwise"}
    judge = load(JudgeSettings.model_validate({**kind, **options}))
    judge.preflight()
    if rubric:
        (opinion,) = judge.score([Answer(ASKED, "Paris.")])
    else:
        (opinion,) = judge.compare([Contest(ASKED, "Paris.", "Bananas.")])
    return opinion


def sampled(url: str, **sampling: object) -> Completion | EndpointError:
    settings = EndpointSettings(base_url=url, **OPTIONS)
    sampler = EndpointSampler(settings, None, SamplingSettings(max_new_tokens=40, **sampling))
    sampler.preflight()
    ((answer,),) = sampler([ASKED], [[1]])
    return answer


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{one.by}: {one.name}" for one in FAULTS])
def test_a_fault_gets_the_right_result(fault: Fault, serve, tmp_path, caplog):
    server = serve(fault.answer)
    (tmp_path / "one.yaml").write_text(RUBRIC)
    with caplog.at_level(logging.WARNING):
        if fault.stops:
            ask = sampled if fault.by == "sampler" else judged
            with pytest.raises(EndpointError) as error:
                ask(server.url, **fault.options)
            assert fault.reason in str(error.value)
        elif fault.by == "sampler":
            answer = sampled(server.url, **fault.options)
            if fault.reason:
                assert fault.reason in str(answer)
            else:
                assert isinstance(answer, Completion)
                assert (answer.text, answer.finish_reason) == (fault.wants, "eos")
        else:
            rubric = str(tmp_path / "one.yaml") if fault.by == "rubric" else None
            check(judged(server.url, rubric, **fault.options), fault)
    assert len(server.requests) == fault.requests
    assert fault.warns in caplog.text


def check(opinion: Opinion, fault: Fault) -> None:
    if isinstance(fault.wants, str):
        assert opinion.outcome is Outcome(fault.wants)
        assert fault.reason in str(opinion.reason)
    else:
        found = opinion.score if fault.by == "rubric" else opinion.probability
        assert found == pytest.approx(fault.wants, abs=1e-3), opinion


def test_the_page_shows_every_fault():
    page = PAGE.read_text(encoding="utf-8")
    assert page_with_table(page) == page, "run python -m tests.endpoint_faults"
