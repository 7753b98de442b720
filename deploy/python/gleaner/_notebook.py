"""One display in a notebook that is updated in place."""

from __future__ import annotations

import html
import sys
import time
from typing import Any, List, Mapping, Optional

from ._process import Lines, Quiet, Show

_KEPT = 12  # lines of talk that stay in sight


def notebook() -> bool:
    """Reports whether this runs in a notebook, whose output is no terminal."""
    ipython = sys.modules.get("IPython")
    if ipython is None:
        return False
    shell = ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


def chosen(progress: Any) -> Show:
    """Returns the display for what was asked for: None chooses by itself, False shows nothing."""
    if progress is False or progress == "none":
        return Quiet()
    return Notebook() if notebook() else Lines()


class Notebook(Show):
    """A display of a notebook. What is drawn over has the same place, so a run of hours is one
    output; its text stands for readers that know no HTML."""

    every = 0.5  # seconds between two updates

    def __init__(self) -> None:
        self._talk: List[str] = []
        self._progress: List[str] = []
        self._handle: Any = None
        self._drawn = 0.0
        self._late = False

    def lines(self, text: str) -> None:
        self._talk.append(text)
        del self._talk[:-_KEPT]
        self._draw()

    def progress(self, snapshot: Mapping[str, Any]) -> None:
        self._progress = _lines_of(snapshot)
        self._draw()

    def tick(self) -> None:
        if self._late:
            self._draw()

    def close(self) -> None:
        if self._late:
            self._draw(True)

    def _draw(self, now: bool = False) -> None:
        if not now and time.monotonic() - self._drawn < self.every and self._handle is not None:
            self._late = True
            return
        self._late = False
        self._drawn = time.monotonic()
        from IPython.display import display

        bundle = rendered(self._talk, self._progress)
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def _lines_of(progress: Mapping[str, Any]) -> List[str]:
    """Returns the lines that the program made of its progress."""
    text = progress.get("text")
    if isinstance(text, str):
        return text.splitlines()
    if isinstance(text, list):
        return [str(line) for line in text]
    return []


def rendered(talk: List[str], progress: Optional[List[str]] = None) -> Mapping[str, str]:
    """Returns the lines as HTML and as text. Whatever a model or a dataset says stays text.

    >>> rendered(["<b>1</b>"])["text/html"].count("&lt;b&gt;")
    1
    >>> rendered(["a"], ["50 %"])["text/plain"]
    'a\\n50 %'
    """
    lines = list(talk) + list(progress or [])
    text = "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines)
    style = "white-space:pre-wrap;line-height:1.35;margin:0"
    return {"text/plain": text, "text/html": f'<pre style="{style}">{html.escape(text)}</pre>'}
