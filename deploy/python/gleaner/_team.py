"""Runs of a team: its store is MongoDB, its queue NATS, and others have the GPUs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Union

from . import _answers, _flags, _process, _run
from ._errors import UsageError
from ._frames import FileFrame, Frame, frame


def _env(store: Optional[str], nats: Optional[str], creds: Optional[str]) -> Dict[str, str]:
    """Returns where the team's store and queue are, as variables, since addresses hold passwords."""
    env = {"MONGODB_URI": store, "NATS_URL": nats, "NATS_CREDS": creds}
    if not (store or os.environ.get("MONGODB_URI")):
        raise UsageError("the team's store is not known: set MONGODB_URI, or give store=…")
    return {name: value for name, value in env.items() if value}


def submit(
    data: Any,
    *,
    name: str,
    store: Optional[str] = None,
    nats: Optional[str] = None,
    creds: Optional[str] = None,
    samples: int = 1,
    think: Union[None, bool, str] = None,
    schema: Any = None,
    on_missing: str = "null",
    provenance: bool = False,
    progress: Union[None, bool, str] = None,
    **options: Any,
) -> Any:
    """Loads data as a run of a team, follows it to its end, and returns the answers as `gleaner.run`
    does. The GPUs are those of the team's helpers, and a sink has to run.

    Args:
        data: as for `gleaner.run`.
        name: name of the run, by which helpers take work.
        store: the team's store, else ``MONGODB_URI``.
        nats: the team's NATS server, else ``NATS_URL``. creds: credentials, else ``NATS_CREDS``.
        **options: flags of ``gleaner load``, such as ``prompt=``, ``model=``, ``temperature=0.7``.

    Interrupted, it goes on with the same call, or with `attach`. The team works on meanwhile.
    """
    env = _env(store, nats, creds)
    _run.checked(on_missing)
    given = frame(data)
    if options.get("skip_bad") and not isinstance(given, FileFrame):
        raise TypeError(f"submit() takes no 'skip_bad' with a {given.kind}: leave out the rows that cannot be used before")
    words = _run.words_of_spec("submit", "load", given, {
        "samples": samples if samples != 1 else None, "think": think, "schema": schema, **options})
    with tempfile.TemporaryDirectory(prefix="gleaner-") as folder:
        sent = _run.send(given, Path(folder))
        _run.executed("load", [*words, f"--run={name}", f"--input={sent.path}", "--json"], None, progress, env, sent)
    wanted = _answers.Wanted(samples, on_missing, provenance, options.get("replace"))
    return _followed(name, given, wanted, progress, env)


def attach(
    name: str,
    *,
    like: Any = None,
    store: Optional[str] = None,
    nats: Optional[str] = None,
    creds: Optional[str] = None,
    on_missing: str = "null",
    provenance: bool = False,
    progress: Union[None, bool, str] = None,
) -> Any:
    """Follows a run of a team to its end, and returns its answers.

    Args:
        name: name of the run.
        like: what was given to `submit`. The same kind comes back. Without it a list of dicts.

    The other arguments are those of `submit`.
    """
    env = _env(store, nats, creds)
    wanted = _answers.Wanted(0, _run.checked(on_missing), provenance)
    return _followed(name, None if like is None else frame(like), wanted, progress, env)


def _followed(name: str, given: Optional[Frame], wanted: _answers.Wanted, progress: Any, env: Mapping[str, str]) -> Any:
    result = _run.executed("publish", [f"--run={name}", "--follow", "--json", "--config=none"], None, progress, env)
    exported = _export(name, env)
    joined = _run.joined(name, given, exported, wanted, None, _items(given))
    return _run.settled(joined, wanted, result, result.json())


def _items(given: Optional[Frame]) -> List[int]:
    if given is None or isinstance(given, FileFrame):
        return []
    return list(range(sum(1 for _ in given.rows())))


def _export(name: str, env: Mapping[str, str]) -> _answers.Export:
    words = [f"--run={name}", "--all", "--out=-", "--layout=rows", "--provenance=nested", "--config=none"]
    result = _process.execute([_flags.program(), "export", *words], env=env)
    if result.interrupted:
        raise KeyboardInterrupt
    if result.code not in (0, 3):
        raise result.error()
    return _answers.read(result.out.encode().splitlines())
