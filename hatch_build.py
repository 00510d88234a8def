"""Build hook: a wheel or sdist that is built from a git checkout carries the commit's hash.

An editable install carries none: aeroctl/version.py reads it from the checkout.
"""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Commit(BuildHookInterface):  # type: ignore[type-arg]
    """Adds aeroctl/_build.py to what is built, never to the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before each build; `version` is the kind of build."""
        if version == "editable" or not Path(self.root, ".git").exists():
            return  # from an sdist: the file is in it already
        command = ["git", "-C", self.root, "rev-parse", "--short=8", "HEAD"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        except (OSError, subprocess.SubprocessError):
            return
        self._directory = TemporaryDirectory()
        path = Path(self._directory.name, "_build.py")
        text = f'"""The commit that this was built from."""\n\nBUILD = "g{done.stdout.strip()}"\n'
        path.write_text(text, encoding="ascii")
        build_data["force_include"][str(path)] = "aeroctl/_build.py"

    def finalize(self, *_: Any) -> None:
        """Called after each build."""
        if hasattr(self, "_directory"):
            self._directory.cleanup()
