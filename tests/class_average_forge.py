"""Small class averages in files, and tables read back; used by the tests of whole runs."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import mrcfile
import numpy as np

from cryocorr_tui.core.simulation.montage_drawing import draw_relion_montage

TABLES = ("classes.csv", "pairs.csv", "matrix.csv", "groups.csv")


def particles(n: int, box: int = 32, *, seed: int = 0) -> np.ndarray:
    """Heaps of bright blobs, every one another, with a little noise: (n, box, box) float32."""
    rng = np.random.default_rng(seed)
    offset = np.arange(box) - box // 2
    centre = rng.uniform(-box / 5, box / 5, (2, n, 5, 1))
    width = rng.uniform(0.04, 0.09, (n, 5, 1)) * box
    along_y, along_x = np.exp(-0.5 * ((offset - centre) / width) ** 2)
    images = np.einsum("nby,nbx->nyx", along_y, along_x)
    return (images + 0.05 * rng.standard_normal(images.shape)).astype(np.float32)


def write_stack(path: Path, images: np.ndarray, pixel_size: float | None = None) -> Path:
    """An MRC stack; without a pixel size its header says 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path) as file:
        file.set_data(np.zeros_like(images))
        file.set_image_stack()
        file.data[:] = images  # past the check of mrcfile, which warns of NaN
        if pixel_size is not None:
            file.voxel_size = pixel_size
    return path


def write_picture(path: Path, image: np.ndarray) -> Path:
    """An 8-bit picture from black to white."""
    spread = max(float(np.ptp(image)), 1e-6)
    cv2.imwrite(str(path), np.rint(255 * (image - image.min()) / spread).astype(np.uint8))
    return path


def write_montage(path: Path, images: np.ndarray, *, columns: int = 4) -> Path:
    """A picture of all class averages with black lines between them."""
    cv2.imwrite(str(path), draw_relion_montage(images, columns=columns, line=2).picture)
    return path


def rows(table: Path) -> list[dict[str, str]]:
    """The rows of a CSV table."""
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(table: Path, name: str) -> list[str]:
    return [row[name] for row in rows(table)]
