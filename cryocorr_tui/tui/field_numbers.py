"""The numbers of one vector of a displacement field, as rows of a table."""

from __future__ import annotations

from cryocorr_tui.core.model import DisplacementField
from cryocorr_tui.tui.pair_numbers import number

__all__ = ["vector_rows"]

Row = tuple[str, str]


def vector_rows(field: DisplacementField, k: int) -> list[Row]:
    """Return name and value of everything that is known of vector `k`."""
    row, column = divmod(k, field.shape[1])
    rows = [
        ("vector", f"row {row}, column {column}"),
        ("y, x", f"{field.y[k]:.1f}, {field.x[k]:.1f} px"),
        ("dy, dx", f"{field.dy[k]:+.4f}, {field.dx[k]:+.4f} px"),
        ("magnitude", f"{number(float(field.magnitude[k]), 4)} px"),
        ("uncertainty", f"{number(float(field.uncertainty[k]), 4)} px"),
        ("correlation", number(float(field.correlation[k]), 4)),
        ("peak ratio", number(float(field.peak_ratio[k]), 2)),
        ("valid", _verdict(field, k)),
    ]
    strain = {"exx": field.exx, "eyy": field.eyy, "exy": field.exy}
    rows += [
        (name, number(float(values[k]), 5)) for name, values in strain.items() if values is not None
    ]
    return rows


def _verdict(field: DisplacementField, k: int) -> str:
    verdict = "yes" if field.valid[k] else f"no: {field.reason[k]}"
    return f"{verdict}, replaced" if field.replaced[k] else verdict
