"""The packages run with Python 3.9: the grammar is checked as that version has it, and the names of
the library that are newer are not used."""

import ast
import pathlib
import sys
import unittest

import gleaner
import gleaner_consumer

# Names and keywords that came later, as far as a package like this is tempted by them.
NEWER = {
    "pairwise", "batched", "tomllib", "ExceptionGroup", "BaseExceptionGroup", "UTC", "StrEnum", "file_digest", "chdir", "Self", "TypeAlias", "ParamSpec", "Never",
    "override", "assert_never", "LiteralString", "TaskGroup", "Runner", "timeout", "bit_count", "aiter", "anext", "get_default_scheme", "get_preferred_scheme",
    "hardlink_to", "walk", "is_junction", "add_note", "get_annotations", "packages_distributions", "entry_points", "EncodingWarning", "NotRequired", "Unpack",
}
NEWER_KEYWORDS = {"strict", "slots", "kw_only", "process_group", "root_dir", "dir_fd", "delete_on_close", "metadata_encoding"}


class Old(unittest.TestCase):
    def test_the_packages_need_nothing_newer(self):
        files = [file for package in (gleaner, gleaner_consumer) for file in pathlib.Path(package.__file__).parent.glob("*.py")]
        self.assertGreater(len(files), 10)
        for file in files:
            tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))
            library = {alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            for node in ast.walk(tree):
                names = {getattr(node, "attr", None), getattr(node, "id", None)} if isinstance(node, (ast.Attribute, ast.Name)) else set()
                if isinstance(node, ast.ImportFrom):
                    names = {alias.name for alias in node.names}
                    library.add((node.module or "").partition(".")[0] if not node.level else "")
                newer = names & NEWER
                if isinstance(node, ast.Call) and "polars" not in ast.dump(node.func):
                    newer |= {keyword.arg for keyword in node.keywords} & NEWER_KEYWORDS
                self.assertFalse(newer, f"{file}:{getattr(node, 'lineno', 0)}")
            future = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
            self.assertTrue(future, f"{file}: what annotations name is not evaluated")
            ours = {"", "polars", "pyarrow", "datasets", "IPython", "__future__", "kaggle_secrets", "google"}  # used where they are
            self.assertLessEqual(library - ours, set(sys.stdlib_module_names), file)
