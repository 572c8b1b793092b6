"""`make bench`: measure, and write benchmarks/results.json and docs/PERFORMANCE.md."""

import argparse
import dataclasses

from benchmarks.harness import ROOT, Effort, Figure, measure_group
from benchmarks.report import describe_run, update_page, write_results

GROUPS = (
    "learner",
    "collection",
    "training",
    "memory",
    "startup",
    "trajectories",
    "representation",
    "dry_run",
)


def main() -> None:
    """Run the groups that were asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="groups to run")
    parser.add_argument("--large", action="store_true", help="also the sizes that take long")
    given = parser.parse_args()
    effort = dataclasses.replace(Effort(), large=given.large)
    figures: list[Figure] = []
    for group in given.only:
        print(f"{group} ...", flush=True)
        figures += measure_group(group, effort)
    results = ROOT / "benchmarks/results.json"
    write_results(results, describe_run(), figures)
    update_page(ROOT / "docs/PERFORMANCE.md", results)


if __name__ == "__main__":
    main()
