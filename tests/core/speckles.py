"""Speckle pictures that are moved as a formula says."""

from __future__ import annotations

import numpy as np

from cryocorr_tui.core.simulation.speckle import speckle_pair


def shifted(dy, dx, *, side=128, seed=1):
    """A pair whose deformed picture is shifted by (dy, dx) everywhere."""
    return speckle_pair(side, side, lambda y, x: (dy + 0 * y, dx + 0 * x), seed=seed)


def rotation(degrees, centre):
    """The field of a rotation, counter-clockwise on screen, about (centre, centre)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))

    def field(y, x):
        v, u = y - centre, x - centre
        return c * v - s * u - v, c * u + s * v - u

    return field


def stretch(yy, xx, yx, centre):
    """The field of a strain: dy = yy·v + yx·u, dx = yx·v + xx·u."""

    def field(y, x):
        v, u = y - centre, x - centre
        return yy * v + yx * u, yx * v + xx * u

    return field


def errors(field, truth):
    """How far the valid vectors of a field are from the truth, (n, 2) in pixels."""
    dy, dx = truth(field.y.astype(float), field.x.astype(float))
    return np.stack([field.dy - dy, field.dx - dx], axis=1)[field.valid]
