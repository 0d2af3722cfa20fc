"""Text that cannot steer a terminal, and a console in which none can.

Models, users and servers wrote much of what is shown: an escape sequence in it could retitle the
window, move the cursor over what was said before, or write into the clipboard.
"""

import json
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment


def harmless(text: str) -> str:
    """Return a text whose control characters, but for line feed and tab, are written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def harmless_json(text: str) -> str:
    """Return the same JSON with control characters, those above U+007F too, as escapes."""
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


class SafeConsole(Console):
    """A console that writes out control characters in whatever it prints."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does; its own control sequences stay, those within text do not."""
        for segment in super().render(renderable, options):
            is_plain = segment.control or segment.text.isprintable()
            yield segment if is_plain else Segment(harmless(segment.text), segment.style)
