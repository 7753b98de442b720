"""Reads secrets where hosted notebooks keep them."""

from __future__ import annotations

import os
import sys
from typing import List, Mapping

from ._process import Show


def secret(name: str) -> str:
    """Returns a secret of the environment, of Kaggle or of Colab, or nothing where there is none."""
    for read in (os.environ.get, _kaggle, _colab):
        try:
            value = read(name)
        except ImportError:  # this is not that place
            continue
        except Exception as why:  # only its kind is shown, for its text may hold more than it should
            print(f"the notebook gives no secret {name} ({type(why).__name__})", file=sys.stderr)
            continue
        if value:
            return str(value)
    return ""


def _kaggle(name: str) -> str:
    from kaggle_secrets import UserSecretsClient  # type: ignore[import-not-found]

    return UserSecretsClient().get_secret(name) or ""


def _colab(name: str) -> str:
    from google.colab import userdata  # type: ignore[import-not-found]

    return userdata.get(name) or ""


def parts(values: List[str]) -> List[str]:
    """Returns what no output may show of these secrets: each as a whole, and each line of it.

    >>> parts(["-----BEGIN-----\\neyJhbGciOiJzZWNyZXQifQ\\n", "short"])
    ['eyJhbGciOiJzZWNyZXQifQ']
    """
    lines = [line.strip() for value in values for line in value.splitlines()]
    return sorted({line for line in lines if len(line) > 15 and not line.startswith("--")}, key=len, reverse=True)


def hide(text: str, hidden: List[str]) -> str:
    """Returns the text without anything secret, should a program ever print it."""
    for word in hidden:
        text = text.replace(word, "***")
    return text


class Hiding(Show):
    """Shows what another display shows, without anything secret."""

    def __init__(self, to: Show, hidden: List[str]) -> None:
        self._to, self._hidden = to, hidden

    def lines(self, text: str) -> None:
        self._to.lines(hide(text, self._hidden))

    def progress(self, snapshot: Mapping[str, object]) -> None:
        self._to.progress(snapshot)

    def tick(self) -> None:
        self._to.tick()

    def close(self) -> None:
        self._to.close()
