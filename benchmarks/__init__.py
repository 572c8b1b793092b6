"""The project's benchmark, `make bench`: each figure beside a reference of the same run."""
