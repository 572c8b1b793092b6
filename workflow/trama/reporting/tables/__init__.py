"""The tables of a study: a module for each, or for a family of them, that returns a `Table`."""
