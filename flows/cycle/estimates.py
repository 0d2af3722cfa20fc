"""The parts of a plan: the work of a cycle, the sizes and speeds behind it, and the plan's rows.

Each stage estimates itself from these, in its own file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from judges.panel.panel import Panelist
from rlhf_core.config import Config
from rlhf_core.distributed.launch import launched_world_size
from rlhf_core.records import Prompt

UNEVEN = 2.0
"""Real batches are ragged and the timed ones are full: answers end early, rows differ in length."""


@dataclass(frozen=True)
class Row:
    """One line of the plan."""

    stage: str
    what: str
    count: int
    seconds: float = 0.0
    cost_usd: float = 0.0


@dataclass(frozen=True)
class Speed:
    """Seconds a token: of an answer for sampling, of prompt and answer for the other two."""

    sampling: float
    forward: float
    training: float
    update: float
    """Seconds an optimizer step, whatever the number of tokens."""
    slowdown: float = 1.0
    """Factor by which other programs slowed this machine down, at least 1; the rest is without."""


@dataclass(frozen=True)
class Sizes:
    """Mean lengths in tokens, the size of the model, and the speed of this machine."""

    prompt: float
    answer: float
    parameters: int
    speed: Speed

    def judging(self, tokens: float, parameters: int) -> float:
        """Return the seconds of a judge's model of that size, which runs in one process."""
        return UNEVEN * tokens * self.speed.forward * parameters / self.parameters

    def forward(self, tokens: float) -> float:
        """Return the seconds of a forward pass over all processes."""
        return UNEVEN * tokens * self.speed.forward / launched_world_size()

    def training(self, tokens: float, updates: int) -> float:
        """Return the seconds of forward and backward passes and of the optimizer's updates."""
        passes = UNEVEN * tokens * self.speed.training / launched_world_size()
        return passes + updates * self.speed.update

    def sampling(self, tokens: float) -> float:
        """Return the seconds of sampling answers over all processes."""
        return UNEVEN * tokens * self.speed.sampling / launched_world_size()


@dataclass(frozen=True)
class Done:
    """Counts of the work of a cycle that the store holds already; by default none."""

    revisions: int = 0
    """Rounds of revision, including the first answers."""
    has_sft: bool = False
    candidates: int = 0
    judged: Mapping[str, int] = field(default_factory=dict)
    """Judgements of the candidates, by judge version."""
    probed: Mapping[str, int] = field(default_factory=dict)
    """Probes of this cycle, by judge version."""
    hacks: int = 0
    """Hacks of earlier cycles whose answers are still to be judged."""
    has_reward_model: bool = False
    has_policy: bool = False
    answers: int = 0
    """Answers to held-out prompts, of both models."""
    outside: int = 0
    """Answers of a server that is the baseline."""
    evaluated: Mapping[str, int] = field(default_factory=dict)
    """Judgements of those answers, by judge version."""


@dataclass(frozen=True)
class CycleWork:
    """A cycle to plan: its prompts and judges, and the work that is done already."""

    config: Config
    number: int
    """Number of the cycle. Its reward model learns from the rankings of all cycles up to it."""
    train: Sequence[Prompt]
    holdout: Sequence[Prompt]
    panel: Sequence[Panelist]
    """Judges of the candidates."""
    evaluating: Sequence[Panelist]
    """All judges of the evaluation."""
    sizes: Sizes
    imported: int
    """Number of imported rankings."""
    done: Done

    @property
    def rankings(self) -> int:
        """Number of rankings to learn from, at most; imported ones count as long as the others."""
        return self.number * len(self.train) + self.imported

    def judgements(self, stage: str, panelist: Panelist, calls: int) -> Row:
        """Return the row of a judge's calls.

        Args:
            stage: Name of the stage that makes them.
            panelist: The judge.
            calls: Number of calls.
        """
        return self._calls(stage, f"judgements by {panelist.settings.name}", panelist, calls)

    def probes(self, stage: str, panelist: Panelist, prompts: int) -> Row:
        """Return the row of the questions that a remote judge is asked again.

        Args:
            stage: Name of the stage that asks them.
            panelist: The judge.
            prompts: Prompts of the stage that it judges.
        """
        wanted = min(self.config.judging.probes, prompts) if panelist.is_remote else 0
        missing = wanted - self.done.probed.get(panelist.version, 0)
        return self._calls(stage, f"probes of {panelist.settings.name}", panelist, max(missing, 0))

    def _calls(self, stage: str, what: str, panelist: Panelist, calls: int) -> Row:
        sizes = self.sizes
        load = panelist.workload(sizes.prompt, sizes.answer)
        size = load.parameters or sizes.parameters
        seconds = sizes.judging(calls * load.tokens, size) if load.tokens else 0.0
        return Row(stage, what, calls, seconds, calls * load.cost_usd)
