"""The figures of a study: a module for each, with a function of its name that draws it."""
