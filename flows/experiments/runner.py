"""Runs of an experiment: the plan, then arm after arm and seed after seed, then the page.

A row that is there is not measured again, so a rerun is a resume, and more seeds add to the old
ones. The page is written after each row.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flows.cycle.engine import describe_engine
from flows.cycle.identity import config_hash
from flows.experiments.experiment import Experiment, Trial
from flows.experiments.page import write_page
from flows.experiments.prompts import write_prompts
from flows.experiments.results import Row, read_row, row_path, write_row, write_rows
from flows.terminal.progress import duration
from rlhf_core.config import Config, load_config
from rlhf_core.config.prompts import PromptSettings
from rlhf_core.errors import InputError
from rlhf_core.identity import content_id, digest

STORE = "solon.duckdb"
FEEDBACK_SEED = 1
FEEDBACK_LINE = "feedback"
"""Line of what all arms of a seed share."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Setting:
    """The folder, config and data of an experiment's run."""

    experiment: Experiment
    folder: Path
    """Folder of the experiment, with its stores, models, rows and page."""
    base: Path
    """Config that the experiment starts from."""
    overrides: Sequence[str] = ()
    """Settings that the user changes for all arms."""
    seeds: int = 1
    """Number of seeds: 1, 2, …"""
    data: Path | None = None
    """File that the experiment reads."""

    @property
    def page(self) -> Path:
        return self.folder / "page.html"

    @cached_property
    def _prompts(self) -> Path | None:
        """The file of the experiment's own prompts, written anew; None takes the config's."""
        if self.experiment.prompts is None:
            return None
        path = self.folder / "prompts.jsonl"
        write_prompts(path, self.experiment.prompts(self._source_prompts))
        return path

    @cached_property
    def _source_prompts(self) -> PromptSettings:
        return load_config(self.base, self.overrides).prompts

    def trials(self) -> list[Trial]:
        """Return the arms and seeds to measure: all arms of a seed, then the next seed.

        Raises:
            ConfigError: If a setting is wrong.
            InputError: If the experiment needs a file that was not named.
        """
        if self.experiment.needs_data and self.data is None:
            raise InputError(
                f"experiment {self.experiment.name}: name the labelled answers with --data PATH: "
                "pairs of answers with people's choice, one a row, with the columns prompt, chosen "
                "and rejected, or a well-known data set as `solon judges bench` reads it"
            )
        return [
            Trial(
                arm,
                seed,
                self._config(seed, arm.name, arm.settings),
                self._config(seed, FEEDBACK_LINE, ()),
                self._source_prompts,
                self.data,
            )
            for seed in range(1, self.seeds + 1)
            for arm in self.experiment.arms
        ]

    def _config(self, seed: int, line: str, settings: Sequence[str]) -> Config:
        shared = self.experiment.shares_feedback
        place = self.folder / ("shared" if shared else f"seed-{seed}")
        own = [
            f"seed={FEEDBACK_SEED if shared else seed}",
            f"name={line}",
            f"store={place / STORE}",
            f"artifacts={place / 'artifacts'}",
            "tracker=none",
        ]
        if self._prompts is not None:
            own += [f"prompts.path={self._prompts}", "prompts.format=null", "prompts.columns={}"]
        changes = [*self.experiment.settings, *settings, *self.overrides, *own]
        return load_config(self.base, changes)

    def digest(self, trial: Trial) -> str:
        """Return the hash of all that decides the findings of a trial."""
        experiment = self.experiment
        data = digest(trial.data.read_bytes()) if trial.data else ""
        return content_id(
            "experiment", experiment.name, experiment.version, trial.arm.name, trial.seed,
            config_hash(trial.config), data,
        )  # fmt: skip

    def row(self, trial: Trial) -> Row | None:
        """Return the row of a trial if it was measured under these settings."""
        row = read_row(row_path(self.folder, trial.arm.name, trial.seed))
        return row if row is not None and row.digest == self.digest(trial) else None

    def rows(self) -> list[Row]:
        """Return the rows that are there."""
        return [row for trial in self.trials() if (row := self.row(trial)) is not None]


def describe_plan(setting: Setting) -> list[str]:
    """Return the plan of an experiment, line by line."""
    experiment, trials = setting.experiment, setting.trials()
    missing = [trial for trial in trials if setting.row(trial) is None]
    names = ", ".join(arm.name for arm in experiment.arms)
    lines = [
        f"{experiment.name}: {experiment.title}",
        f"  arms: {names}",
        f"  seeds: {setting.seeds}; {len(trials) - len(missing)} of {len(trials)} rows are there",
    ]
    if missing:
        minutes = experiment.minutes * len(missing) / len(experiment.arms)
        is_new = len(missing) == len(trials)
        minutes += experiment.first_minutes if is_new else 0.0
        lines.append(
            f"  to measure: {len(missing)}, about {duration(60 * minutes)} on two cores with "
            "the default config"
        )
    if engine := describe_engine(trials[0].config):
        lines.append(f"  {engine}")
    lines.append(f"  page: {setting.page}")
    return lines


def run_experiment(setting: Setting, say: Say) -> Path:
    """Measure what is missing, and write the page.

    Args:
        setting: The experiment, and where and with what it runs.
        say: Prints a line.

    Returns:
        The path of the page.
    """
    trials = setting.trials()
    for number, trial in enumerate(trials, start=1):
        if setting.row(trial) is not None:
            continue
        say(f"{setting.experiment.name}: {trial.arm.name}, seed {trial.seed} "
            f"({number} of {len(trials)})")  # fmt: skip
        began = time.monotonic()
        findings = setting.experiment.measure(trial)
        row = Row(
            experiment=setting.experiment.name,
            arm=trial.arm.name,
            seed=trial.seed,
            digest=setting.digest(trial),
            seconds=time.monotonic() - began,
            numbers=dict(findings.numbers),
            curves={name: list(curve) for name, curve in findings.curves.items()},
        )
        write_row(setting.folder, row)
        measured = ", ".join(
            f"{measure.label} {row.numbers[measure.name]:.{measure.places}f}"
            for measure in setting.experiment.measures
            if measure.name in row.numbers
        )
        say(f"  {duration(row.seconds)}: {measured}")
        rebuild_page(setting)
    return rebuild_page(setting)


def rebuild_page(setting: Setting) -> Path:
    """Write the page from the rows that are there, measuring nothing; return its path."""
    rows = setting.rows()
    write_rows(setting.folder / "results.json", rows)
    write_page(setting.page, setting.experiment, rows)
    return setting.page
