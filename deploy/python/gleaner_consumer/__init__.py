"""A helper's part of Gleaner: the GPUs of this machine work for a team's run.

    import gleaner_consumer
    gleaner_consumer.work(for_="11h40m", next_run=True)

What a helper needs is one string that the operator makes with ``gleaner invite``, in the variable
``GLEANER_INVITE`` or in the secret of a notebook that has this name.
"""

from __future__ import annotations

import importlib.metadata as _metadata
import os as _os
import re as _re
from typing import Any, Dict, List, Optional, Union

from . import _notebook, _ollama, _process, _secrets
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
    until: Optional[str] = None,
    next_run: bool = False,
    nats: Optional[str] = None,
    creds: Optional[str] = None,
    model_file: Optional[str] = None,
    ollama_url: Optional[str] = None,
    ollama_sha256: Optional[str] = None,
    progress: Union[None, bool, str] = None,
    **options: Any,
) -> Dict[str, Any]:
    """Takes batches of a run from the team's queue and answers them, until the run is complete or the
    time is over. Before that it looks whether invitation, GPUs, network, Ollama and disk are there,
    and names all that is missing.

    Args:
        run: name of the run. Without it, that of the invitation.
        for_: end in time for this, such as "11h40m".
        invite: what ``gleaner invite`` printed; else the variable ``GLEANER_INVITE``, else the secret
            of Kaggle or Colab with this name.
        gpus: GPUs of this machine to run an Ollama server on each: "auto", "0,1". None takes the
            server that ``ollama="http://…"`` names.
        until: end in time for this time of day, such as "07:30".
        next_run: when the run is complete, go on to the next open one of the same model.
        nats: address of the NATS server, else ``NATS_URL``, else that of the invitation.
        creds: credentials, a path or their content, else ``NATS_CREDS``. They are handed to the
            program by its environment, where other users of the machine do not see them.
        model_file: a GGUF file to create the model from, instead of pulling it: a path, or the name
            of a file in an attached dataset.
        ollama_url: where to get the archive of a release of Ollama, if neither a dataset nor this
            machine has it. A hosted notebook gets Ollama's own release if this is not given.
        ollama_sha256: the checksum of that archive, without which it is not used.
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
    if invite is None:
        invite = _secrets.secret("GLEANER_INVITE") or None
    hosted = _ollama.hosted()
    if run is None and invite is None and not hosted:
        raise TypeError("work() needs the name of a run, or an invite")
    if invite is None and hosted:
        nats, creds = nats or _secrets.secret("NATS_URL"), creds or _secrets.secret("NATS_CREDS")
    program = _process.find("gleaner-consumer", "GLEANER_CONSUMER_BIN")
    if options.get("ollama") is not None and gpus == "auto":
        gpus = None
    if gpus is not None and hosted:
        options.setdefault("models", str(_ollama.work() / "models"))
    if hosted:
        options.setdefault("check", "first")
    given = {"NATS_URL": nats, "NATS_CREDS": creds, "GLEANER_INVITE": invite}
    env = {name: value for name, value in given.items() if value}
    words = _words({"run": run, "for": for_, "until": until, "next_run": next_run, "gpus": gpus, **options})
    hidden = _secrets.parts(list(env.values()) + _re.findall(r"://[^/@]*:([^/@]+)@", nats or ""))
    show = _secrets.Hiding(_notebook.chosen(progress), hidden)
    if gpus is not None and "ollama_bin" not in options and (hosted or ollama_url):
        _look(program, words, env)
        words.append("--ollama-bin=" + _ollama.ollama(ollama_url, ollama_sha256, say=show.lines))
    if model_file is not None:
        words.append("--model-file=" + _model(model_file))
    own = progress is not False and not _notebook.notebook()
    result = _process.execute([program, *words], show, own=own, env=env)
    result.said[:] = [_secrets.hide(line, hidden) for line in result.said]
    show.close()
    if result.interrupted or result.code == 130:
        raise Interrupted("interrupted: what was not finished goes to other helpers", run, result.words)
    if result.code != 0:
        raise result.error()
    return {"answers": _answers(result.said), "words": result.said[-5:]}


def _look(program: str, words: List[str], env: Dict[str, str]) -> None:
    """Raises an error that names all that is missing, but for Ollama, which can be got."""
    looks = [word for word in words if not word.startswith("--check=")] + ["--check=only", "--json"]
    result = _process.execute([program, *looks], env=env)
    if result.code not in (0, 1) or not result.out:
        raise result.error()
    wrong = [f for f in result.json() if f["state"] == "wrong" and f["check"] != "Ollama"]
    if wrong:
        lines = [f"  {f['check']}: {f['says']}\n    → {f['advice']}" for f in wrong]
        many = "one thing is missing" if len(wrong) == 1 else f"{len(wrong)} things are missing"
        raise Error(f"{many}, and no work was taken:\n" + "\n".join(lines), 1)


def _model(name: str) -> str:
    """Returns the path of a model's file: as it is given, or in an attached dataset."""
    if _os.path.isfile(name):
        return name
    for path in _ollama.attached(name):
        return str(path)
    raise Error(f"no dataset has the model file {name}: attach the one that does, or leave model_file out")


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
    """Returns how many generations were answered, by the program's last line, or by what the GPUs say
    when they stop.

    >>> _answers(["12:00:00 INFO  stopped gpu=0 generations=3 output_tokens=90"])
    3
    >>> _answers(["12:00:00 INFO  made 1,203 answers with 9 tokens in 3 min 2 s for run sums"])
    1203
    """
    for line in reversed(said):
        made = _re.search(r"\bmade ([\d,]+) answers? with\b", line)
        if made:
            return int(made.group(1).replace(",", ""))
    ends = (_re.search(r"\bstopped\b.*\bgenerations=(\d+)", line) for line in said)
    return sum(int(end.group(1)) for end in ends if end)
