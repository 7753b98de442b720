"""Runs on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Union

from . import _answers, _flags, _notebook, _ollama, _process, _session
from ._errors import Error, Interrupted, MissingAnswers, TimeOver
from ._frames import FileFrame, Frame, encode, frame

DATA = "gleaner-data"
PathLike = Union[str, "os.PathLike[str]"]

# What chooses rows is for files: what is in memory is chosen before it is given. The others are
# settled by what comes back.
_FOR_FILES = ("limit", "random", "input_where", "explode", "rows", "subset", "input_split", "encoding", "rows_at", "nan")
_SETTLED = {
    "input": "give it as data", "out": "it is what comes back; gleaner.results(…, out=…) writes a file", "layout": "it is for files: gleaner.results(…, out=…, layout=…)",
    "columns": "choose columns of what comes back", "reasoning": "it comes back as a column", "json": "Python needs none", "data": "folder=… is its name",
    "run": "name=… is its name", "dry_run": "gleaner.preview shows the requests",
}


class Sent(NamedTuple):
    """Data as the program reads it."""

    frame: Frame
    path: str
    size: int  # rows; -1 if the program counts them

    def named(self, words: str) -> str:
        """Returns the program's words about the data as they are here: what was in memory has no file
        and no lines, but rows, counted from 0."""
        if self.size < 0:
            return words
        words = re.sub(re.escape(self.path) + r", line (\d+)", lambda line: f"row {int(line.group(1)) - 1}", words)
        words = re.sub(r"^rows\.jsonl: ", "", words)
        return words.replace("mend the file, or leave such rows out with --skip-bad", "mend them, or leave them out with skip_bad=True")


def send(data: Frame, folder: Path) -> Sent:
    """Writes data where the program reads it: in a folder named by what is in it, so that the same
    data is the same file."""
    if isinstance(data, FileFrame):
        return Sent(data, data.path, -1)
    inputs = folder / "inputs"
    inputs.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    count = 0
    handle, draft = tempfile.mkstemp(dir=str(inputs), suffix=".jsonl")
    try:
        with os.fdopen(handle, "wb") as out:
            for row in data.rows():
                line = encode(row, count)
                digest.update(line)
                out.write(line)
                count += 1
        path = inputs / digest.hexdigest()[:12] / "rows.jsonl"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    return Sent(data, str(path), count)


def words_of_spec(function: str, command: str, data: Frame, options: Mapping[str, Any]) -> List[str]:
    """Returns the flags that say what is asked for, with the names and values that Python has."""
    options = dict(options)
    for name, instead in _SETTLED.items():
        if name in {option.rstrip("_") for option in options}:
            raise TypeError(f"{function}() takes no {name!r}: {instead}")
    if not isinstance(data, FileFrame):
        for name in _FOR_FILES:
            if options.get(name) is not None:
                raise TypeError(f"{function}(): {name}=… chooses rows of a file: choose those of a {data.kind} before")
    if isinstance(options.get("model"), (list, tuple)):
        raise TypeError(f"{function}() takes one model: call it once for each")
    options["schema"] = _flags.schema(options.get("schema"))
    options["think"] = _flags.think(options.get("think"))
    asked = any(options.get(name) for name in ("field", "prompt", "prompt_file"))
    if data.field is not None and not asked:
        options["field"] = data.field
    if options.get("simulate") and "sim_speed" in _with_speed(command):
        options.setdefault("sim_speed", 100)
    options.setdefault("config", "none")
    return _flags.flags(function, command, {name: value for name, value in options.items() if value is not None})


def _with_speed(command: str) -> Sequence[str]:
    return ("sim_speed",) if command == "run" else ()


def run(
    data: Any,
    *,
    field: Optional[str] = None,
    prompt: Optional[str] = None,
    system: Optional[str] = None,
    model: Optional[str] = None,
    samples: int = 1,
    think: Union[None, bool, str] = None,
    schema: Any = None,
    name: Optional[str] = None,
    folder: Optional[PathLike] = None,
    simulate: bool = False,
    gpus: Optional[str] = None,
    ollama: Union[None, str, Sequence[str]] = None,
    slots: Union[None, int, str] = None,
    until: Optional[str] = None,
    for_: Optional[str] = None,
    on_missing: str = "null",
    provenance: bool = False,
    seed: Optional[int] = None,
    resume_from: Optional[PathLike] = None,
    progress: Union[None, bool, str] = None,
    **options: Any,
) -> Any:
    """Generates an answer for each row, and returns the rows with their answers.

    The same call again goes on where an earlier one stopped, after an interrupt or a crash too, and
    returns at once when everything is there. Nothing has to be running but Ollama; with
    ``simulate=True`` not even that, and the answers are made up.

    Args:
        data: a list of dicts, a list of str, a DataFrame of pandas or polars, a
            ``datasets.Dataset``; or what the program reads by itself: a path, ``https://…``,
            ``hf://datasets/OWNER/NAME``.
        field: the column that is the prompt, a text or a chat.
        prompt: the prompt as a Jinja template over the columns, such as ``"Solve: {{ question }}"``.
        system: the system prompt, a text or a template.
        model: the model, as Ollama names it.
        samples: answers for each row. Above 1 there is a row for each, told apart by ``sample``.
        think: whether the model thinks first: True, False, "low", "medium", "high".
        schema: what answers have to fit: a pydantic model, a JSON Schema as a dict, or its file.
        name: name of the run. By default it is made from the data and what is asked for.
        folder: where everything is kept, ``gleaner-data`` by default.
        simulate: the answers are made up, for trying things out.
        gpus: GPUs of this machine to run an Ollama server on each: "auto", "0,1". In a session of
            Kaggle or Colab Ollama is got, too, as by `gleaner.ollama`.
        ollama: the Ollama server, or a list of them.
        slots: generations at a time on each GPU, or "auto".
        until: when to stop, such as "07:30". for_: after which time, such as "11h40m". What is there
            by then comes back, with a warning `TimeOver` if more is to be generated.
        on_missing: what becomes of a generation that has no answer: "null" gives None, "drop"
            leaves its row out, "raise" raises `MissingAnswers`.
        provenance: also return where each answer is from, in the column ``gleaner``.
        seed: seed of the run.
        resume_from: a folder below which the folder of an earlier session lies. If this session has
            none yet, that is copied here first. In a session of Kaggle these are the attached
            datasets: attach the output of the last session, and the run goes on.
        progress: False shows none, "live" or "plain" choose how.
        **options: further flags of ``gleaner run`` with ``_`` for ``-``, such as
            ``temperature=0.7``, ``num_predict=200``, ``stop=["END"]``, ``var={"style": "terse"}``.

    Returns:
        The same kind as data, with the same columns and order, plus ``response``, and ``reasoning``
        where the model thought. For a list of str a list of str; for a path a list of dicts.

    Raises:
        UsageError: what is asked for makes no sense.
        MissingAnswers: with ``on_missing="raise"``.
        Interrupted: the call was interrupted. What is there stays.
        Error: anything else, in the program's own words.

    >>> answers = run([{"question": "What is 1 and 2?"}], field="question", simulate=True, progress=False)
    >>> list(answers[0])
    ['question', 'response']
    """
    wanted = _answers.Wanted(samples, checked(on_missing), provenance, options.get("replace"))
    given = frame(data)
    words = words_of_spec("run", "run", given, {
        "field": field, "prompt": prompt, "system": system, "model": model, "samples": samples if samples != 1 else None, "think": think,
        "schema": schema, "simulate": simulate or None, "gpus": gpus, "ollama": ollama if ollama is None or isinstance(ollama, str) else ",".join(ollama),
        "slots": slots, "until": until, "for_": for_, "seed": seed, **options,
    })
    if name is not None:
        words.append(f"--run={name}")
    words += _flags.flags("run", "run", _session.flags({"gpus": gpus, **options}))
    place = Path(folder or DATA)
    sent = send(given, place)
    if sent.size == 0:
        return given.join([], {"response": []})
    among = Path(resume_from) if resume_from else _ollama.inputs() if _ollama.hosted() else None
    inside = os.path.relpath(sent.path, place) if sent.size > 0 else None
    _session.take_up(place, inside, name, among, runs)
    words += [f"--input={sent.path}", f"--data={place}", "--layout=rows", "--provenance=nested", "--json"]
    result = executed("run", words, place, progress, sent=sent)
    summary = result.json()
    if sent.size < 0:
        return _of_file(result, summary, place, wanted, options.get("response_field"))
    exported = _read(Path(summary["out"]))
    both = _answers.join(given, exported, _items(sent.size, place, summary["run"]), wanted)
    return settled(both, wanted, result, summary)


def checked(on_missing: str) -> str:
    """Returns what becomes of missing answers, or a ValueError."""
    if on_missing not in _answers.ON_MISSING:
        raise ValueError(f"on_missing is {on_missing!r}: use one of {', '.join(_answers.ON_MISSING)}")
    return on_missing


def executed(verb: str, words: Sequence[str], folder: Optional[Path], progress: Any, env: Optional[Mapping[str, str]] = None,
             sent: Optional[Sent] = None) -> _process.Result:
    """Runs a verb that takes its time, and shows how far it is. It ends with an exception unless
    there are answers."""
    show = _notebook.chosen(progress)
    own = progress is None or isinstance(progress, str)
    command = [_flags.program(), verb, *words]
    if "progress" in _flags.known(command[0], verb):
        if isinstance(show, _notebook.Notebook):
            command.append("--progress=json")
        elif progress is False:
            command.append("--progress=none")
        elif isinstance(progress, str):
            command.append(f"--progress={progress}")
    result = _process.execute(command, show, own=own and not isinstance(show, _notebook.Notebook), env=env)
    show.close()
    if result.code == 130 and result.out.strip() and not result.interrupted:
        warnings.warn(TimeOver(result.words.replace("the same command", "the same call") + _next_session()), stacklevel=3)
        return result
    if result.interrupted or result.code == 130:
        raise Interrupted(_interrupted(result, folder), result.run, result.words)
    if result.code not in (0, 3):
        raise result.error(sent.named if sent else str)
    return result


def _interrupted(result: _process.Result, folder: Optional[Path]) -> str:
    if folder is None:
        return "interrupted: the team goes on with what is on the queue, and the same call follows it again"
    if result.run is None:
        return "interrupted before anything was generated"
    where = "" if str(folder) == DATA else f", folder={str(folder)!r}"
    file = folder / f"{result.run}.jsonl"
    done = _process.execute([_flags.program(), "export", f"--data={folder}", f"--run={result.run}", f"--out={file}", "--config=none"])
    there = f" and the file {file} have" if done.code in (0, 3) else " gives"
    return f"interrupted: the same call goes on where this one stopped. gleaner.results({result.run!r}{where}){there} what is there" + _next_session()


def _next_session() -> str:
    """Returns how a run goes on when this session is over."""
    return "; in another session attach the output of this one as input" if _ollama.hosted() else ""


def _read(path: Path) -> _answers.Export:
    with path.open("rb") as lines:
        return _answers.read(lines)


def _items(count: int, folder: Path, name: str) -> List[int]:
    """Returns the row of each item of a run: rows that were left out as bad ones are no items."""
    bad = folder / f"{name}.bad.jsonl"
    out = set()
    if bad.is_file():
        with bad.open(encoding="utf-8") as lines:
            out = {json.loads(line)["line"] - 1 for line in lines}
    return [row for row in range(count) if row not in out]


def settled(both: _answers.Joined, wanted: _answers.Wanted, result: _process.Result, summary: Dict[str, Any]) -> Any:
    """Returns answers, or an exception if some are missing and may not be."""
    if both.missing and wanted.on_missing == "raise":
        raise MissingAnswers(result.words if result.code == 3 else f"{len(both.missing)} generations have no answer",
                             result.code, result.command, both.missing, both.answers, summary)
    return both.answers


def _of_file(result: _process.Result, summary: Dict[str, Any], folder: Path, wanted: _answers.Wanted, field: Optional[str]) -> Any:
    if summary["stored"] < summary["generations"] and wanted.on_missing != "drop":
        exported = _export(summary["run"], folder)
    else:
        exported = _read(Path(summary["out"]))
    both = _answers.rows(exported, wanted, _answer(exported, wanted, field))
    return settled(both, wanted, result, summary)


def _answer(exported: _answers.Export, wanted: _answers.Wanted, field: Optional[str]) -> str:
    """Returns the column of the answers in an export of rows that only the program has read."""
    if field or wanted.replace:
        return field or str(wanted.replace)
    names = [name for name in (exported.lines[0] if exported.lines else ()) if re.fullmatch(r"response(_\d+)?", name)]
    return names[-1] if names else "response"


def store(folder: Path) -> str:
    """Returns the flag that names a folder with runs."""
    if not (folder / "gleaner.db").is_file():
        raise Error(f"{folder} holds no runs: gleaner.run makes them in the folder {DATA} of the working folder, or where its folder=… says")
    return f"--data={folder}"


def _asked(verb: str, words: Sequence[str], allowed: Sequence[int] = (0,)) -> _process.Result:
    """Runs a verb that only looks."""
    result = _process.execute([_flags.program(), verb, "--config=none", *words])
    if result.interrupted:
        raise KeyboardInterrupt
    if result.code not in allowed:
        raise result.error()
    return result


def _export(name: str, folder: Path, also: Sequence[str] = ()) -> _answers.Export:
    words = [store(folder), f"--run={name}", "--all", "--out=-", "--layout=rows", "--provenance=nested", *also]
    result = _asked("export", words, (0, 3))
    return _answers.read(result.out.encode().splitlines())


def runs(folder: Optional[PathLike] = None) -> List[Dict[str, Any]]:
    """Returns the runs of a folder, each as `status` does.

    >>> runs("there-is-no-such-folder")
    []
    """
    place = Path(folder or DATA)
    if not (place / "gleaner.db").is_file():
        return []
    return list(_asked("status", [store(place), "--json"]).json() or [])


def status(name: Optional[str] = None, folder: Optional[PathLike] = None) -> Dict[str, Any]:
    """Returns how far a run is: its state, how many answers are stored, tokens, rates. Without a name
    of the only run of the folder, or of the one that has begun last."""
    place = Path(folder or DATA)
    return dict(_asked("status", [store(place), f"--run={name or _last(place)}", "--json"]).json())


def _last(folder: Path) -> str:
    found = runs(folder)
    if not found:
        raise Error(f"{folder} holds no runs yet")
    latest = max(found, key=lambda one: str(one.get("last_done") or ""))
    return str(latest["run"])


def results(
    name: Optional[str] = None,
    folder: Optional[PathLike] = None,
    *,
    like: Any = None,
    on_missing: str = "null",
    provenance: bool = False,
    out: Optional[PathLike] = None,
    **options: Any,
) -> Any:
    """Returns the answers that a run has, also while it works and after it was interrupted.

    Args:
        name: name of the run; by default the one that got the last answer.
        folder: where it is kept, ``gleaner-data`` by default.
        like: what was given to `run`. The same kind comes back. Without it a list of dicts.
        on_missing: "null", "drop" or "raise", as for `run`.
        provenance: also return where each answer is from.
        out: write a file (``.jsonl``, ``.csv``, ``.parquet``, a folder …) and return its path.
        **options: further flags of ``gleaner export``, such as ``layout="chat"`` with out.
    """
    place = Path(folder or DATA)
    name = name or _last(place)
    checked(on_missing)
    words = _flags.flags("results", "export", options)
    if out is not None:
        _asked("export", [store(place), f"--run={name}", f"--out={os.fspath(out)}", *words], (0, 3))
        return os.fspath(out)
    summary = status(name, place)
    exported = _export(name, place, words)
    given = None if like is None else frame(like)
    count = -1 if given is None or isinstance(given, FileFrame) else sum(1 for _ in given.rows())
    wanted = _answers.Wanted(0, on_missing, provenance, options.get("replace"))
    both = joined(name, given, exported, wanted, options.get("response_field"), _items(count, place, name))
    if both.missing and on_missing == "raise":
        raise MissingAnswers(f"{len(both.missing)} generations of run {name} have no answer", None, (), both.missing, both.answers, summary)
    return both.answers


def joined(name: str, given: Optional[Frame], exported: _answers.Export, wanted: _answers.Wanted, field: Optional[str], items: Sequence[int]) -> _answers.Joined:
    """Joins an export to what was given; without that its rows are dicts. With 0 samples wanted it
    has as many as the run.

    Args:
        items: the row of each item of the run.
    """
    places = [_answers.place(line[exported.provenance]) for line in exported.lines]
    wanted = wanted._replace(samples=wanted.samples or 1 + max((sample for _, sample in places), default=0))
    if given is None or isinstance(given, FileFrame):
        return _answers.rows(exported, wanted, _answer(exported, wanted, field))
    if len({item for item, _ in places}) != len(items):
        raise ValueError(f"run {name} is of {len({item for item, _ in places})} rows, and the data has {len(items)}: give what was given before")
    return _answers.join(given, exported, items, wanted)


def preview(data: Any, n: int = 3, *, schema: Any = None, think: Union[None, bool, str] = None, name: Optional[str] = None, **options: Any) -> List[Dict[str, Any]]:
    """Returns what would be sent for some rows, and what the model answers. Nothing is written.

    Args:
        data: as for `run`.
        n: how many rows, spread over the data.
        **options: as for `run`.

    Returns:
        A dict for each row, with its number (from 1), the ``request`` with its ``messages``, and the
        ``answer`` with its ``text``.

    >>> shown = preview([{"q": "What is 1 and 2?"}], prompt="Solve: {{ q }}", simulate=True)
    >>> shown[0]["request"]["messages"][0]["content"]
    'Solve: What is 1 and 2?'
    """
    given = frame(data)
    words = words_of_spec("preview", "preview", given, {"schema": schema, "think": think, **options})
    if name is not None:
        words.append(f"--run={name}")
    with tempfile.TemporaryDirectory(prefix="gleaner-") as folder:
        sent = send(given, Path(folder))
        result = _process.execute([_flags.program(), "preview", str(n), *words, f"--input={sent.path}", "--json"])
    if result.interrupted:
        raise KeyboardInterrupt
    if result.code not in (0, 3):
        raise result.error(sent.named)
    return list(result.json())
