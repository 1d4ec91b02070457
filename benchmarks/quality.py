"""How well each quality score tells particles from junk, and follows the noise.

``python benchmarks/quality.py [FOLDER]`` prints one Markdown table. Columns "SNR" are areas under
the ROC curve (1 perfect, 0.5 chance) of simulated particles against simulated junk (noise, blobs,
carbon edges, overlaps) of the same SNR; "rank SNR" is Spearman's correlation of a score with the
SNR over all simulated particles. FOLDER may hold montages of real class averages with
``squares.json``: "panel" is then the area of 12 classes that people kept against 12 they did not,
and "grades" Spearman's correlation with the grades that people gave to 20 classes (text is printed
on those, so it is only a hint; nan where a score is the same for all).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from cryocorr_tui.core.model import FloatArray, Quality
from cryocorr_tui.core.preprocessing import disc_mask
from cryocorr_tui.core.quality import score_quality
from cryocorr_tui.core.simulation import SimulationSettings, simulate_class_averages

SCORES = ("quality", "texture", "edge", "signal", "centring", "fill")
SIGNAL_TO_NOISE = (16.0, 8.0, 4.0, 2.0, 1.0, 0.5, 0.25)
PANEL = "oldschool_2dclass_junk1.png"
GRADED = "magellon_cryosparc_labels.png"
FRAME = 2  # pixels of drawn frame that a square may still show at its border


def area_under_curve(better: NDArray[np.floating], worse: NDArray[np.floating]) -> float:
    """Return the chance that a score of `better` exceeds one of `worse`, ties half."""
    above = better[:, None] > worse[None, :]
    equal = better[:, None] == worse[None, :]
    return float(above.mean() + 0.5 * equal.mean())


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return Spearman's rank correlation; NaN where one of them does not vary."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first, second).statistic)


def score(images: FloatArray, pixel_size: float | None = None) -> Quality:
    """Score bright class averages inside a disc of 0.9 of the box."""
    box = images.shape[-1]
    mask = disc_mask(box, 0.9 * box)
    contrast = np.ones(len(images), dtype=np.int8)
    return score_quality(images, mask=mask, contrast=contrast, pixel_size=pixel_size)


def squares_of(folder: Path, name: str) -> tuple[FloatArray, dict[str, list[str]]]:
    """Return the squares of a montage, (n, box, box), and what `squares.json` says of them."""
    about = json.loads((folder / "squares.json").read_text(encoding="utf-8"))[name]
    grey = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise FileNotFoundError(folder / name)
    picture = grey.astype(np.float32)
    box = min(min(x1 - x0, y1 - y0) for x0, y0, x1, y1 in about["boxes"]) - 2 * FRAME
    corners = [(x0 + FRAME, y0 + FRAME) for x0, y0, _, _ in about["boxes"]]
    return np.stack([picture[y : y + box, x : x + box] for x, y in corners]), about


def simulated_columns() -> dict[str, list[str]]:
    """Return the cells of each score on simulated sets."""
    cells: dict[str, list[str]] = {name: [] for name in SCORES}
    of_particles: dict[str, list[NDArray[np.floating]]] = {name: [] for name in SCORES}
    for snr in SIGNAL_TO_NOISE:
        settings = SimulationSettings(views=10, replicates=1, junk=32, snr=snr, seed=3)
        simulated = simulate_class_averages(settings)
        scores = score(simulated.images, simulated.pixel_size)
        junk = np.array([bool(truth.junk) for truth in simulated.truth])
        for name in SCORES:
            values = getattr(scores, name)
            cells[name].append(f"{area_under_curve(values[~junk], values[junk]):.2f}")
            of_particles[name].append(values[~junk])
    for name, values in of_particles.items():
        ratios = np.repeat(SIGNAL_TO_NOISE, len(values[0]))
        correlation = rank_correlation(ratios, np.concatenate(values))
        cells[name].append(f"{correlation:.2f}")
    return cells


def real_columns(folder: Path) -> dict[str, list[str]]:
    """Return the cells of each score on the panel and on the graded classes."""
    panel = score(squares_of(folder, PANEL)[0])
    images, about = squares_of(folder, GRADED)
    graded = score(images)
    grades = -np.array([ord(grade) for grade in about["grade"]])
    return {
        name: [
            f"{area_under_curve(getattr(panel, name)[:12], getattr(panel, name)[12:]):.2f}",
            f"{rank_correlation(grades, getattr(graded, name)):.2f}",
        ]
        for name in SCORES
    }


def main() -> None:
    """Print the table, and the time of 300 class averages of 128²."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    heads = ["score", *(f"SNR {snr:g}" for snr in SIGNAL_TO_NOISE), "rank SNR"]
    cells = simulated_columns()
    if folder is not None:
        heads += ["panel", "grades"]
        cells = {name: cells[name] + real for name, real in real_columns(folder).items()}
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for name in SCORES:
        print("| " + " | ".join([name, *cells[name]]) + " |")

    images = np.random.default_rng(0).standard_normal((300, 128, 128), dtype=np.float32)
    start = time.perf_counter()
    score(images)
    print(f"\n300 class averages of 128²: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
