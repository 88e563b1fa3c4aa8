"""What the story looks like: headings, who did what, texts, tasks, refusals; in colors on a terminal."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

WIDTH = 118
MARGIN = " " * 15
BOLD, DIM, RED, GREEN, YELLOW, BLUE, MAGENTA, CYAN = "1", "2", "31", "32", "33", "34", "35", "36"


@dataclass
class Narrator:
    """Prints to ``stream``; ``quiet`` prints nothing."""

    stream: TextIO = field(default_factory=lambda: sys.stdout)
    quiet: bool = False

    def __post_init__(self) -> None:
        self._colors = self.stream.isatty() and not os.environ.get("NO_COLOR")

    def heading(self, text: str) -> None:
        """A step of the journey begins."""
        self._line()
        self._line(self._paint(f"── {text} " + "─" * max(3, WIDTH - len(text) - 4), BOLD, CYAN))

    def act(self, at: str, who: str, call: str, doing: str) -> None:
        """Somebody did something."""
        self._entry(at, "▸", f"{who}  {doing}", BOLD)
        self._line(MARGIN + "  " + self._paint(call, DIM))

    def fact(self, text: str) -> None:
        """Something that is worth reading about what just happened."""
        self._entry("", " ", text)

    def time(self, text: str) -> None:
        """Time was moved."""
        self._entry("", "◷", text, YELLOW)

    def sms(self, to: str, text: str, milliseconds: float | None) -> None:
        """A text arrived on a phone."""
        self._entry("", "✉", f"{to} reads: “{text}”{_took(milliseconds)}", GREEN)

    def reply(self, sender: str, text: str) -> None:
        """Somebody texted in."""
        self._entry("", "✎", f"{sender} texts: “{text}”", GREEN)

    def task(self, owner: str, kind: str, due: str, milliseconds: float) -> None:
        """A task appeared in an inbox."""
        self._entry("", "☐", f"task {kind} for {owner}, {due}{_took(milliseconds)}", BLUE)

    def told(self, reader: str, kind: str, milliseconds: float) -> None:
        """An in-app notice appeared."""
        self._entry("", "◦", f"{reader} is told: {kind}{_took(milliseconds)}", BLUE)

    def refused(self, who: str, call: str, wanted: str, answer: str) -> None:
        """Something was refused, as it must be."""
        self._entry("", "✗", f"{who}  {wanted}", MAGENTA)
        self._line(MARGIN + "  " + self._paint(call, DIM))
        self._entry("", " ", answer)

    def failed(self, text: str) -> None:
        """The story cannot go on."""
        self._line()
        self._entry("", "!", text, BOLD, RED)

    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Names and values."""
        self._line()
        self._line(self._paint(title, BOLD))
        width = max((len(name) for name, _ in rows), default=0)
        for name, value in rows:
            self._line(f"  {name:<{width}}  {value}")

    def _entry(self, left: str, sign: str, text: str, *codes: str) -> None:
        lines = textwrap.wrap(text, WIDTH - len(MARGIN) - 2, break_long_words=False, break_on_hyphens=False) or [""]
        self._line(f"  {left:<12} {self._paint(f'{sign} {lines[0]}', *codes)}")
        for line in lines[1:]:
            self._line(f"{MARGIN}  {self._paint(line, *codes)}")

    def _paint(self, text: str, *codes: str) -> str:
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self._colors and codes else text

    def _line(self, text: str = "") -> None:
        if self.quiet:
            return
        # A terminal that cannot show a sign shows a question mark in its place; that is no reason to stop.
        encoding = self.stream.encoding or "utf-8"
        self.stream.write(text.encode(encoding, "replace").decode(encoding) + "\n")
        self.stream.flush()


def _took(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"  [{milliseconds:.0f} ms]"
