"""Pictures with exact truth: blobs placed by the formula of the pose convention."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from cryocorr_tui.core.backend import Backend
from cryocorr_tui.core.model import PAIR_FIELDS, ClassAverage, Pose, Settings
from cryocorr_tui.core.preprocessing import prepare
from cryocorr_tui.core.similarity import PairScorer

UNMOVED = Pose()


def moved(x, y, pose):
    """Mirror, turn counter-clockwise on screen (y down), shift: written out, not from `Pose`."""
    if pose.mirrored:
        x = -x
    angle = math.radians(pose.rotation)
    turned_x = x * math.cos(angle) + y * math.sin(angle)
    turned_y = -x * math.sin(angle) + y * math.cos(angle)
    return turned_x + pose.shift_x, turned_y + pose.shift_y


def phantom(box, pose=UNMOVED, *, seed=0, size=None):
    """A lopsided heap of Gaussian blobs, rendered without interpolation.

    It fills 0.7 of `size` pixels (default: the box) about the pixel ``box // 2``, before `pose`.
    """
    size = size or box
    rng = np.random.default_rng(seed)
    radius = 0.28 * size * np.sqrt(rng.uniform(size=14))
    angle = rng.uniform(0, 2 * np.pi, 14)
    width = rng.uniform(0.035, 0.055, 14) * size
    height = rng.uniform(0.5, 1.5, 14)
    x, y = moved(radius * np.cos(angle), radius * np.sin(angle), pose)
    offset = np.arange(box) - box // 2
    along_y = np.exp(-0.5 * ((offset - y[:, None]) / width[:, None]) ** 2)
    along_x = np.exp(-0.5 * ((offset - x[:, None]) / width[:, None]) ** 2)
    return np.einsum("b,by,bx->yx", height, along_y, along_x).astype(np.float32)


def random_pose(rng, *, max_shift=0.0):
    radius, angle = max_shift * math.sqrt(rng.uniform()), rng.uniform(0, 2 * math.pi)
    return Pose(
        rotation=rng.uniform(0, 360),
        shift_y=radius * math.sin(angle),
        shift_x=radius * math.cos(angle),
        mirrored=bool(rng.uniform() < 0.5),
    )


def disc_noise(count, box, *, seed=0, smooth=1.5):
    """Smooth noise like that of class averages, unit variance, (count, box, box) float32."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(box)[:, None], np.fft.rfftfreq(box))
    spectrum = np.fft.rfft2(rng.standard_normal((count, box, box)))
    noise = np.fft.irfft2(spectrum * np.exp(-2 * (np.pi * smooth * frequency) ** 2), s=(box, box))
    return (noise / noise.std(axis=(1, 2), keepdims=True)).astype(np.float32)


def as_classes(images, *, source="stack.mrcs", pixel_size=None, first_id=0):
    return [
        ClassAverage(first_id + k, source, k, np.asarray(image, np.float32), pixel_size)
        for k, image in enumerate(images)
    ]


def score_all(images, settings=None, **options):
    """Every pair of a list of pictures (or classes), from pixels to numbers: {field: (n, n)}."""
    classes = images if isinstance(images[0], ClassAverage) else as_classes(images)
    settings = replace(settings or Settings(), **options)
    scorer = PairScorer(prepare(classes, settings), settings, Backend("cpu"), memory=1e9)
    every = slice(0, len(classes))
    return dict(zip(PAIR_FIELDS, scorer.score(every, every), strict=True))


def pose_of(scores, i, j):
    return Pose(
        rotation=float(scores["rotation_deg"][i, j]),
        shift_y=float(scores["shift_y_px"][i, j]),
        shift_x=float(scores["shift_x_px"][i, j]),
        mirrored=bool(scores["mirrored"][i, j]),
    )


def turn_between(first, second):
    """Degrees between two rotations, 0…180."""
    return abs((first.rotation - second.rotation + 180) % 360 - 180)


def shift_between(first, second):
    return math.hypot(first.shift_y - second.shift_y, first.shift_x - second.shift_x)
