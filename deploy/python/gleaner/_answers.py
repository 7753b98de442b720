"""Reads what the program exports, and joins it to what was given."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from ._frames import Columns, Frame

ON_MISSING = ("null", "drop", "raise")


class Export(NamedTuple):
    """The lines of an export, and the name of its column that says where each is from."""

    lines: List[Dict[str, Any]]
    provenance: str


def read(lines: Iterable[bytes]) -> Export:
    """Returns the lines of an export in layout rows with nested provenance.

    >>> read([b'{"q": "a", "gleaner": {"id": "x/000000001.000"}}']).provenance
    'gleaner'
    """
    rows = [json.loads(line) for line in lines if line.strip()]
    return Export(rows, list(rows[0])[-1] if rows else "gleaner")


def place(provenance: Mapping[str, Any]) -> Tuple[int, int]:
    """Returns which item of the run and which sample an answer is for.

    >>> place({"id": "run/000000012.001"})
    (12, 1)
    """
    item, _, sample = str(provenance["id"]).rpartition("/")[2].partition(".")
    return int(item), int(sample)


def free(name: str, taken: Iterable[str]) -> str:
    """Returns a name that no column has.

    >>> free("sample", ["q", "sample"])
    'sample_2'
    """
    taken = set(taken)
    free_name, n = name, 2
    while free_name in taken:
        free_name, n = f"{name}_{n}", n + 1
    return free_name


class Wanted(NamedTuple):
    """How answers are to come back."""

    samples: int = 1
    on_missing: str = "null"
    provenance: bool = False
    replace: Optional[str] = None  # a column of the rows that has the answer


class Joined(NamedTuple):
    """Answers joined to rows, and the row and sample of each one that is missing."""

    answers: Any
    missing: List[Tuple[int, int]]


def join(frame: Frame, export: Export, items: Sequence[int], wanted: Wanted) -> Joined:
    """Joins answers to the rows of a frame.

    Args:
        items: the row of each item of the run.
    """
    columns = frame.columns()
    found: Dict[Tuple[int, int], Dict[str, Any]] = {}
    for line in export.lines:
        item, sample = place(line[export.provenance])
        found[items[item], sample] = line
    # What is no column of the rows is the program's, in its order.
    names = _names(export, columns)
    if wanted.replace is not None:
        names.insert(0, wanted.replace)
    answer = names[0] if names else free("response", columns)
    names = names or [answer]
    rows: List[int] = []
    missing: List[Tuple[int, int]] = []
    new: Columns = {name: [] for name in names}
    sampled = free("sample", [*columns, *names])
    if wanted.samples > 1:
        new[sampled] = []
    if wanted.provenance:
        new[export.provenance] = []
    for row in range(_length(frame)):
        for sample in range(wanted.samples):
            line = found.get((row, sample), {})
            if line.get(answer) is None:
                missing.append((row, sample))
                if wanted.on_missing == "drop":
                    continue
            rows.append(row)
            for name in names:
                new[name].append(line.get(name))
            if wanted.samples > 1:
                new[sampled].append(sample)
            if wanted.provenance:
                new[export.provenance].append(line.get(export.provenance))
    if frame.kind == "list of str" and answer != "response":
        new["response"] = new.pop(answer)
    return Joined(frame.join(rows, new), missing)


def _length(frame: Frame) -> int:
    return sum(1 for _ in frame.rows())


def _names(export: Export, columns: Sequence[str]) -> List[str]:
    """Returns the columns of an export that the rows do not have, in order."""
    has: Set[str] = {*columns, export.provenance}
    names: Dict[str, None] = {}
    for line in export.lines:
        for name in line:
            if name not in has:
                names[name] = None
    return list(names)


def rows(export: Export, wanted: Wanted, answer: str) -> Joined:
    """Returns the lines of an export as dicts, without what was not asked for."""
    answers: List[Dict[str, Any]] = []
    missing: List[Tuple[int, int]] = []
    for line in export.lines:
        line = dict(line)
        provenance = line.pop(export.provenance)
        item, sample = place(provenance)
        if line.get(answer) is None:
            missing.append((item, sample))
            if wanted.on_missing == "drop":
                continue
        if wanted.samples > 1:
            line[free("sample", line)] = sample
        if wanted.provenance:
            line[export.provenance] = provenance
        answers.append(line)
    return Joined(answers, missing)
