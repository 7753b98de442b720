"""Finds the program that came with this package, and runs it."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, IO, Iterator, List, Mapping, Optional, Sequence, Tuple

from ._errors import Error, NoProgram, UsageError

try:  # POSIX only
    import fcntl
    import pty
    import termios
except ImportError:  # Windows
    pty = None  # type: ignore[assignment]

# Set for the program, it ends in order when its standard input does: when this process is gone,
# also if that was killed.
_WITH_US = "GLEANER_ENDS_WITH_STDIN"

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Za-z0-9]")


def find(program: str, variable: str) -> str:
    """Returns the path of a program that a wheel brought, or that an environment variable names.

    It may lie where pip puts commands; beside the package, if that was installed with ``--target``;
    or in a wheel that was unpacked, or is itself, on ``sys.path``: an attached dataset of Kaggle is
    such a folder, in which nothing may be executed, so that a copy is made.
    """
    if os.environ.get(variable):
        return os.environ[variable]
    name = program + (".exe" if os.name == "nt" else "")
    home = Path(__file__).resolve().parent.parent
    # home may be a wheel that was not unpacked.
    for inside in ([] if home.is_file() else sorted(home.glob("*.data/scripts/" + name))):
        return _executable(inside)
    if home.is_file():
        return _unpacked(home, name)
    for folder in _folders(home):
        if os.access(folder / name, os.X_OK) and (folder / name).is_file():
            return str(folder / name)
    on_path = shutil.which(program)
    if on_path:
        return on_path
    raise NoProgram(
        f"the program {program} is neither where pip puts commands nor on the PATH: "
        f"install the wheel for this machine with pip, or set {variable} to the program")


def _folders(home: Path) -> Iterator[Path]:
    """Where commands may lie: nearest first."""
    yield Path(sysconfig.get_path("scripts"))
    yield home / "bin"  # pip install --target
    yield home / "Scripts"
    parent = home.parent
    if parent.name.startswith("python"):  # pip install --prefix: PREFIX/lib/python3.x/site-packages
        yield parent.parent.parent / "bin"
    user = "nt_user" if os.name == "nt" else "posix_user"
    if user in sysconfig.get_scheme_names():
        yield Path(sysconfig.get_path("scripts", scheme=user))


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(base) / "gleaner" / "bin"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="gleaner-"))


def _install(data: IO[bytes], size: int, label: str, name: str) -> str:
    """Puts a program where it may be executed. A copy of the same wheel is used again."""
    folder = _cache() / label
    target = folder / name
    if target.is_file() and target.stat().st_size == size and os.access(target, os.X_OK):
        return str(target)
    folder.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=str(folder))
    with os.fdopen(handle, "wb") as out:
        shutil.copyfileobj(data, out)
    os.chmod(draft, 0o755)
    os.replace(draft, target)
    return str(target)


def _executable(path: Path) -> str:
    if os.access(path, os.X_OK):
        return str(path)
    try:
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)
    except OSError:  # a folder that is only for reading
        with path.open("rb") as data:
            return _install(data, path.stat().st_size, path.parent.parent.name, path.name)


def _unpacked(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            if info.filename.endswith(".data/scripts/" + name):
                with archive.open(info) as data:
                    return _install(data, info.file_size, info.filename.split("/")[0], name)
    raise NoProgram(f"{wheel} holds no {name}: it is a wheel for other machines")


class Result:
    """What a program said, and how it ended."""

    def __init__(self, command: List[str], code: int, out: str, said: List[str],
                 run: Optional[str], interrupted: bool) -> None:
        self.command = command
        self.code = code
        self.out = out
        self.said = said
        self.run = run
        self.interrupted = interrupted

    @property
    def words(self) -> str:
        """The words with which the program ended: its last message that begins with its name."""
        name = os.path.basename(self.command[0])
        if name.endswith(".exe"):
            name = name[:-4]
        starts = [i for i, line in enumerate(self.said)
                  if line.startswith((name + ": ", "gleaner: ", "consumer: "))]
        lines = self.said[starts[-1]:] if starts else self.said[-10:]
        text = "\n".join(lines).strip()
        return re.sub(r"^[a-z-]+: ", "", text) or f"{name} ended with exit code {self.code}"

    def error(self, named: Callable[[str], str] = str) -> Error:
        """The exception for a program that failed, with its words as named returns them."""
        kind = UsageError if self.code == 2 else Error
        return kind(named(self.words), self.code, self.command)

    def json(self) -> Any:
        """What it printed, as JSON."""
        try:
            return json.loads(self.out)
        except ValueError:
            raise Error(f"{self.command[0]} printed what is no JSON: {self.out[:200]!r}",
                        self.code, self.command) from None


class Show:
    """Where the lines go that a program says while it runs."""

    def lines(self, text: str) -> None:
        """Takes a line of talk."""

    def progress(self, snapshot: Mapping[str, Any]) -> None:
        """Takes how far the run is."""

    def tick(self) -> None:
        """Is called while nothing is said."""

    def close(self) -> None:
        """Takes the end."""


class Quiet(Show):
    """Shows nothing."""


class Lines(Show):
    """Writes lines where Python's errors go."""

    def lines(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _terminal() -> bool:
    """Reports whether the process talks to a terminal that a pseudo-terminal can stand for."""
    if pty is None:
        return False
    try:
        return os.isatty(2) and sys.stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):
        return False


def execute(command: Sequence[str], show: Optional[Show] = None, *, own: bool = False,
            env: Optional[Mapping[str, str]] = None) -> Result:
    """Runs a program to its end. An interrupt is passed on to it, and then its end is awaited.

    Args:
        command: the program and its arguments.
        show: where its lines go.
        own: let it draw by itself, if there is a terminal.
        env: variables beside those of this process. Passwords go here and not into the command,
            which other users of the machine can see.
    """
    show = show or Quiet()
    terminal = own and _terminal()
    options: Dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
    master = slave = -1
    if terminal:
        master, slave = pty.openpty()
        _resize(master)
    try:
        child = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=slave if terminal else subprocess.PIPE, env={**os.environ, **(env or {}), _WITH_US: "1"}, **options)
    except OSError as failure:
        if terminal:
            os.close(master)
            os.close(slave)
        raise NoProgram(f"start {command[0]}: {failure.strerror or failure}", None, command) from None
    if terminal:
        os.close(slave)
    talk: "queue.Queue[Optional[str]]" = queue.Queue()
    out: List[bytes] = []
    assert child.stdout is not None
    readers = [threading.Thread(target=_collect, args=(child.stdout, out), daemon=True)]
    if terminal:
        readers.append(threading.Thread(target=_copy, args=(master, talk), daemon=True))
    else:
        assert child.stderr is not None
        readers.append(threading.Thread(target=_split, args=(child.stderr, talk), daemon=True))
    for reader in readers:
        reader.start()
    said, run, interrupted = _follow(child, talk, Quiet() if terminal else show)
    for reader in readers:
        reader.join()
    if terminal:
        os.close(master)
    assert child.stdin is not None
    child.stdin.close()
    return Result(list(command), child.returncode, b"".join(out).decode("utf-8", "replace"), said, run, interrupted)


def _collect(stream: IO[bytes], into: List[bytes]) -> None:
    with stream:
        into.append(stream.read())


def _split(stream: IO[bytes], talk: "queue.Queue[Optional[str]]") -> None:
    with stream:
        for line in stream:
            talk.put(line.decode("utf-8", "replace").rstrip("\r\n"))
    talk.put(None)


def _copy(master: int, talk: "queue.Queue[Optional[str]]") -> None:
    """Copies what the program draws to the terminal, and keeps its lines."""
    rest = ""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # Linux says so when the other end is closed
            data = b""
        if not data:
            break
        _resize(master)
        os.write(2, data.replace(b"\r\n", b"\n"))
        *lines, rest = (rest + data.decode("utf-8", "replace")).split("\n")
        for line in lines:
            talk.put(_CONTROL.sub("", line).rstrip("\r").rsplit("\r", 1)[-1])
    if rest:
        talk.put(_CONTROL.sub("", rest))
    talk.put(None)


def _resize(master: int) -> None:
    try:
        size = fcntl.ioctl(2, termios.TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(master, termios.TIOCSWINSZ, size)
    except OSError:
        pass


def _signal(child: "subprocess.Popen[bytes]") -> None:
    try:
        if os.name == "nt":
            child.send_signal(signal.CTRL_BREAK_EVENT)  # type: ignore[attr-defined]
        else:
            child.send_signal(signal.SIGINT)
    except (OSError, ValueError):  # it has ended
        pass


def _follow(child: "subprocess.Popen[bytes]", talk: "queue.Queue[Optional[str]]",
            show: Show) -> Tuple[List[str], Optional[str], bool]:
    said: List[str] = []
    run: Optional[str] = None
    interrupted = ended = False
    while not ended:
        try:
            try:
                line = talk.get(timeout=0.5)
            except queue.Empty:
                show.tick()
                continue
            if line is None:
                ended = True
                continue
            progress, text = _parsed(line)
            if progress is not None:
                run = _name(progress) or run
                show.progress(progress)
                continue
            begins = re.match(r"run (\S+): ", text)
            run = begins.group(1) if begins else run
            said.append(text)
            del said[:-400]
            show.lines(text)
        except KeyboardInterrupt:  # the first is passed on; a second one ends the program at once
            interrupted = True
            _signal(child)
        except BaseException:  # the display is broken: the program must not go on unseen
            child.terminate()
            child.wait()
            raise
    while child.returncode is None:
        try:
            child.wait()
        except KeyboardInterrupt:
            interrupted = True
            _signal(child)
    return said, run, interrupted


def _parsed(line: str) -> Tuple[Optional[Mapping[str, Any]], str]:
    """Returns the progress that a line holds, or its text."""
    if line.startswith('{"'):
        try:
            value = json.loads(line)
        except ValueError:
            return None, line
        if isinstance(value, dict) and isinstance(value.get("progress"), dict):
            return value["progress"], ""
        if isinstance(value, dict) and isinstance(value.get("message"), str):
            return None, value["message"]
    return None, line


def _name(progress: Mapping[str, Any]) -> Optional[str]:
    snapshot = progress.get("snapshot", progress)
    name = snapshot.get("run") if isinstance(snapshot, dict) else None
    return name if isinstance(name, str) else None
