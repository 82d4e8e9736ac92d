"""Print to a terminal what may be a stranger's: control characters are shown, not obeyed."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from tunesmith.errors import visible


class VisibleConsole(Console):
    """A console on which names of classes, files and runs cannot move the cursor, set a title or fill a clipboard."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does; in all texts but rich's own control codes, control characters become visible."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))
