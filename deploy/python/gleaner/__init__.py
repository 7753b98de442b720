"""Gleaner turns a dataset of instructions into a dataset of model answers.

>>> import gleaner
>>> rows = [{"question": "What is 2 and 3?"}, {"question": "What is 4 and 5?"}]
>>> answers = gleaner.run(rows, prompt="Solve: {{ question }}", simulate=True, progress=False)
>>> [answer["question"] for answer in answers]
['What is 2 and 3?', 'What is 4 and 5?']
>>> answers[0]["response"].endswith(".")
True
"""

from __future__ import annotations

import importlib.metadata as _metadata

from ._errors import Error, Interrupted, MissingAnswers, NoProgram, TimeOver, UsageError
from ._ollama import ollama
from ._run import preview, results, run, runs, status
from ._team import attach, submit

try:
    __version__ = _metadata.version("gleaner-llm")
except _metadata.PackageNotFoundError:  # from a checkout
    __version__ = "0+checkout"

__all__ = [
    "run", "preview", "status", "results", "runs", "submit", "attach", "ollama",
    "Error", "UsageError", "MissingAnswers", "Interrupted", "NoProgram", "TimeOver",
]
