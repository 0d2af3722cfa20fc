"""Pairs that another panel would make from the judgements in the store."""

import heapq
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from flows.audit.panel_changes import (
    PanelChanges,
    PanelMember,
    apply_changes,
    combination_of,
    panel_of,
)
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError
from rlhf_core.evaluation.counterfactual import (
    Change,
    PairChange,
    PanelComparison,
    Tally,
    pair_changes,
)
from rlhf_core.preferences.ranking import Preference, comparisons_of, preferences_of
from rlhf_core.preferences.votes import Combination, JudgementRow, Votes
from rlhf_core.records import Mode, Outcome, Prompt, Split
from rlhf_core.store import Snapshot, reading
from rlhf_core.store.audit.counterfactual import (
    Group,
    Page,
    prompts_with_answers,
    ranked_pages,
    spending,
)


@dataclass(frozen=True)
class Gap:
    """Judgements that a judge of the changed panel has not made. They stay missing."""

    judge: str
    judge_version: str
    wanted: int
    """Number of judgements that ranking these candidates takes."""
    missing: int
    candidates_never_judged: int
    cost_usd: float | None
    """Cost of the missing ones, at the judge's mean cost so far; None if it never judged."""
    seconds: float | None
    """Time of the missing ones in sequence, at its mean latency; None without a latency."""


@dataclass(frozen=True)
class Saving:
    """Cost so far of a judge that leaves the panel, over the whole store."""

    judge: str
    judge_version: str
    judgements: int
    cost_usd: float
    seconds: float | None


@dataclass(frozen=True)
class WhatIf:
    """The pairs of the config's panel compared with those of the changed panel."""

    panel: list[PanelMember]
    changed_panel: list[PanelMember]
    overall: PanelComparison
    by_mode: dict[str, PanelComparison]
    by_split: dict[str, PanelComparison]
    gaps: list[Gap]
    savings: list[Saving]
    examples: list[dict[str, Any]]
    """Flipped pairs with their texts, the largest change first."""
    age_seconds: float
    """Age of the snapshot."""


Keep = Callable[[dict[str, Any]], Any]
Request = tuple[str, str | None]
"""Candidate and opponent of a judgement; no opponent if the judge scores."""


def what_if(
    config: Config,
    changes: PanelChanges,
    examples: int = 0,
    keep: Keep | None = None,
    page_size: int | None = None,
) -> WhatIf:
    """Rank and pair with the panel of the config and with the changed one; write nothing.

    Args:
        config: Names the store and the panel.
        changes: Changes to the panel.
        examples: Number of flipped pairs to return with their texts.
        keep: Called with every training pair that changes.
        page_size: Number of prompts in memory at once.

    Returns:
        Counts of the pairs that change, and the gaps and savings of the judges.

    Raises:
        StoreError: If there is no store.
        ConfigError: If a change cannot be made, or this panel ranked nothing yet.
    """
    with reading(config.store) as snapshot:
        panel = panel_of(config)
        other = apply_changes(panel, changes, snapshot)
        study = _Study(snapshot, config, panel, other, examples, keep)
        sizes = () if page_size is None else (page_size,)
        for page in ranked_pages(snapshot, study.before.recipe, study.versions, *sizes):
            study.read(page)
        if not study.has_pages:
            raise ConfigError(
                "the store has no ranking by this config's panel; `solon run CONFIG` makes them"
            )
        return study.outcome()


class _Study:
    """Counts the changes of the pairs, page by page."""

    def __init__(
        self,
        snapshot: Snapshot,
        config: Config,
        panel: list[PanelMember],
        other: list[PanelMember],
        examples: int,
        keep: Keep | None,
    ) -> None:
        self.snapshot, self.panel, self.other = snapshot, panel, other
        self.before = combination_of(panel, config)
        self.after = combination_of(other, config)
        self.versions = {*self.before.weights, *self.after.weights}
        self.has_pages = False
        self._examples, self._keep = examples, keep
        self._tallies: dict[tuple[Mode, Split], Tally] = {}
        self._flipped: list[tuple[float, str, dict[str, Any]]] = []
        self._wanted = {member.version: [0, 0, 0] for member in self._deciding()}

    def _deciding(self) -> list[PanelMember]:
        return [member for member in self.other if member.weight > 0]

    def read(self, page: Page) -> None:
        self.has_pages = True
        scales = {**self.before.scales, **self.after.scales}
        changes: list[tuple[str, PairChange]] = []
        for group in page.groups:
            tally = self._tallies.setdefault((group.mode, group.split), Tally())
            votes = Votes(page.said.get(group.prompt_id, ()), scales)
            preferences = [_preferences(group, votes, c) for c in (self.before, self.after)]
            for change in pair_changes(*preferences):
                if tally.add(change, group.prompt_id) is not Change.NONE:
                    changes.append((group.prompt_id, change))
        if changes and (self._keep or self._examples):
            self._keep_texts(changes)
        for member in self._deciding():
            counts = _gap(member, page)
            so_far = self._wanted[member.version]
            self._wanted[member.version] = [a + b for a, b in zip(so_far, counts, strict=True)]

    def _keep_texts(self, changes: list[tuple[str, PairChange]]) -> None:
        ids = {prompt_id for prompt_id, _ in changes}
        prompts, texts = prompts_with_answers(self.snapshot, ids)
        for prompt_id, change in changes:
            words = _with_texts(change, prompts[prompt_id], texts)
            if self._keep:
                self._keep(words)
            if change.kind is Change.FLIPPED and self._examples:
                heapq.heappush(self._flipped, (change.size, change.pair.left_id, words))
                if len(self._flipped) > self._examples:
                    heapq.heappop(self._flipped)

    def outcome(self) -> WhatIf:
        stays = {member.version for member in self._deciding()}
        leaving = {
            member.version: member for member in self.panel if member.weight > 0
        }.keys() - stays
        by_mode, by_split = _by_name(self._tallies, 0), _by_name(self._tallies, 1)
        return WhatIf(
            panel=self.panel,
            changed_panel=self.other,
            overall=sum(self._tallies.values(), Tally()).comparison(),
            by_mode={name: tally.comparison() for name, tally in by_mode.items()},
            by_split={name: tally.comparison() for name, tally in by_split.items()},
            gaps=[self._gap(member) for member in self._deciding()],
            savings=[
                _saving(member, self.snapshot) for member in self.panel if member.version in leaving
            ],
            examples=[words for _, _, words in sorted(self._flipped, reverse=True)],
            age_seconds=self.snapshot.age_seconds,
        )

    def _gap(self, member: PanelMember) -> Gap:
        wanted, missing, never = self._wanted[member.version]
        spent = spending(self.snapshot, member.version)
        share = missing / spent.judgements if spent.judgements else None
        return Gap(
            judge=member.judge,
            judge_version=member.version,
            wanted=wanted,
            missing=missing,
            candidates_never_judged=never,
            cost_usd=None if share is None else share * spent.cost_usd,
            seconds=None if share is None or spent.seconds is None else share * spent.seconds,
        )


def _saving(member: PanelMember, snapshot: Snapshot) -> Saving:
    spent = spending(snapshot, member.version)
    return Saving(member.judge, member.version, spent.judgements, spent.cost_usd, spent.seconds)


def _preferences(
    group: Group, votes: Votes[JudgementRow], combination: Combination
) -> list[Preference]:
    """Return the preferences of all pairs of candidates; none if nothing can be ranked."""
    comparisons = comparisons_of(group.answers, votes, combination)
    if not comparisons:
        return []
    return preferences_of(group.answers, comparisons, combination.tie_margin)


def _by_name(tallies: dict[tuple[Mode, Split], Tally], part: int) -> dict[str, Tally]:
    by_name: dict[str, Tally] = {}
    for names, tally in sorted(tallies.items()):
        by_name[names[part].value] = by_name.get(names[part].value, Tally()) + tally
    return dict(sorted(by_name.items()))


def _gap(member: PanelMember, page: Page) -> tuple[int, int, int]:
    """Count a judge's wanted and missing judgements, and the candidates it never judged."""
    wanted = missing = never = 0
    for group in page.groups:
        if group.mode not in member.modes:
            continue
        answered = {
            (judgement.candidate_id, judgement.opponent_id)
            for judgement in page.said.get(group.prompt_id, ())
            if judgement.judge_version == member.version
            and judgement.outcome != Outcome.UNAVAILABLE
        }
        judged = {candidate_id for ids in answered for candidate_id in ids}
        requests = _requests(member, group.answers)
        wanted += len(requests)
        missing += len(requests) - len(answered.intersection(requests))
        never += len(group.answers) - len(judged.intersection(group.answers))
    return wanted, missing, never


def _requests(member: PanelMember, ids: Collection[str]) -> list[Request]:
    return list(permutations(ids, 2)) if member.is_pairwise else [(id, None) for id in ids]


def _with_texts(change: PairChange, prompt: Prompt, texts: dict[str, str]) -> dict[str, Any]:
    before, after, pair = change.before, change.after, change.pair
    return {
        "change": change.kind.value,
        "prompt_id": prompt.id,
        "mode": prompt.mode.value,
        "split": prompt.split.value,
        "prompt": prompt.instruction,
        "left_id": pair.left_id,
        "right_id": pair.right_id,
        "chosen_before": texts.get(before.chosen_id or "") if before else None,
        "chosen_after": texts.get(after.chosen_id or "") if after else None,
        "left": texts[pair.left_id],
        "right": texts[pair.right_id],
        "margin_before": before.margin if before else None,
        "margin_after": after.margin if after else None,
    }
