"""Ollama where it is not installed. Archives of a program that says its name stand in for Ollama's."""

import hashlib
import os
import pathlib
import platform
import subprocess
import unittest
import unittest.mock

from base import InFolder

import gleaner
from gleaner import _ollama

NAME = "ollama-linux-" + ("arm64" if platform.machine() in ("aarch64", "arm64") else "amd64")


@unittest.skipUnless(platform.system() == "Linux", "releases of Ollama for notebooks are for Linux")
class Getting(InFolder):
    def setUp(self):
        super().setUp()
        self.here = pathlib.Path.cwd()
        tools = self.here / "tools"  # and no Ollama that this machine may have
        tools.mkdir()
        for tool in ("tar", "gzip", "zstd", "sh"):
            found = _ollama.shutil.which(tool)
            if found:
                (tools / tool).symlink_to(found)
        env = {"GLEANER_INPUT": str(self.here / "input"), "GLEANER_WORK": str(self.here / "work"), "PATH": str(tools)}
        mocked = unittest.mock.patch.dict(os.environ, env)
        mocked.start()
        self.addCleanup(mocked.stop)
        self.said = []

    def made(self, folder):
        """Makes what an archive of Ollama unpacks to."""
        program = self.here / folder / "bin" / "ollama"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\necho I am Ollama\n")
        library = self.here / folder / "lib" / "ollama" / "libggml.so"
        library.parent.mkdir(parents=True)
        library.write_text("")
        return program

    def packed(self, path, *how):
        self.made("made").chmod(0o755)
        path = self.here / path
        path.parent.mkdir(parents=True)
        subprocess.run(["tar", "-c", *how, "-f", str(path), "-C", str(self.here / "made"), "bin", "lib"], check=True)
        return path, hashlib.sha256(path.read_bytes()).hexdigest()

    def gets(self, *args):
        program = gleaner.ollama(*args, say=self.said.append)
        self.assertEqual(program, str(self.here / "work" / "ollama" / "bin" / "ollama"))
        self.assertEqual(subprocess.run([program], capture_output=True, text=True, check=True).stdout, "I am Ollama\n")
        self.assertTrue((self.here / "work" / "ollama" / "lib" / "ollama" / "libggml.so").exists())

    def test_an_attached_dataset_is_taken_unpacked_or_not(self):
        self.made("input/some-ollama/x")
        self.gets()
        self.assertIn("input/some-ollama/x/bin/ollama", self.said[0])
        self.said.clear()
        self.gets()
        self.assertEqual(self.said, [], "what was got before is taken again")

    def test_an_archive_of_a_dataset_is_unpacked(self):
        self.packed(f"input/some-ollama/{NAME}.tgz", "-z")
        self.gets()

    def test_an_address_needs_its_checksum(self):
        path, digest = self.packed(f"elsewhere/{NAME}.tgz", "-z")
        with self.assertRaisesRegex(gleaner.Error, "set GLEANER_OLLAMA_SHA256"):
            gleaner.ollama(path.as_uri())
        with self.assertRaisesRegex(gleaner.Error, f"has the checksum {digest}, and not 00"):
            gleaner.ollama(path.as_uri(), "00", say=self.said.append)
        self.gets(path.as_uri(), digest)

    def test_without_a_dataset_a_release_is_downloaded_and_checked(self):
        if not _ollama.shutil.which("zstd"):
            self.skipTest("there is no zstd")
        path, digest = self.packed(f"releases/v{_ollama.VERSION}/{NAME}.tar.zst", "--zstd")
        listed = path.parent / "sha256sum.txt"
        with unittest.mock.patch.object(_ollama, "RELEASES", (self.here / "releases").as_uri()):
            listed.write_text(f"{'0' * 64}  ./{NAME}.tar.zst\n")
            with self.assertRaisesRegex(gleaner.Error, "is not used"):
                gleaner.ollama(say=self.said.append)
            listed.write_text(f"{'0' * 64}  ./other.tgz\n")
            with self.assertRaisesRegex(gleaner.Error, f"no checksum of {NAME}.tar.zst"):
                gleaner.ollama(say=self.said.append)
            listed.write_text(f"{'0' * 64}  ./other.tgz\n{digest}  ./{NAME}.tar.zst\n")
            self.gets()
            path.unlink()
            _ollama.shutil.rmtree(self.here / "work")
            with self.assertRaisesRegex(gleaner.Error, "Is the Internet on"):
                gleaner.ollama(say=self.said.append)


if __name__ == "__main__":
    unittest.main()
