"""What experiments sample on an engine: answers of the SFT model, of policies, and of the base."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows.cycle.cycle import cycle_of
from flows.cycle.engine import open_base_engine, open_engine
from flows.experiments.catalogue import find_experiment
from flows.experiments.experiment import Findings
from flows.experiments.laboratory import HeldOut, Laboratory, pointwise
from flows.experiments.runner import Setting, describe_plan
from rlhf_core.algorithms.rollouts import Rollout
from rlhf_core.config import Config
from rlhf_core.config.engine import EngineSettings
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.trunk import Role
from rlhf_core.records import Split
from tests.conftest import FP32, ROOT
from tests.flows.conftest import SMOKE

TINY = (f"prompts.path={ROOT / 'deploy/prompts/default.jsonl'}", "compute.precision=fp32")

PYTHON = "/opt/vllm/bin/python"
UNWEIGHTED = f"sampling.engine={{kind: vllm, python: {PYTHON}, importance_cap: null}}"


def answered(rollouts: Sequence[Rollout]) -> list[tuple[int, ...]]:
    return [rollout.tokens.response_ids for rollout in rollouts]


@pytest.mark.usefixtures("vllm_here")
def test_held_out_answers_on_an_engine_are_those_of_this_process(finished: Config):
    compute = finished.compute.model_copy(update={"precision": "fp32"})
    config = finished.model_copy(update={"compute": compute})
    engine = EngineSettings(kind="vllm", python=PYTHON)
    sampling = config.sampling.model_copy(update={"engine": engine})
    with ExitStack() as stack:
        lab = Laboratory(cycle_of(config, 1), stack)
        held_out = HeldOut(lab, lab.prompts(Split.HOLDOUT)[:3], pointwise(config))
        remote = cycle_of(config.model_copy(update={"sampling": sampling}), 1)
        tuned, base = lab.trunk(Role.POLICY), open_trunk(config.policy.model, FP32, 2)
        of_tuned = stack.enter_context(open_engine(remote, lab.sft.sft_id))
        of_base = stack.enter_context(open_base_engine(remote))
        for trunk, role, sampler in (
            (tuned, Role.REFERENCE, of_tuned),
            (tuned, Role.POLICY, of_tuned),
            (base, Role.REFERENCE, of_base),
        ):
            there = held_out.answer(trunk, role, sampler)
            assert {rollout.engine for rollout in there} == {"vllm 0.0.fake"}
            assert answered(there) == answered(held_out.answer(trunk, role))
        with pytest.raises(ValueError, match="the server samples for adapters on"):
            held_out.answer(base, Role.REFERENCE, of_tuned)


@pytest.mark.slow
@pytest.mark.usefixtures("server", "vllm_here")
def test_an_experiment_measures_the_same_on_an_engine(tmp_path: Path):
    """All arms: the base, two fine-tunings, and a policy by RLOO; the server samples as we do."""
    local, remote = (
        Setting(find_experiment("abstention"), tmp_path / name, Path(SMOKE), (*TINY, *engine))
        for name, engine in (("local", ()), ("remote", (UNWEIGHTED,)))
    )
    assert not any("vLLM" in line for line in describe_plan(local))
    assert any("by vLLM, which Solon starts" in line for line in describe_plan(remote))
    for here, there in zip(local.trials(), remote.trials(), strict=True):
        expected = local.experiment.measure(here)
        found = remote.experiment.measure(there)
        assert found.numbers == pytest.approx(expected.numbers, abs=1e-6), here.arm.name
        assert scores(found) == pytest.approx(scores(expected), abs=1e-5), here.arm.name


def scores(findings: Findings) -> list[float]:
    return [score for _, score in findings.curves.get("score", ())]
