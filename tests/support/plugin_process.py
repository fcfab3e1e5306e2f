"""A plugin of the tests as a process of its own, in an engine's namespaces."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.engine import EngineUnderTest
from support.waiting import eventually

TESTS = Path(__file__).resolve().parents[1]


class PluginProcess:
    """Runs ``support.MODULE`` (see ``plugin_server``) beside an engine.

    Attributes:
        path: of its files, without their endings: socket, mood, state.
    """

    def __init__(self, engine: EngineUnderTest, module: str, name: str) -> None:
        self.engine = engine
        self.path = engine.directory / "plugins" / name
        self._module = module
        self.start()

    def start(self) -> None:
        """Start it, again after ``kill``, and wait until it listens."""
        self.path.with_suffix(".sock").unlink(missing_ok=True)
        words = (sys.executable, "-m", self._module, str(self.path.parent), self.path.name)
        self.process = self.engine.host.popen(words, env={**os.environ, "PYTHONPATH": str(TESTS)})
        eventually(self.path.with_suffix(".sock").exists)

    def kill(self) -> None:
        """SIGKILL it."""
        self.process.kill()
        self.process.wait()

    def mood(self, **methods: Any) -> None:
        """Say how it answers which method from now on; ``_`` stands for a dot."""
        text = json.dumps({name.replace("_", "."): how for name, how in methods.items()})
        self.path.with_suffix(".mood").write_text(text)

    @property
    def state(self) -> dict[str, Any]:
        """What it holds, as it keeps it on disk."""
        state = self.path.with_suffix(".state")
        return json.loads(state.read_text()) if state.exists() else {}  # type: ignore[no-any-return]


@contextmanager
def engine_with_plugins(*flags: str) -> Iterator[EngineUnderTest]:
    """Run an engine that looks for plugins in a directory of its own."""
    engine = EngineUnderTest(*flags)
    engine.flags += ["--plugin-sockets", str(engine.directory / "plugins")]
    (engine.directory / "plugins").mkdir()
    try:
        yield engine.start()
    finally:
        engine.close()
