"""What goes wrong, in the program's own words."""

from __future__ import annotations

import os
import shlex
from typing import Any, List, Optional, Sequence, Tuple

# Flags that this package adds for itself. A person who repeats the command needs none of them.
_OWN = ("--json", "--progress=json", "--config=none")


def shown(command: Sequence[str]) -> str:
    """Returns a command as it can be pasted into a shell.

    >>> shown(["/opt/bin/gleaner", "run", "--prompt={{ q }}", "--json"])
    "gleaner run '--prompt={{ q }}'"
    """
    words = [os.path.basename(command[0]), *command[1:]]
    return " ".join(shlex.quote(word) for word in words if word not in _OWN)


class Error(RuntimeError):
    """The program ended with an error. Its text is what the program said, and the command.

    Attributes:
        words: what the program said.
        code: its exit code: 1 failed, 2 wrong use, 3 done but some generations have no answer.
        command: the command, as a list of words.
    """

    def __init__(self, words: str, code: Optional[int] = None, command: Sequence[str] = ()) -> None:
        self.words = words
        self.code = code
        self.command: List[str] = list(command)
        text = words
        if command:
            text += "\n\nThe command was: " + shown(command)
        super().__init__(text)

    def _render_traceback_(self) -> List[str]:
        """What a notebook shows: the words, and nothing of how this package is made."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(Error, ValueError):
    """What was asked for makes no sense: a column that no row has, a value that a flag does not
    take."""


class MissingAnswers(Error):
    """Some generations have no answer, and ``on_missing="raise"`` was asked for.

    Attributes:
        missing: row (counted from 0) and sample of each generation that has no answer.
        answers: what ``on_missing="null"`` would have returned.
        summary: the program's summary of the run.
    """

    def __init__(self, words: str, code: Optional[int], command: Sequence[str],
                 missing: List[Tuple[int, int]], answers: Any, summary: dict) -> None:
        super().__init__(words, code, command)
        self.missing = missing
        self.answers = answers
        self.summary = summary


class Interrupted(KeyboardInterrupt):
    """The call was interrupted, and the program has ended cleanly. What was generated is kept: the
    same call goes on where this one stopped.

    Attributes:
        run: name of the run, if it had begun.
        words: what the program said at its end.
    """

    def __init__(self, text: str, run: Optional[str] = None, words: str = "") -> None:
        super().__init__(text)
        self.run = run
        self.words = words


class TimeOver(UserWarning):
    """The time that was given is over, and some answers are still to be generated: the same call goes
    on where this one stopped."""


class NoProgram(Error):
    """The program is not where it should be."""
