"""`make bench`: measure, and write benchmarks/results.json and docs/PERFORMANCE.md."""

import argparse
import dataclasses
import time

from benchmarks.harness import GROUPS, ROOT, Effort, measure_group
from benchmarks.report import describe_run, update_page, write_results


def main() -> None:
    """Run the groups that were asked for; each is written as soon as it has been measured."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="groups to run")
    parser.add_argument("--large", action="store_true", help="also the sizes that take long")
    given = parser.parse_args()
    effort = dataclasses.replace(Effort(), large=given.large)
    results = ROOT / "benchmarks/results.json"
    for group in given.only:
        print(f"{group} ...", end=" ", flush=True)
        start = time.perf_counter()
        write_results(results, describe_run(), measure_group(group, effort))
        update_page(ROOT / "docs/PERFORMANCE.md", results)
        print(f"{time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
