"""Nested mappings and lists as YAML gives them: key paths, looking up, merging."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

KeyPath = tuple[str | int, ...]


def deep_merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `override`: mappings merge key by key, all else replaces.

    An empty value (`key:` with nothing after it) does not wipe out a mapping.
    """
    merged = dict(base)
    for key, value in override.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = deep_merge(old, value)
        elif not (isinstance(old, Mapping) and value is None):
            merged[key] = value
    return merged


def has_path(tree: Any, path: Iterable[str | int]) -> bool:
    """Whether the nested mappings and lists of `tree` hold a value at `path`."""
    for key in path:
        if isinstance(tree, Mapping):
            if key not in tree:
                return False
        elif not (isinstance(tree, list | tuple) and isinstance(key, int) and key < len(tree)):
            return False
        tree = tree[key]
    return True


def without(tree: Mapping[str, Any], paths: Iterable[Sequence[str]]) -> dict[str, Any]:
    """A copy of nested mappings that lacks what they hold at these paths."""
    left = dict(tree)
    for *parents, key in paths:
        node = left
        for parent in parents:
            node[parent] = dict(node[parent])
            node = node[parent]
        del node[key]
    return left


def value_at(tree: Any, path: Iterable[str | int]) -> Any:
    """The value at `path` of nested mappings and lists."""
    for key in path:
        tree = tree[key]
    return tree


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a mapping of mappings that are no mapping themselves, by dotted key."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
