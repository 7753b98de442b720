"""Gets Ollama where it is not installed: in the session of a hosted notebook."""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Callable, Iterator, Optional, Union

from ._errors import Error

PathLike = Union[str, "os.PathLike[str]"]

# The release that is tried. Notebooks of one team should have the same.
VERSION = "0.17.4"
RELEASES = "https://github.com/ollama/ollama/releases/download"


def hosted() -> bool:
    """Reports whether this is a session of Kaggle or Colab, which has nothing but what it fetches."""
    return any(os.environ.get(name) for name in ("KAGGLE_KERNEL_RUN_TYPE", "COLAB_RELEASE_TAG"))


def inputs() -> Path:
    """Returns where attached datasets lie; the variable GLEANER_INPUT names another folder."""
    return Path(os.environ.get("GLEANER_INPUT") or "/kaggle/input")


def work() -> Path:
    """Returns the folder for what is not to be saved; the variable GLEANER_WORK names another one."""
    return Path(os.environ.get("GLEANER_WORK") or "/tmp/gleaner")


def attached(*patterns: str) -> Iterator[Path]:
    """Yields the files below the attached datasets that fit one of these patterns, in order."""
    for pattern in patterns:
        for path in sorted(glob.glob(os.path.join(glob.escape(str(inputs())), "**", pattern), recursive=True)):
            if os.path.isfile(path):
                yield Path(path)


def ollama(url: Optional[str] = None, sha256: Optional[str] = None, *, say: Callable[[str], None] = print) -> str:
    """Returns the path of an Ollama program for this machine, and gets it if need be.

    It is taken from an attached dataset, as Kaggle unpacks it or as the archive of a release;
    else it is the one on the PATH; else it is downloaded, and used only with the right checksum.
    A second call takes what the first has got.

    Args:
        url: where to download ``ollama-linux-amd64.tar.zst`` or ``.tgz`` of a release, else the
            variable ``GLEANER_OLLAMA_URL``, else Ollama's own release.
        sha256: the checksum of the archive, else ``GLEANER_OLLAMA_SHA256``. An address of one's own
            needs it; of Ollama's own release the checksum is in its list.
        say: takes lines that say what is done.

    Raises:
        Error: there is none to be had. Its words say what to do.
    """
    url = url or os.environ.get("GLEANER_OLLAMA_URL") or ""
    sha256 = sha256 or os.environ.get("GLEANER_OLLAMA_SHA256") or ""
    target = work() / "ollama"
    program = target / "bin" / "ollama"
    if (target / "complete").exists():
        return str(program)
    if target.exists():
        shutil.rmtree(target)
    arch = "arm64" if platform.machine() in ("aarch64", "arm64") else "amd64"
    name = f"ollama-linux-{arch}"
    for unpacked in attached("bin/ollama"):  # Kaggle unpacks some archives when a dataset is made
        say(f"Ollama: {unpacked}")
        shutil.copytree(unpacked.parent.parent, target)
        program.chmod(0o755)
        return _complete(program)
    for archive in attached(name + ".tar.zst", name + "*.tar.zst", name + "*.tgz", name + "*.tar.gz"):
        say(f"Ollama: {archive}")
        _unpack(_checked(archive, sha256), target)
        return _complete(program)
    found = shutil.which("ollama")
    if found and not url:
        return found
    if platform.system() != "Linux":
        raise Error("there is no Ollama on the PATH: install it from https://ollama.com/download")
    if url and not sha256:
        raise Error("the address of Ollama has no checksum, and a download is used only with one: set GLEANER_OLLAMA_SHA256 too")
    archive = _download(url or f"{RELEASES}/v{VERSION}/{name}.tar.zst", say)
    _unpack(_checked(archive, sha256 or _listed(f"{RELEASES}/v{VERSION}/sha256sum.txt", archive.name)), target)
    archive.unlink()
    return _complete(program)


def _complete(program: Path) -> str:
    if not program.is_file():
        raise Error(f"what was unpacked has no bin/ollama: take the archive of a release of Ollama for Linux ({program.parent.parent})")
    (program.parent.parent / "complete").touch()
    return str(program)


def _download(url: str, say: Callable[[str], None]) -> Path:
    work().mkdir(parents=True, exist_ok=True)
    path = work() / os.path.basename(url.split("?")[0])
    say(f"Ollama: downloading {path.name}")
    try:
        with urllib.request.urlopen(url, timeout=60) as source, path.open("wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
    except OSError as failure:
        raise Error(f"download Ollama from {url}: {failure}. Is the Internet on in this session's settings? "
                    f"Or attach a dataset that has {path.name}") from None
    return path


def _listed(url: str, name: str) -> str:
    """Returns the checksum that a list of them has for a file."""
    try:
        with urllib.request.urlopen(url, timeout=60) as source:
            lines = source.read(1 << 20).decode("utf-8", "replace").splitlines()
    except OSError as failure:
        raise Error(f"get the checksums of Ollama from {url}: {failure}") from None
    for line in lines:
        words = line.split()
        if len(words) == 2 and words[1].lstrip("*./") == name:
            return words[0]
    raise Error(f"{url} has no checksum of {name}: the download is not used. Attach a dataset that has it")


def _checked(path: Path, sha256: str) -> Path:
    """Returns the path, if no checksum is asked for, or the file has it."""
    if not sha256:
        return path
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    if digest.hexdigest() != sha256.strip().lower():
        raise Error(f"{path} has the checksum {digest.hexdigest()}, and not {sha256.strip()}: it is damaged, or not what you think, and is not used")
    return path


def _unpack(archive: Path, target: Path) -> None:
    if archive.suffix == ".zst" and not shutil.which("zstd"):
        if shutil.which("apt-get"):
            subprocess.run(["apt-get", "install", "-y", "-qq", "zstd"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if not shutil.which("zstd"):
            raise Error(f"{archive.name} is packed with zstd, which is not here: install it, or attach a dataset in which the archive is unpacked")
    target.mkdir(parents=True)
    done = subprocess.run(["tar", "-x", "-f", str(archive), "-C", str(target)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Error(f"unpack {archive}: {done.stderr.strip()[:500]}")
