"""Pages: spot checks of pairs by single keys, and the agreement of judges with people."""

import asyncio
import secrets
import time
from collections.abc import Sequence

from fastapi import Request
from nicegui import ui
from nicegui.element import Element
from nicegui.events import KeyEventArguments

from flows.ui.parts import box, complain, frame, link, load, soon, words
from flows.ui.prompt import draw_prompt
from flows.ui.source import Source
from flows.ui.spot_check_report import draw_report
from rlhf_core.errors import SolonError
from rlhf_core.preferences.spot_checks import MIXED, CheckablePair, PairToCheck, choose
from rlhf_core.records import HumanVerdict, Split, Strategy
from rlhf_core.store import Store
from rlhf_core.store.audit.spot_checks import checkable, record

KEYS = {
    "1": (HumanVerdict.LEFT, "the left, or first, is better"),
    "2": (HumanVerdict.RIGHT, "the right, or second, is better"),
    "0": (HumanVerdict.TIE, "they are alike"),
    "u": (HumanVerdict.UNSURE, "unsure"),
}
QUIT = "q"
MOST_PAIRS = 500


class Session:
    """One person's spot checks on one screen, which shows no judge's verdict."""

    def __init__(self, source: Source, place: Element, person: str, checks: Sequence[PairToCheck]):
        self._store = Store(source.store)
        self._place = place
        self._person = person
        self._checks = checks
        self._answered = 0
        self._is_keeping = False
        self._is_over = False
        self._show()

    def _show(self) -> None:
        self._place.clear()
        self._is_over = self._is_over or self._answered == len(self._checks)
        with self._place:
            if self._is_over:
                self._end()
                return
            check = self._checks[self._answered]
            words("p", f"pair {self._answered + 1} of {len(self._checks)}", "soft")
            draw_prompt(check.pair.prompt, check.pair.context, check.pair.turns)
            with box("div", "answers"):
                for key, answer in zip("12", check.pair.shown_to(self._person), strict=True):
                    with box("section", "answer"):
                        words("h3", key)
                        words("pre", answer.text, "text")
            self._buttons()
        self._started = time.monotonic()

    def _buttons(self) -> None:
        with box("div", "choices"):
            for key, (_, meaning) in KEYS.items():
                self._button(key, meaning)
            self._button(QUIT, "quit; what was said is kept")

    def _button(self, key: str, meaning: str) -> None:
        async def pressed() -> None:
            await self.press(key)

        with ui.button(on_click=pressed).props("flat dense no-caps"):
            words("kbd", key)
            words("span", meaning)

    async def press(self, key: str) -> None:
        """Store the verdict of a key on the current pair, and show the next pair."""
        if self._is_keeping or self._is_over:
            return
        if key == QUIT:
            self._is_over = True
        elif key in KEYS:
            self._is_keeping = True
            try:
                await asyncio.to_thread(self._record, KEYS[key][0])
            except SolonError as error:
                with self._place:
                    complain(error)
                return
            finally:
                self._is_keeping = False
            self._answered += 1
        else:
            return
        self._show()

    def _record(self, said: HumanVerdict) -> None:
        seconds = time.monotonic() - self._started
        record(self._store, self._checks[self._answered], self._person, said, seconds)

    def _end(self) -> None:
        plural = "" if self._answered == 1 else "s"
        words("p", f"{self._answered} verdict{plural} kept. Thank you.", "kept")
        with box("p", "facts"):
            link("Check others", "/spot-check")
            link("Agreement of judges with people", "/spot-check/report")


def register(source: Source) -> None:
    @ui.page("/spot-check")
    def spot_check(request: Request) -> None:
        with frame(request, "Spot check", "/spot-check"), box() as page, box() as place:
            _draw_form(source, page, place)

    @ui.page("/spot-check/report")
    async def report(request: Request) -> None:
        with frame(request, "Agreement with people", "/spot-check"), box() as place:
            await soon(load(place, lambda: draw_report(source)))


def _draw_form(source: Source, page: Element, place: Element) -> None:
    words(
        "p",
        "You read a prompt and two answers and say which is better. Nothing shows what judges "
        "said, and nothing you say becomes training data.",
    )
    with box("div", "filters"):
        person = ui.input("your name").props("dense outlined maxlength=80")
        count = ui.number("pairs", value=20, min=1, max=MOST_PAIRS, precision=0).props(
            "dense outlined"
        )
        strategies = {
            name: name.replace("_", " ") for name in (MIXED, *(value.value for value in Strategy))
        }
        strategy = ui.select(strategies, label="which pairs", value=MIXED).props("dense outlined")
        splits: dict[str | None, str] = {
            None: "both",
            **{split.value: split.value for split in Split},
        }
        split = ui.select(splits, label="split", value=None).props("dense outlined")
    message = words("p", "", "error")
    sessions: list[Session] = []

    async def start() -> None:
        name = (person.value or "").strip()
        if not name:
            message.text = "write your name first: each person is asked for themselves"
            return
        wanted = Split(split.value) if split.value else None
        seed = secrets.randbelow(2**31)
        try:
            pairs = await asyncio.to_thread(_checkable, source, name, wanted, seed)
        except SolonError as error:
            message.text = str(error)
            return
        checks = choose(pairs, int(count.value or 1), strategy.value, seed)
        if not checks:
            message.text = "no pair is left to check: all are unscored, alike or answered by you"
            return
        sessions.append(Session(source, place, name, checks))

    async def pressed(event: KeyEventArguments) -> None:
        modifiers = event.modifiers
        is_plain = not (modifiers.ctrl or modifiers.alt or modifiers.meta)
        if sessions and event.action.keydown and is_plain:
            await sessions[-1].press(event.key.name.lower())

    # There from the start: a key pressed while the browser still loads it would be lost.
    with page:
        ui.keyboard(pressed, repeating=False, ignore=["input", "select", "textarea"])
    person.on("keydown.enter", start)
    with box("div", "pager"):
        ui.button("start", on_click=start, color=None).props("unelevated dense no-caps").classes(
            "primary"
        )
        link("Agreement of judges with people", "/spot-check/report")


def _checkable(source: Source, person: str, split: Split | None, seed: int) -> list[CheckablePair]:
    return checkable(Store(source.store), person, split, seed)
