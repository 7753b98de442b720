"""From arguments of Python to flags of the program."""

from __future__ import annotations

import difflib
import functools
import json
from typing import Any, FrozenSet, List, Mapping

from . import _process

VARIABLE = "GLEANER_BIN"  # names the program in place of the wheel's


def program() -> str:
    """Returns the path of the program."""
    return _process.find("gleaner", VARIABLE)


@functools.lru_cache(maxsize=None)
def known(path: str, command: str) -> FrozenSet[str]:
    """Returns the flags that a command of the program has. If it cannot say, there are none."""
    said = _process.execute([path, "config", command, "--config=none", "--json"])
    try:
        return frozenset(flag["flag"] for flag in json.loads(said.out)["flags"])
    except (ValueError, KeyError, TypeError):
        return frozenset()


def flags(function: str, command: str, options: Mapping[str, Any]) -> List[str]:
    """Returns options as flags. A name that the command does not have is a TypeError that names the
    nearest one."""
    names = known(program(), command)
    words: List[str] = []
    for name, value in options.items():
        flag = name.rstrip("_").replace("_", "-")
        if names and flag not in names:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}" + _nearest(command, flag, names))
        words += words_of(flag, value)
    return words


def _nearest(command: str, flag: str, names: FrozenSet[str]) -> str:
    also = {"max-tokens": "num-predict", "max-new-tokens": "num-predict", "n": "samples", "context": "num-ctx", "instructions": "system"}
    near = [also[flag]] if also.get(flag) in names else difflib.get_close_matches(flag, names, 1, 0.6)
    return f": did you mean {near[0].replace('-', '_')!r}?" if near else f"; `gleaner {command} --help` lists what there is"


def words_of(flag: str, value: Any) -> List[str]:
    """Returns the words of one flag.

    >>> words_of("top-k", 5), words_of("raw", True), words_of("raw", None), words_of("stop", ["a", "b"])
    (['--top-k=5'], ['--raw'], [], ['--stop=a', '--stop=b'])
    """
    if value is None or value is False:
        return []
    if value is True:
        return [f"--{flag}"]
    if isinstance(value, Mapping):
        return [word for name, inner in value.items() for word in words_of(flag, f"{name}={inner}")]
    if isinstance(value, (list, tuple)):
        return [word for inner in value for word in words_of(flag, inner)]
    return [f"--{flag}={value}"]


def schema(value: Any) -> Any:
    """Returns a schema as the flag takes it: of a pydantic model, a mapping, or a path.

    >>> schema({"type": "object"})
    '{"type": "object"}'
    """
    make = getattr(value, "model_json_schema", None)
    if callable(make):
        value = make()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping) else value


def think(value: Any) -> Any:
    """Returns whether to think as the flag takes it.

    >>> think(True), think(False), think("low"), think(None)
    ('on', 'off', 'low', None)
    """
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value
