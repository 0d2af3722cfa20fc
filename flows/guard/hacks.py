"""Hacks of a policy line: the answers of earlier trainings that raised alarms.

A policy with alarms in its training stands for one hack, whichever detectors saw it. Alarms before
promotion show answers to held-out prompts, which nothing may learn from.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from flows.cycle.cycle import Cycle
from judges.panel.panel import Panelist, combination
from rlhf_core.config import Config
from rlhf_core.config.training import DPOSettings
from rlhf_core.config.tree import repairing_judges
from rlhf_core.preferences.votes import Combination
from rlhf_core.records import GuardAlarm, GuardComparison, Ranking, RolloutRecord
from rlhf_core.store import Store, line_queries

BASELINES = 2
"""Baseline answers that each answer of a hack is compared with."""


@dataclass(frozen=True)
class Hack:
    """A policy whose training raised alarms."""

    policy_id: str
    alarms: tuple[GuardAlarm, ...]


@dataclass(frozen=True)
class Repair:
    """The comparisons of one hack that still stand, as one cycle had them judged."""

    policy_id: str
    cycle: int
    comparisons: tuple[GuardComparison, ...]
    recipes: frozenset[str]
    """Recipes of their rankings, which name the judges."""

    def count(self, outcome: str) -> int:
        return sum(each.outcome == outcome for each in self.comparisons)

    @property
    def is_confirmed(self) -> bool:
        """True if the judges call more of its answers worse than better."""
        return self.count("worse") > self.count("better")


def is_repairing(config: Config) -> bool:
    """Return True if the guard may change trainings, and a reward model rewards the policy."""
    training = config.training
    if config.guard.action != "stop" or isinstance(training, DPOSettings):
        return False
    return training.reward.reward_model > 0


def hacks_of(cycle: Cycle, store: Store) -> list[Hack]:
    """Return the hacks that the line's earlier cycles found."""
    runs = line_queries.stage_runs_of(store, cycle.line, "train_policy")
    policies = [json.loads(run.detail).get("model", "") for run in runs if run.cycle < cycle.number]
    where = "step > 0 AND model_id IN (SELECT unnest(?))"
    alarms: defaultdict[str, list[GuardAlarm]] = defaultdict(list)
    for alarm in store.rows(GuardAlarm, where, [policies]):
        alarms[alarm.model_id].append(alarm)
    return [
        Hack(policy_id, tuple(sorted(own, key=lambda alarm: (alarm.step, alarm.detector))))
        for policy_id, own in sorted(alarms.items())
    ]


def repairs_of(store: Store, line: str, until: int) -> list[Repair]:
    """Return what judges said of the hacks of a line, without what was retracted.

    Args:
        store: The store.
        line: The policy line.
        until: The last cycle to look at.
    """
    where = (
        "line = ? AND cycle <= ? AND ranking_id NOT IN (SELECT ranking_id FROM tainted_rankings) "
        "AND ranking_id NOT IN (SELECT ranking_id FROM tainted_pairs)"
    )
    groups: defaultdict[tuple[str, int], list[GuardComparison]] = defaultdict(list)
    for row in store.rows(GuardComparison, where, [line, until]):
        groups[row.policy_id, row.cycle].append(row)
    recipes = _recipes(store, [row.ranking_id for group in groups.values() for row in group])
    return [
        Repair(
            policy_id,
            number,
            tuple(sorted(rows, key=lambda row: row.id)),
            frozenset(recipes[row.ranking_id] for row in rows),
        )
        for (policy_id, number), rows in sorted(groups.items())
    ]


def repair_combination(config: Config) -> Combination:
    """Return the rule that combines the judges of the repair."""
    panelists = [Panelist(settings) for settings in repairing_judges(config)]
    return combination(panelists, config.preferences.tie_margin, config.preferences.missing)


def unrepaired(cycle: Cycle, store: Store) -> list[Hack]:
    """Return the hacks that no judges have called worse, and the present ones have not seen."""
    hacks = hacks_of(cycle, store) if is_repairing(cycle.config) else []
    if not hacks:
        return []
    recipe = repair_combination(cycle.config).recipe
    earlier = repairs_of(store, cycle.line, cycle.number - 1)
    done = {each.policy_id for each in earlier if each.is_confirmed or recipe in each.recipes}
    return [hack for hack in hacks if hack.policy_id not in done]


def worst_answers(
    store: Store, hack: Hack, window: int, prompt_ids: Collection[str], count: int
) -> list[RolloutRecord]:
    """Return the answers of a hack that show it best, over as many prompts as there are.

    First come the alarms' own evidence; then answers of the alarms' windows that the reward likes
    and the held-out judge does not, by the difference of their ranks; last those that one of the
    two has not scored.

    Args:
        store: The store.
        hack: The hack.
        window: Steps that an alarm is about.
        prompt_ids: Prompts whose answers can be used.
        count: Answers at most.
    """
    steps = sorted({s for a in hack.alarms for s in range(a.step - window + 1, a.step + 1)})
    rows = store.rows(
        RolloutRecord,
        "model_id = ? AND step IN (SELECT unnest(?)) AND text IS NOT NULL",
        [hack.policy_id, steps],
    )
    rows = [row for row in rows if row.prompt_id in prompt_ids and (row.text or "").strip()]
    evidence = {name for alarm in hack.alarms for name in alarm.evidence}
    liking = _excess_ranks(rows, _held_out_scores(store, [row.id for row in rows]))
    rows.sort(key=lambda row: (row.id not in evidence, -liking.get(row.id, -1.0), row.id))
    seen: set[tuple[str, str]] = set()
    placed: list[tuple[int, int, RolloutRecord]] = []
    of_prompt: defaultdict[str, int] = defaultdict(int)
    for place, row in enumerate(rows):
        if (row.prompt_id, row.text or "") not in seen:
            seen.add((row.prompt_id, row.text or ""))
            placed.append((of_prompt[row.prompt_id], place, row))
            of_prompt[row.prompt_id] += 1
    return [row for _, _, row in sorted(placed, key=lambda each: each[:2])[:count]]


def _excess_ranks(rows: Sequence[RolloutRecord], held_out: dict[str, float]) -> dict[str, float]:
    """Return by how much each answer ranks higher by its reward than by the held-out judge.

    It lies between −1 and 1; answers that have not both scores have none.
    """
    rewards = {row.id: row.score for row in rows if row.score is not None and row.id in held_out}
    by_reward = sorted(rewards, key=lambda name: (rewards[name], name))
    by_judge = sorted(rewards, key=lambda name: (held_out[name], name))
    places = {name: place for place, name in enumerate(by_judge)}
    return {name: (place - places[name]) / len(rewards) for place, name in enumerate(by_reward)}


def _held_out_scores(store: Store, ids: Sequence[str]) -> dict[str, float]:
    rows = store.query(
        "SELECT rollout_id, avg(score) AS score FROM rollout_verdicts WHERE role = 'guard' "
        "AND score IS NOT NULL AND rollout_id IN (SELECT unnest(?)) GROUP BY rollout_id",
        [list(ids)],
    )
    return {row["rollout_id"]: row["score"] for row in rows}


def _recipes(store: Store, ranking_ids: Sequence[str]) -> dict[str, str]:
    rankings = store.rows(Ranking, "id IN (SELECT unnest(?))", [list(ranking_ids)])
    return {ranking.id: ranking.recipe for ranking in rankings}
