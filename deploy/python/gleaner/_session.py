"""The session of a hosted notebook: it is lent for hours, has nothing but what it fetches, and keeps
nothing but its output, which the next session gets as an attached dataset."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional

from . import _ollama
from ._errors import Error

STORE = "gleaner.db"
_LEFT = (STORE + "-shm",)  # what a store has of those who read it is of another machine


def flags(options: Mapping[str, Any]) -> Dict[str, Any]:
    """Returns the flags of servers of one's own in a hosted session: an Ollama that is got if need
    be, and models where they do not become part of the output.

    Raises:
        Error: the session has no GPU.
    """
    if not _ollama.hosted() or options.get("gpus") in (None, "none"):
        return {}
    if not gpus():
        raise Error("this session has no GPU, and nothing was done: choose Settings > Accelerator > GPU T4 x2 (Colab: Runtime > Change runtime "
                    "type) and run it again. If it is greyed out, this week's quota is used up or the account has no phone number")
    flags: Dict[str, Any] = {}
    if not options.get("ollama_bin"):
        flags["ollama_bin"] = _ollama.ollama()
    if not options.get("models") and not os.environ.get("OLLAMA_MODELS"):
        flags["models"] = str(_ollama.work() / "models")
    file = options.get("model_file")
    if file and not os.path.exists(file):
        found = next(_ollama.attached(os.path.basename(file)), None)
        if found is None:
            raise Error(f"there is no model file {file}, nor has an attached dataset one of that name")
        flags["model_file"] = str(found)
    return flags


def gpus() -> List[str]:
    """Returns the names of this machine's GPUs."""
    try:
        said = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return said.splitlines()


def take_up(place: Path, data: Optional[str], name: Optional[str], among: Optional[Path],
            runs: Callable[[Path], List[Dict[str, Any]]], say: Callable[[str], None] = print) -> None:
    """Copies the folder of an earlier session to this one, if this one has none yet.

    Args:
        place: the folder of this session.
        data: where the data lie in the folder, if the folder has them. Then an earlier folder is taken only if it has the same.
        name: the name of the run. If given, an earlier folder is taken only if it has that run.
        among: where earlier folders are looked for.
        runs: returns the runs of a folder.
    """
    if among is None or (place / STORE).is_file():
        return
    best: Optional[Path] = None
    most = -1
    for store in sorted(among.rglob(STORE)):
        folder = store.parent
        if data is not None and not (folder / data).is_file():
            say(f"{folder} is of other data: it is not taken up")
            continue
        answers = _answers(folder, name, runs)
        if answers is not None and answers > most:
            best, most = folder, answers
    if best is None:
        return
    _copy(best, place)
    say(f"going on with {most} answers of {best}")


def _answers(folder: Path, name: Optional[str], runs: Callable[[Path], List[Dict[str, Any]]]) -> Optional[int]:
    """Returns how many answers a folder has, of the run if a name is given; None if it cannot be
    used. An attached dataset is only for reading, and so a copy of the store is asked."""
    with tempfile.TemporaryDirectory(prefix="gleaner-") as copy:
        for file in folder.glob(STORE + "*"):
            if file.name not in _LEFT:
                shutil.copyfile(file, Path(copy) / file.name)
        try:
            found = runs(Path(copy))
        except Error:
            return None
    counts = [int(run["stored"]) for run in found if name in (None, run["run"])]
    return sum(counts) if counts else None


def _copy(folder: Path, place: Path) -> None:
    """Copies the store of a folder, and its queue, without which it would have to be seen first that
    nothing is on it. Files are made again from the answers."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    queue = folder / "nats"
    if queue.is_dir():
        copy = place / queue.name
        shutil.copytree(queue, copy, copy_function=shutil.copyfile, dirs_exist_ok=True)
        for made in (copy, *copy.rglob("*")):
            made.chmod(0o700 if made.is_dir() else 0o600)  # an attached dataset is only for reading
    for file in sorted(folder.glob(STORE + "*"), reverse=True):  # the store itself last: without it a folder counts as empty
        if file.name not in _LEFT:
            draft = place / (file.name + ".new")
            shutil.copyfile(file, draft)
            draft.chmod(0o600)
            os.replace(draft, place / file.name)
