"""A helper's part of Gleaner: the GPUs of this machine work for a team's run.

    import gleaner_consumer
    gleaner_consumer.work(run="sums", for_="11h40m")

The address of the team's NATS server and the credentials are in the variables ``NATS_URL`` and
``NATS_CREDS``, as the program ``gleaner-consumer`` reads them.
"""

from __future__ import annotations

import importlib.metadata as _metadata
import re as _re
from typing import Any, Dict, List, Optional, Union

from . import _notebook, _process
from ._errors import Error, Interrupted, NoProgram, UsageError

try:
    __version__ = _metadata.version("gleaner-consumer")
except _metadata.PackageNotFoundError:  # from a checkout
    __version__ = "0+checkout"

__all__ = ["work", "Error", "UsageError", "Interrupted", "NoProgram"]


def work(
    run: Optional[str] = None,
    for_: Optional[str] = None,
    invite: Optional[str] = None,
    gpus: Optional[str] = "auto",
    *,
    nats: Optional[str] = None,
    creds: Optional[str] = None,
    progress: Union[None, bool, str] = None,
    **options: Any,
) -> Dict[str, Any]:
    """Takes batches of a run from the team's queue and answers them, until the run is complete or the
    time is over.

    Args:
        run: name of the run.
        for_: end in time for this, such as "11h40m".
        invite: what ``gleaner invite`` printed, in place of run, nats and creds.
        gpus: GPUs of this machine to run an Ollama server on each: "auto", "0,1". None takes the
            server that ``ollama="http://…"`` names.
        nats: address of the NATS server, else ``NATS_URL``.
        creds: credentials, a path or their content, else ``NATS_CREDS``. They are handed to the
            program by its environment, where other users of the machine do not see them.
        progress: False shows nothing.
        **options: further flags of the program with ``_`` for ``-``, such as ``slots=8``.

    Returns:
        ``answers``: how many generations it answered, and ``words``: its last lines.

    Raises:
        UsageError: what is asked for makes no sense.
        Interrupted: it was interrupted, and has handed back what it held.
        Error: anything else, in the program's own words.

    >>> work()
    Traceback (most recent call last):
    ...
    TypeError: work() needs the name of a run, or an invite
    """
    if run is None and invite is None:
        raise TypeError("work() needs the name of a run, or an invite")
    program = _process.find("gleaner-consumer", "GLEANER_CONSUMER_BIN")
    if options.get("ollama") is not None and gpus == "auto":
        gpus = None
    env = {"NATS_URL": nats, "NATS_CREDS": creds, "GLEANER_INVITE": invite}
    words = _words({"run": run, "for": for_, "gpus": gpus, **options})
    show = _notebook.chosen(progress)
    notebook = isinstance(show, _notebook.Notebook)
    result = _process.execute([program, *words], show, own=progress is not False and not notebook,
                              env={name: value for name, value in env.items() if value is not None})
    show.close()
    if result.interrupted or result.code == 130:
        raise Interrupted("interrupted: what was not finished goes to other helpers", run, result.words)
    if result.code != 0:
        raise result.error()
    return {"answers": _answers(result.said), "words": result.said[-5:]}


def _words(options: Dict[str, Any]) -> List[str]:
    words: List[str] = []
    for name, value in options.items():
        flag = "--" + name.rstrip("_").replace("_", "-")
        if value is True:
            words.append(flag)
        elif isinstance(value, (list, tuple)):
            words.append(f"{flag}={','.join(str(one) for one in value)}")
        elif value is not None and value is not False:
            words.append(f"{flag}={value}")
    return words


def _answers(said: List[str]) -> int:
    """Returns how many generations the GPUs answered, by what they say when they stop.

    >>> _answers(["12:00:00 INFO  stopped gpu=0 generations=3 output_tokens=90"])
    3
    """
    ends = (_re.search(r"\bstopped\b.*\bgenerations=(\d+)", line) for line in said)
    return sum(int(end.group(1)) for end in ends if end)
