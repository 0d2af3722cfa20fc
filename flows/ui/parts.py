"""Parts of pages: the frame around each page, and text that stays text.

Texts of people and models reach the browser as text nodes and table cells, never as HTML, markdown
or a template. Characters that steer terminals or reverse lines are escaped.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import Request
from nicegui import background_tasks, ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from flows.terminal.screen import safe_text
from flows.ui.source import Source
from rlhf_core.errors import SolonError

STYLE, SCRIPT = (
    (files(__package__) / name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
)
PAGES = {
    "/": "Overview",
    "/pairs": "Pairs",
    "/models": "Models",
    "/sql": "SQL",
    "/spot-check": "Spot check",
}
KEYS = {
    "?": "this help",
    "/": "write: into the text filter, into the SQL box",
    "j k": "next, previous pair of the list; Enter opens it",
    "n p": "next, previous page of the list",
    "Ctrl Enter": "run the SQL",
    "1 2 0 u q": "while spot-checking: left, right, alike, unsure, quit",
    "Esc": "close this help",
}
SOON_SECONDS = 0.2
THEME_COOKIE = "solon_theme"
THEMES: dict[str, bool | None] = {"system": None, "dark": True, "light": False}


def words(tag: str, text: Any, classes: str = "") -> TextElement:
    """Return an element that holds nothing but a text.

    Args:
        tag: Its HTML tag.
        text: The text; control characters in it are escaped.
        classes: Its CSS classes.
    """
    return TextElement(tag=tag, text=safe_text(text)).classes(classes)


def box(tag: str = "div", classes: str = "") -> Element:
    return ui.element(tag).classes(classes)


def link(text: Any, path: str, classes: str = "") -> TextElement:
    """Return a link to one of Solon's pages.

    Args:
        text: The text of the link.
        path: Its target; the caller has quoted the ids in it.
        classes: Its CSS classes.
    """
    anchor = words("a", text, classes)
    anchor.props["href"] = path
    return anchor


@contextmanager
def frame(request: Request, title: str, current: str) -> Iterator[None]:
    """Frame a page: elements made inside the block stand below the navigation.

    Args:
        request: The visitor's request; its cookie holds the theme.
        title: Heading of the page.
        current: Path of the navigation entry that is marked as current.

    Yields:
        Nothing; the frame is open while the block runs.
    """
    ui.page_title(f"{safe_text(title)} · Solon")
    ui.add_css(STYLE)
    ui.add_body_html(f"<script>{SCRIPT}</script>")
    theme = request.cookies.get(THEME_COOKIE, "system")
    dark = ui.dark_mode(THEMES.get(theme))
    with box("header", "top"):
        link("Solon", "/", "brand")
        with box("nav") as navigation:
            navigation.props["aria-label"] = "Pages"
            for path, name in PAGES.items():
                entry = link(name, path)
                if path == current:
                    entry.props["aria-current"] = "page"
        keys = (
            ui.button("keys").props("flat dense no-caps data-opens-keys").classes("theme by-keys")
        )
        keys.props["aria-label"] = "Which keys do what"
        _theme_toggle(theme if theme in THEMES else "system", dark)
    _key_help()
    with box("div", "page"):
        words("h1", title)
        yield


def _key_help() -> None:
    with box("dialog", "keys") as dialog:
        dialog.props["id"] = "keys"
        words("h2", "Keys")
        with box("dl", "key-list"):
            for keys, meaning in KEYS.items():
                with box("dt"):
                    for key in keys.split():
                        words("kbd", key)
                words("dd", meaning)


def copy_button(text: str) -> None:
    """Draw a button that copies an id."""
    button = ui.button("copy id").props("flat dense no-caps").classes("copies")
    button.props["data-copies"] = text


def _theme_toggle(theme: str, dark: ui.dark_mode) -> None:
    button = ui.button(f"theme: {theme}").props("flat dense no-caps").classes("theme")
    button.props["aria-label"] = "Change between the system's, dark and light colours"

    def change() -> None:
        names = list(THEMES)
        name = names[(names.index(button.text.removeprefix("theme: ")) + 1) % len(names)]
        button.text = f"theme: {name}"
        dark.value = THEMES[name]
        ui.run_javascript(
            f"document.cookie = '{THEME_COOKIE}={name}; path=/; max-age=31536000; SameSite=Lax'"
        )

    button.on_click(change)


_loading: "WeakKeyDictionary[Element, asyncio.Task[None]]" = WeakKeyDictionary()


def load(place: Element, draw: Callable[[], Awaitable[None]]) -> "asyncio.Task[None]":
    """Fill a place after the page was sent; an error is shown in the place.

    A fill of the same place that is still under way is cancelled.
    """
    if place in _loading:
        _loading[place].cancel()
    place.clear()
    with place:
        waiting = words("p", "querying the store …", "soft waiting")
        waiting.props["role"] = "status"

    async def drawn() -> None:
        with place:
            try:
                await draw()
            except SolonError as error:
                complain(error)
        waiting.delete()

    _loading[place] = background_tasks.create(drawn())
    return _loading[place]


async def soon(*loading: "asyncio.Task[None]") -> None:
    """Wait a little for the tasks that fill a page: content in time is sent with the page."""
    await asyncio.wait(loading, timeout=SOON_SECONDS)


def complain(error: SolonError) -> None:
    alert = words("p", str(error), "error")
    alert.props["role"] = "alert"


def snapshot_age(source: Source) -> None:
    """Draw the age of the snapshot that the page shows."""
    words("p", f"snapshot of {_age(source.age_seconds)} ago", "soft age")


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
