"""What pairing would make of the judgements in the store if the panel were another one."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flows._panel_changes import PanelChanges, Seat, changed, combination_of, panel_of
from rlhf_core.config import Config
from rlhf_core.counterfactual import Change, Comparison, PairChange, Tally, pair_changes
from rlhf_core.errors import ConfigError
from rlhf_core.preferences import Combination, rankings_and_pairs
from rlhf_core.records import Candidate, Judgement, Outcome, Pair, Prompt
from rlhf_core.store import Snapshot, reading
from rlhf_core.store.counterfactual import Page, ranked_pages, spending


@dataclass(frozen=True)
class Gap:
    """What one judge of the changed panel was never asked. Nothing is assumed of it."""

    judge: str
    judge_version: str
    wanted: int
    """Judgements that ranking these candidates takes."""
    missing: int
    candidates_never_judged: int
    cost_usd: float | None
    """The missing ones at the judge's mean cost so far; None where it never judged."""
    seconds: float | None
    """The same at its mean latency, one after another; None too where it keeps no latency."""


@dataclass(frozen=True)
class Saving:
    """What a judge that leaves has cost so far, over the whole store."""

    judge: str
    judge_version: str
    judgements: int
    cost_usd: float
    seconds: float | None


@dataclass(frozen=True)
class WhatIf:
    """The panel as it is against the changed one."""

    panel: list[Seat]
    changed_panel: list[Seat]
    overall: Comparison
    by_mode: dict[str, Comparison]
    by_split: dict[str, Comparison]
    gaps: list[Gap]
    savings: list[Saving]
    examples: list[dict[str, Any]]
    """Flipped pairs with their words, the surest first."""
    age_seconds: float
    """Of the snapshot that was read."""


Keep = Callable[[dict[str, Any]], Any]


def what_if(
    config: Config,
    changes: PanelChanges,
    examples: int = 0,
    keep: Keep = lambda _: None,
    page_size: int | None = None,
) -> WhatIf:
    """Rank and pair twice, by the panel of the config and by the changed one; write nothing.

    Args:
        config: Whose store and panel.
        changes: To the panel.
        examples: So many flipped pairs are returned with their words.
        keep: Called with every training pair that changes, as it is found.
        page_size: Prompts in memory at once.

    Raises:
        StoreError: If there is no store.
        ConfigError: If a change cannot be made, or this panel ranked nothing yet.
    """
    with reading(config.store) as snapshot:
        panel = panel_of(config)
        other = changed(panel, changes, snapshot)
        study = _Study(config, panel, other, examples, keep)
        sizes = () if page_size is None else (page_size,)
        for page in ranked_pages(snapshot, study.before.recipe, study.versions, *sizes):
            study.read(page)
        if not study.has_pages:
            raise ConfigError(
                "the store has no ranking by this config's panel; `solon run CONFIG` makes them"
            )
        return study.outcome(snapshot)


class _Study:
    """Gathers page by page what becomes of the pairs."""

    def __init__(
        self, config: Config, panel: list[Seat], other: list[Seat], examples: int, keep: Keep
    ) -> None:
        self.config, self.panel, self.other = config, panel, other
        self.before = combination_of(panel, config)
        self.after = combination_of(other, config)
        self.versions = {*self.before.weights, *self.after.weights}
        self.has_pages = False
        self._examples, self._keep = examples, keep
        self._overall = Tally()
        self._by_mode: dict[str, Tally] = {}
        self._by_split: dict[str, Tally] = {}
        self._flipped: list[tuple[float, str, dict[str, Any]]] = []
        self._wanted = {seat.version: [0, 0, 0] for seat in self._deciding()}

    def _deciding(self) -> list[Seat]:
        return [seat for seat in self.other if seat.weight > 0]

    def read(self, page: Page) -> None:
        self.has_pages = True
        texts = {one.id: one.text for group in page.groups for one in group}
        for change in pair_changes(*(self._pairs(page, c) for c in (self.before, self.after))):
            prompt = page.prompts[change.pair.prompt_id]
            for tally in (
                self._overall,
                self._by_mode.setdefault(prompt.mode.value, Tally()),
                self._by_split.setdefault(prompt.split.value, Tally()),
            ):
                tally.add(change)
            if change.kind is not Change.NONE:
                self._show(change, prompt, texts)
        for seat in self._deciding():
            counts = _gap(seat, page.groups, page.judgements, page.prompts)
            so_far = self._wanted[seat.version]
            self._wanted[seat.version] = [a + b for a, b in zip(so_far, counts, strict=True)]

    def _pairs(self, page: Page, combination: Combination) -> list[Pair]:
        return rankings_and_pairs(page.groups, page.judgements, combination, self.config.hash)[1]

    def _show(self, change: PairChange, prompt: Prompt, texts: dict[str, str]) -> None:
        words = _in_words(change, prompt, texts)
        self._keep(words)
        if change.kind is Change.FLIPPED and self._examples:
            heapq.heappush(self._flipped, (change.size, change.pair.left_id, words))
            if len(self._flipped) > self._examples:
                heapq.heappop(self._flipped)

    def outcome(self, snapshot: Snapshot) -> WhatIf:
        stays = {seat.version for seat in self._deciding()}
        leaving = {seat.version: seat for seat in self.panel if seat.weight > 0}.keys() - stays
        return WhatIf(
            panel=self.panel,
            changed_panel=self.other,
            overall=self._overall.comparison(),
            by_mode={name: tally.comparison() for name, tally in sorted(self._by_mode.items())},
            by_split={name: tally.comparison() for name, tally in sorted(self._by_split.items())},
            gaps=[self._gap(seat, snapshot) for seat in self._deciding()],
            savings=[_saving(seat, snapshot) for seat in self.panel if seat.version in leaving],
            examples=[words for _, _, words in sorted(self._flipped, reverse=True)],
            age_seconds=snapshot.age_seconds,
        )

    def _gap(self, seat: Seat, snapshot: Snapshot) -> Gap:
        wanted, missing, never = self._wanted[seat.version]
        spent = spending(snapshot, seat.version)
        share = missing / spent.judgements if spent.judgements else None
        return Gap(
            judge=seat.judge,
            judge_version=seat.version,
            wanted=wanted,
            missing=missing,
            candidates_never_judged=never,
            cost_usd=None if share is None else share * spent.cost_usd,
            seconds=None if share is None or spent.seconds is None else share * spent.seconds,
        )


def _saving(seat: Seat, snapshot: Snapshot) -> Saving:
    spent = spending(snapshot, seat.version)
    return Saving(seat.judge, seat.version, spent.judgements, spent.cost_usd, spent.seconds)


def _gap(
    seat: Seat,
    groups: Sequence[Sequence[Candidate]],
    judgements: Sequence[Judgement],
    prompts: dict[str, Prompt],
) -> tuple[int, int, int]:
    """Judgements wanted and missing, and candidates never judged, of the seat's modes."""
    answered = {
        (said.candidate_id, said.opponent_id)
        for said in judgements
        if said.judge_version == seat.version and said.outcome is not Outcome.UNAVAILABLE
    }
    judged = {candidate_id for ids in answered for candidate_id in ids}
    own = [g for g in groups if prompts[g[0].prompt_id].mode in seat.modes]
    wanted = [key for group in own for key in _asked(seat, group)]
    never = sum(one.id not in judged for group in own for one in group)
    return len(wanted), sum(key not in answered for key in wanted), never


def _asked(seat: Seat, group: Sequence[Candidate]) -> list[tuple[str, str | None]]:
    if not seat.is_pairwise:
        return [(one.id, None) for one in group]
    return [(one.id, other.id) for one in group for other in group if one is not other]


def _in_words(change: PairChange, prompt: Prompt, texts: dict[str, str]) -> dict[str, Any]:
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
