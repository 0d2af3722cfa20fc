"""Escaping of control characters, so that no text can steer a terminal.

Models, users and servers wrote much of what is shown. An escape sequence in it could retitle the
window, move the cursor over earlier output, or write into the clipboard.
"""

import json
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment


def harmless(text: str) -> str:
    """Return a text with its control characters escaped, except line feed and tab."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def harmless_json(text: str) -> str:
    """Return JSON with its control characters escaped, including those above U+007F."""
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


class SafeConsole(Console):
    """A console that escapes control characters in everything it prints."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does; its own control sequences stay, those within text do not."""
        for segment in super().render(renderable, options):
            is_plain = segment.control or segment.text.isprintable()
            yield segment if is_plain else Segment(harmless(segment.text), segment.style)
