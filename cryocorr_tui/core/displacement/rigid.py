"""The shift and rotation that a field has in common."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.model import RigidMotion

__all__ = ["rigid_motion", "without_rigid"]

Vectors = NDArray[np.float64]


def rigid_motion(y: Vectors, x: Vectors, dy: Vectors, dx: Vectors) -> RigidMotion:
    """Return the rigid motion nearest to some vectors, by least squares.

    Parameters
    ----------
    y, x, dy, dx : (n,) float64
        Places and their displacements in pixels, n ≥ 1; of a single one only the shift is known.

    Returns
    -------
    RigidMotion
        About the mean place.
    """
    centre_y, centre_x = float(y.mean()), float(x.mean())
    shift_y, shift_x = float(dy.mean()), float(dx.mean())
    v, u = y - centre_y, x - centre_x
    moved_v, moved_u = v + dy - shift_y, u + dx - shift_x
    # In two dimensions the best rotation (Kabsch) is an arctangent; y runs down.
    turn = math.atan2(
        float((v * moved_u - u * moved_v).sum()), float((v * moved_v + u * moved_u).sum())
    )
    return RigidMotion(math.degrees(turn), shift_y, shift_x, centre_y, centre_x)


def without_rigid(
    y: Vectors, x: Vectors, dy: Vectors, dx: Vectors, motion: RigidMotion
) -> tuple[Vectors, Vectors]:
    """Return displacements (n,) that are left when the deformed picture is moved back rigidly."""
    cosine, sine = math.cos(math.radians(motion.rotation)), math.sin(math.radians(motion.rotation))
    v = y + dy - motion.centre_y - motion.shift_y
    u = x + dx - motion.centre_x - motion.shift_x
    # The inverse rotation.
    back_v, back_u = cosine * v + sine * u, cosine * u - sine * v
    return back_v + motion.centre_y - y, back_u + motion.centre_x - x
