"""``python -m benchmarks [NAME…] [--quick] [--large] [--data DIR] [--plots DIR]``: tables."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from benchmarks.measuring import Options, Table, machine

BENCHMARKS = {
    "search": "benchmarks.search",
    "gpu": "benchmarks.gpu",
    "recipe": "benchmarks.recipe",
    "accuracy": "benchmarks.accuracy",
    "weights": "benchmarks.weights",
    "detection": "benchmarks.detection",
    "labels": "benchmarks.labels",
    "reference": "benchmarks.reference",
    "io": "benchmarks.input_output",
    "memory": "benchmarks.memory",
    "bounded": "benchmarks.bounded_memory",
    "quality": "benchmarks.quality_scores",
    "significance": "benchmarks.significance",
    "app": "benchmarks.app",
    "displacement": "benchmarks.displacement",
}


def benchmark(name: str) -> Callable[[Options], list[Table]]:
    """Return what measures one of `BENCHMARKS`."""
    run: Callable[[Options], list[Table]] = import_module(BENCHMARKS[name]).run
    return run


def main() -> None:
    """Run the benchmarks that were named, or all, and print their tables as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only that all runs")
    parser.add_argument("--large", action="store_true", help="also N = 1000 to 20,000 (minutes)")
    parser.add_argument("--data", type=Path, help="folder of real stacks/, montages/ and dic/")
    parser.add_argument("--plots", type=Path, help="folder for the plots of some measurements")
    arguments = parser.parse_args()
    names = arguments.names or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"{unknown[0]} is none of {', '.join(BENCHMARKS)}")
    if arguments.plots is not None:
        arguments.plots.mkdir(parents=True, exist_ok=True)
    options = Options(
        quick=arguments.quick,
        large=arguments.large,
        data=arguments.data,
        plots=arguments.plots,
    )
    print(f"`python -m benchmarks {' '.join(sys.argv[1:])}` on {machine()}", flush=True)
    for name in names:
        began = time.perf_counter()
        for table in benchmark(name)(options):
            print(f"\n{table.markdown()}")
        print(f"\n(`{name}` took {time.perf_counter() - began:.0f} s.)", flush=True)


if __name__ == "__main__":
    main()
