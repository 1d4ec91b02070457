"""The quality scores on simulated particles and junk, and on montages that people graded."""

from __future__ import annotations

from benchmarks.measuring import Options, Table
from benchmarks.quality import SCORES, SIGNAL_TO_NOISE, real_columns, simulated_columns

__all__ = ["run"]


def run(options: Options) -> list[Table]:
    """Return areas under the ROC curve and rank correlations; see `quality`."""
    heads = ["score", *(f"SNR {snr:g}" for snr in SIGNAL_TO_NOISE), "rank SNR"]
    cells = simulated_columns()
    if options.data is not None:
        heads += ["panel", "grades"]
        real = real_columns(options.data / "montages")
        cells = {name: cells[name] + real[name] for name in SCORES}
    return [
        Table(
            "Quality: particles against junk",
            tuple(heads),
            tuple((name, *map(float, cells[name])) for name in SCORES),
            (
                "SNR: area under the ROC curve of simulated particles against junk of that SNR. "
                "Rank SNR: Spearman's correlation with the SNR.",
            ),
        )
    ]
