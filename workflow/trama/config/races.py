"""The unit types of StarCraft II's races, as far as SMACv2 has them."""

RACES: dict[str, dict[str, str]] = {
    "protoss": {"s": "stalker", "z": "zealot", "c": "colossus"},
    "terran": {"m": "marine", "a": "marauder", "v": "medivac"},
    "zerg": {"g": "zergling", "h": "hydralisk", "b": "baneling"},
}
"""Names of each race's unit types by their symbols, in the order of SMACv2's features."""

UNARMED = frozenset("v")
"""Symbols of unit types that don't fight: SMACv2 counts a team of them alone as beaten."""


def unit_names() -> dict[str, str]:
    """Names of all unit types by their symbols."""
    return {symbol: name for units in RACES.values() for symbol, name in units.items()}


def race_of(symbols: set[str]) -> str | None:
    """The race that has all of these unit types; None if no race has."""
    return next((race for race, units in RACES.items() if symbols <= units.keys()), None)
