"""Packages whose `__init__` runs only when something in it is asked for."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def defer_package(name: str) -> None:
    """Make modules below the package `name` importable without running the package's `__init__`.

    JaxMARL's imports all of its environments: 2.5 s, where SMAX alone takes 0.2 s. The first use of
    a name of the package itself runs the `__init__` after all, so that nothing is missing.
    """
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.loader is not None
    package: Any = importlib.util.module_from_spec(spec)
    loader = spec.loader

    def load(attribute: str) -> Any:
        del package.__getattr__
        loader.exec_module(package)
        return getattr(package, attribute)

    package.__getattr__ = load
    sys.modules[name] = package
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, package)


@contextmanager
def skip_init(name: str) -> Iterator[None]:
    """Import modules below the package `name` in the block, without running its `__init__`.

    Flax's imports all of its neural networks: 0.4 s, where SMAX needs a kind of dataclass. The
    block's importers keep their modules; whoever imports the package later gets all of it anew.
    """
    if name in sys.modules:
        yield
        return
    spec = importlib.util.find_spec(name)
    assert spec is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        yield
    finally:
        for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
            del sys.modules[module]
