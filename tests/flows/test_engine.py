"""The engine of a cycle: its settings, its identity, and a cycle that samples on it."""

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flows.cycle import versions
from flows.cycle.cycle import cycle_of
from flows.cycle.engine import (
    check_base_engine,
    describe_engine,
    open_base_engine,
    open_engine,
)
from flows.run import plan_run, run_cycles
from rlhf_core.config.engine import EngineSettings
from rlhf_core.errors import ConfigError
from rlhf_core.records import RolloutRecord
from rlhf_core.sampling.sampler import LOCAL
from rlhf_core.store import Store
from tests.conftest import ROOT
from tests.flows.conftest import smoke
from tests.rlhf_core.models.test_lora_folder import write_adapter

URL = "sampling.engine={kind: vllm, url: 'http://127.0.0.1:1'}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "vllm"}, "needs either `url`"),
        ({"kind": "vllm", "url": "http://a", "python": "p"}, "needs either `url`"),
        ({"url": "http://a"}, "are for kind: vllm"),
        ({"kind": "vllm", "url": "http://a", "options": {"dtype": "bfloat16"}}, "set python"),
    ],
)
def test_settings_that_do_nothing_are_refused(changes: dict[str, Any], reason: str):
    with pytest.raises(ValidationError, match=reason):
        EngineSettings.model_validate(changes)


def test_full_weights_have_no_adapter_to_load(tmp_path: Path):
    with pytest.raises(ConfigError, match="a vLLM server is given the policy as an adapter"):
        smoke(tmp_path, URL, "policy.weights=full", "policy.lora_rank=null")


def test_the_engine_decides_candidates_and_policies_and_its_address_does_not(tmp_path: Path):
    local, remote = smoke(tmp_path, "name=one"), smoke(tmp_path, "name=one", URL)
    moved = smoke(tmp_path, "name=one", URL.replace("127.0.0.1:1", "127.0.0.1:2"))
    policies = [versions.policy(each, "sft", "rm", ["p"]).id for each in (local, remote, moved)]
    batches = [
        cycle_of(each, 1).batch("sft", each.sampling, 1).sampling for each in (local, remote, moved)
    ]
    for found in (policies, batches):
        assert found[0] != found[1] == found[2]
    assert versions.sft(local).id == versions.sft(remote).id
    with open_engine(cycle_of(local, 1), "sft") as sampler:
        assert sampler is LOCAL
    assert describe_engine(local) == ""
    assert "http://127.0.0.1:1" in describe_engine(remote)


SELECTION = "sft.selection={reward_model: owner/classifier}"
ABSTENTION = "sft.abstention={judge: {kind: similarity}}"
STARTED = "sampling.engine={kind: vllm, python: /opt/vllm/bin/python}"


@pytest.mark.parametrize("samples", [SELECTION, ABSTENTION])
def test_a_server_at_an_address_has_no_base_so_this_process_samples_and_says_so(
    tmp_path: Path, samples: str, caplog: pytest.LogCaptureFixture
):
    """The address of a server trains no other SFT model; one that Solon starts samples for it."""
    local, attached, started = (
        smoke(tmp_path, "name=one", samples, *engine) for engine in ((), (URL,), (STARTED,))
    )
    assert versions.sft(local).id == versions.sft(attached).id != versions.sft(started).id
    assert "those of the base model by this process" in describe_engine(attached)
    assert "by this process" not in describe_engine(smoke(tmp_path, URL))
    assert "by this process" not in describe_engine(started)
    with caplog.at_level("INFO"), open_base_engine(cycle_of(attached, 1)) as sampler:
        assert sampler is LOCAL
    assert "because http://127.0.0.1:1 serves the SFT model" in caplog.text


@pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT reads a flag under its former name
def test_a_base_that_is_an_adapter_cannot_be_served(tmp_path: Path):
    write_adapter(tmp_path)
    adapter = f"policy.model={tmp_path / 'adapter'}"
    check_base_engine(smoke(tmp_path, adapter, ABSTENTION, URL))
    config = smoke(tmp_path, adapter, ABSTENTION, STARTED)
    for opens in (lambda: check_base_engine(config), lambda: plan_run(config)):
        with pytest.raises(ConfigError, match=r"is a LoRA adapter.*`solon merge`"):
            opens()


RLOO = (
    "training={algorithm: rloo, steps: 2, prompts_per_step: 4, samples_per_prompt: 2, "
    "minibatches: 2, reward: {reward_model: 0, judges: [{kind: similarity}]}}"
)
"""Without a reward model: its rankings are ordered by ids, which tell what sampled the answers."""
ANSWERS = """
SELECT models.kind, candidates.prompt_id, sample_index, token_ids
FROM candidates JOIN models ON models.id = model_id ORDER BY ALL"""


@pytest.mark.slow
def test_a_cycle_samples_on_servers_that_it_starts(tmp_path: Path, server: str):
    """The servers sample as Solon does, so the policy is the one of a cycle without them."""
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tests.fake_vllm "$@"\n'
    )
    python.chmod(0o755)
    shared = ("name=one", "policy.lora_rank=8", "compute.precision=fp32", RLOO, ABSTENTION)
    engine = f"sampling.engine={{kind: vllm, python: {python}, importance_cap: null}}"
    metrics, texts = [], []
    for folder, own in (("local", ()), ("remote", (engine,))):
        config = smoke(tmp_path / folder, *shared, *own)
        run_cycles(config, 1, is_quiet=True)
        store = Store(config.store)
        rows = store.rows(RolloutRecord)
        rollouts = sorted((row.step, row.row, row.text) for row in rows)
        texts.append((rollouts, store.query(ANSWERS)))
        engines = {row.engine for row in rows}
        assert engines == {"vllm 0.0.fake" if own else "local"}
        found = store.query("SELECT name, step, value FROM metrics WHERE model_id LIKE 'policy-%'")
        metrics.append({(row["name"], row["step"]): row["value"] for row in found})
    assert texts[0] == texts[1]
    assert {row["kind"] for row in texts[0][1]} == {"base", "sft", "policy"}
    assert metrics[0].keys() == metrics[1].keys()
    for key in metrics[0]:
        assert metrics[1][key] == pytest.approx(metrics[0][key], abs=1e-4), key
    left = [path.name for path in (tmp_path / "remote" / "artifacts" / "engine").iterdir()]
    assert left == ["vllm-one.log"]
