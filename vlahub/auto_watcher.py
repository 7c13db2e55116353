"""When our classes are registered with transformers' Auto classes: not before these are there, and not after.

Registration needs our models, and with them torch; `import vlahub` alone does not wait for that. Where the Auto classes
were imported already, they are registered at once. Else an import hook looks on while transformers is imported, and
registers them as soon as a file of the Auto classes is there and nothing of transformers or vlahub is half imported;
then it takes itself away. Nothing of transformers is changed by it.
"""

import importlib
import sys
import threading
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

AUTO_CLASSES = "transformers.models.auto."
WATCHED = ("transformers", "vlahub")


def register_in_time() -> None:
    """Register now, or when the Auto classes are imported."""
    if auto_classes_are_there():
        register()
    else:
        sys.meta_path.insert(0, AutoWatcher())


def auto_classes_are_there() -> bool:
    return any(name.startswith(AUTO_CLASSES) for name in list(sys.modules))


def register() -> None:
    importlib.import_module("vlahub.auto_classes")


class AutoWatcher(MetaPathFinder):
    """Finds what the other finders find, and is told when the import of it is over."""

    def __init__(self):
        self.thread = threading.local()  # how many watched modules this thread is importing, one inside of another

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in WATCHED:
            return None
        others = (finder for finder in list(sys.meta_path) if finder is not self and hasattr(finder, "find_spec"))
        spec = next((spec for finder in others if (spec := finder.find_spec(fullname, path, target)) is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = WatchedLoader(spec.loader, self)
        return spec

    def load(self, loader: Loader, module: ModuleType) -> None:
        """Load the module; after the outermost one register, if that is possible now."""
        self.thread.depth = depth = getattr(self.thread, "depth", 0) + 1
        try:
            loader.exec_module(module)
        finally:
            self.thread.depth = depth - 1
        if depth == 1 and self in sys.meta_path and auto_classes_are_there():
            sys.meta_path.remove(self)
            register()


class WatchedLoader(Loader):
    """The loader of a module, until it has loaded it."""

    def __init__(self, loader: Loader, watcher: AutoWatcher):
        self.loader, self.watcher = loader, watcher

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__.loader = module.__loader__ = self.loader
        self.watcher.load(self.loader, module)
