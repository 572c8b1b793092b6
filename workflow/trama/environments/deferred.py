"""Packages whose `__init__` runs only when something in it is asked for."""

import importlib.util
import sys
from typing import Any


def defer_package(name: str) -> None:
    """Make modules below the package `name` importable without running the package's `__init__`.

    JaxMARL's imports all of its environments: 2.5 s, where SMAX alone takes 0.2 s; Flax's all of
    its neural networks: 0.5 s, where SMAX needs a kind of dataclass. The first use of a name that
    the package itself defines runs the `__init__` after all, so that nothing is missing.
    """
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.loader is not None
    package: Any = importlib.util.module_from_spec(spec)
    loader = spec.loader

    def load(attribute: str) -> Any:
        if not attribute.startswith("__") and importlib.util.find_spec(f"{name}.{attribute}"):
            return importlib.import_module(f"{name}.{attribute}")
        del package.__getattr__
        loader.exec_module(package)
        return getattr(package, attribute)

    package.__getattr__ = load
    sys.modules[name] = package
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, package)
