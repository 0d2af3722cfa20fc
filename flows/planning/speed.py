"""Speed of an idle machine at sampling and training a model, measured without its weights.

The real code runs a model of one layer and one of four; the difference is the time of three layers.
Their weights are random, so nothing is downloaded.
"""

import math
import time
from collections.abc import Callable
from functools import cache, partial

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from flows.cycle.estimates import Speed
from rlhf_core.algorithms.optimisation import Updater
from rlhf_core.models.architecture import fit_attention
from rlhf_core.models.artifacts import new_roles
from rlhf_core.models.device import Compute, kept_random_state, synchronised_time
from rlhf_core.models.loading import load_tokenizer, read_config
from rlhf_core.models.lora_shape import LoraShape
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.local import SamplingLimits, sample

PROMPTS, SAMPLES, PROMPT_TOKENS, ANSWER_TOKENS = 6, 4, 48, 12
FEW, MORE = 1, 4
LEAST_RUNS, MOST_RUNS = 2, 5
LONG_ENOUGH_SECONDS = 1.0
"""Runs are not repeated once they have taken this long."""


@cache
def measure_speed(name: str, compute: Compute, lora: int | LoraShape | None) -> Speed:
    """Measure the speed of a model, once a process; this takes some seconds for a small one.

    Args:
        name: Folder or hub id of the model.
        compute: Device and precision.
        lora: Shape or rank of the adapters; None trains all weights.

    Returns:
        The speed at the model's full depth, extrapolated from two shallow models.
    """
    layers = read_config(name).get_text_config().num_hidden_layers
    watch = _Stopwatch(_clock(compute))
    few, more = (_measure(_shallow(name, count, compute, lora), watch) for count in (FEW, MORE))

    def extrapolate(one: float, four: float) -> float:
        return max(one + (layers - FEW) * (four - one) / (MORE - FEW), one)

    return Speed(
        extrapolate(few.sampling, more.sampling),
        extrapolate(few.forward, more.forward),
        extrapolate(few.training, more.training),
        extrapolate(few.update, more.update),
        watch.slowdown,
    )


class _Stopwatch:
    """Times work by a clock that other programs disturb little, and how much they disturb it.

    Args:
        clock: Returns seconds; it stops, if it can, while other programs have the cores.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._own = self._all = 0.0

    @property
    def slowdown(self) -> float:
        """Seconds that passed for each that the work had, at least 1."""
        return max(1.0, self._all / self._own) if self._own else 1.0

    def seconds(self, work: Callable[[], None]) -> float:
        """Return the seconds of the fastest of several runs; the first run warms up."""
        best, ends = math.inf, time.perf_counter() + LONG_ENOUGH_SECONDS
        for run in range(MOST_RUNS):
            if run >= LEAST_RUNS and time.perf_counter() > ends:
                break
            passed, own = time.perf_counter(), self._clock()
            work()
            own = self._clock() - own
            self._own += own
            self._all += time.perf_counter() - passed
            best = min(best, own)
        return best


def _shallow(name: str, layers: int, compute: Compute, lora: int | LoraShape | None) -> Trunk:
    config = read_config(name)
    _set_layers(config.get_text_config(), layers)

    def new(dtype: torch.dtype) -> PreTrainedModel:
        model = AutoModelForCausalLM.from_config(
            config,
            dtype=dtype,
            attn_implementation="eager",
            trust_remote_code=False,
        )
        model = model.to(compute.device).eval()
        fit_attention(model, compute.device, compute.attention)
        return model

    with kept_random_state(compute.device):
        trunk = Trunk(new_roles(new, compute, lora), load_tokenizer(name), compute)
    trunk.add_role(Role.POLICY, seed=0)
    return trunk


def _set_layers(config: PreTrainedConfig, layers: int) -> None:
    """Set the depth of a config; its settings by layer are cut, or repeated from the first."""
    had = config.num_hidden_layers
    for name, each in list(vars(config).items()):
        if "layer" in name and isinstance(each, list) and len(each) == had:
            setattr(config, name, (each * layers)[:layers])
    config.num_hidden_layers = layers


def _measure(trunk: Trunk, watch: _Stopwatch) -> Speed:
    prompts = [tuple(range(PROMPT_TOKENS))] * PROMPTS
    seeds = [list(range(SAMPLES))] * PROMPTS
    limits = SamplingLimits(ANSWER_TOKENS, 1.0, end_ids=frozenset(), pad_id=trunk.pad_id)
    batch = trunk.batch(
        [
            TokenSequence((number, *prompt[1:]), tuple(range(ANSWER_TOKENS)))
            for number, prompt in enumerate(prompts)
            for _ in range(SAMPLES)
        ]
    )

    def sampling() -> None:
        with trunk.acting_as(Role.POLICY) as model, trunk.compute.autocast():
            sample(model, prompts, seeds, limits, trunk.compute.forward_tokens)

    def training() -> None:
        trunk.token_logprobs(Role.POLICY, batch, 1.0).sum().backward()

    @torch.no_grad()
    def forward() -> None:
        trunk.token_logprobs(Role.POLICY, batch, 1.0).sum().item()

    updater = Updater(trunk.parameters(Role.POLICY), learning_rate=1e-5, steps=1)

    def update() -> None:
        for parameter in updater.parameters:
            parameter.grad = torch.zeros_like(parameter)
        updater.step()

    answer_tokens, tokens = PROMPTS * SAMPLES * ANSWER_TOKENS, batch.input_ids.numel()
    return Speed(
        watch.seconds(sampling) / answer_tokens,
        watch.seconds(forward) / tokens,
        watch.seconds(training) / tokens,
        watch.seconds(update),
    )


def _clock(compute: Compute) -> Callable[[], float]:
    """Return the clock that other programs disturb least.

    On a CPU it counts the time for which this thread computes. The thread has a share of every
    operation, and the clock stops while other programs have the cores. (At a load of 6 on two
    cores, the wall time was 4 to 6 times as long.)
    """
    if compute.device.type == "cpu":
        return time.thread_time
    return partial(synchronised_time, compute.device)
