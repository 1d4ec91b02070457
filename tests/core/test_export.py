from __future__ import annotations

import csv
import errno
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cryocorr_tui.core import export, tables
from cryocorr_tui.core.detection_files import write_squares
from cryocorr_tui.core.errors import OutputError
from cryocorr_tui.core.export import (
    write_classes,
    write_groups,
    write_matrix,
    write_pairs,
    write_run_json,
)
from cryocorr_tui.core.grouping import group_classes
from cryocorr_tui.core.model import (
    PAIR_FIELDS,
    ClassAverage,
    Detection,
    Hit,
    Labels,
    Quality,
    Settings,
    Square,
    frozen_array,
)
from cryocorr_tui.core.store import RunStore

NAN = float("nan")

# One pair as the store keeps it, in the order of PAIR_FIELDS.
PAIR = (0.8, 0.9, 0.7, 0.1, 5.0, 359.5, -1.25, 2.5, 1.0)


def class_average(class_id: int, source: str = "a.mrcs", **known: float) -> ClassAverage:
    image = frozen_array(np.zeros((64, 64)))
    return ClassAverage(class_id, source, class_id, image, **known)  # type: ignore[arg-type]


def quality_of(values: Sequence[float]) -> Quality:
    scores = frozen_array(values)
    return Quality(scores, scores, scores, scores, scores, scores)  # type: ignore[arg-type]


def make_store(
    folder: Path, n: int, pairs: Mapping[tuple[int, int], Sequence[float]], tile: int = 2
) -> RunStore:
    """Make a store that is done, with NaN for every pair that is not given."""
    store = RunStore.create(folder, n=n, tile=tile, fingerprint="abc", manifest={})
    values = np.full((len(PAIR_FIELDS), n, n), np.nan, dtype=np.float32)
    for (i, j), pair in pairs.items():
        values[:, i, j] = pair
    for each in store.tiles():
        store.write(each, values[:, each.rows, each.cols])
    return store


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))


def records(path: Path) -> list[dict[str, str]]:
    header, *lines = rows(path)
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_the_class_table_has_the_columns_of_the_contract_in_order(tmp_path: Path) -> None:
    write_classes(tmp_path / "classes.csv", [class_average(0)], quality_of([0.5]))
    header, *_ = (tmp_path / "classes.csv").read_text().splitlines()
    assert header == (
        "class_id,source,source_index,x,y,width,height,box_px,pixel_size_angstrom,particles,"
        "resolution_angstrom,quality,texture,edge,signal,centring,fill,group,selected"
    )


def test_a_class_is_written_as_it_is_known(tmp_path: Path) -> None:
    classes = [
        class_average(0, pixel_size=3.54, particles=1200.0, resolution=12.3, selected=True),
        class_average(1, x=10.5, y=20.0, width=64.0, height=63.0, selected=False),
    ]
    groups = group_classes(np.full((2, 2), 0.9, dtype=np.float32))
    write_classes(
        tmp_path / "classes.csv",
        classes,
        quality_of([0.1, NAN]),
        groups,
        extra={"contrast": ["bright", "dark"]},
    )
    first, second = records(tmp_path / "classes.csv")
    assert first == {
        **{"class_id": "0", "source": "a.mrcs", "source_index": "0", "box_px": "64"},
        **dict.fromkeys(("x", "y", "width", "height"), ""),
        **{"pixel_size_angstrom": "3.54", "particles": "1200", "resolution_angstrom": "12.3"},
        **dict.fromkeys(("quality", "texture", "edge", "signal", "centring", "fill"), "0.1"),
        **{"group": "1", "selected": "true", "contrast": "bright"},
    }
    assert [second[name] for name in ("x", "y", "width", "height")] == [
        "10.5",
        "20.0",
        "64.0",
        "63.0",
    ]
    assert [second[name] for name in ("pixel_size_angstrom", "particles", "quality")] == [""] * 3
    assert (second["group"], second["selected"], second["contrast"]) == ("1", "false", "dark")


def test_a_class_that_was_not_scored_has_no_group(tmp_path: Path) -> None:
    blend = np.full((3, 3), 0.9, dtype=np.float32)
    blend[2, :] = blend[:, 2] = np.nan
    classes = [class_average(k) for k in range(3)]
    write_classes(tmp_path / "classes.csv", classes, quality_of([0.5] * 3), group_classes(blend))
    assert [row["group"] for row in records(tmp_path / "classes.csv")] == ["1", "1", ""]


@pytest.mark.parametrize(
    "name", ["a,b.mrcs", 'say "hi".mrcs', "two\nlines.mrcs", "cr\rlf.mrcs", " 粒子 Å.mrcs", "=1+1"]
)
def test_any_file_name_survives_the_table(tmp_path: Path, name: str) -> None:
    write_classes(tmp_path / "classes.csv", [class_average(0, name)], quality_of([0.5]))
    assert records(tmp_path / "classes.csv")[0]["source"] == name


def test_a_file_name_that_is_no_text_does_not_break_the_table(tmp_path: Path) -> None:
    name = b"caf\xe9.mrcs".decode("utf-8", "surrogateescape")
    write_classes(tmp_path / "classes.csv", [class_average(0, name)], quality_of([0.5]))
    assert records(tmp_path / "classes.csv")[0]["source"] == r"caf\udce9.mrcs"


def test_lines_end_as_rfc_4180_says(tmp_path: Path) -> None:
    write_squares(tmp_path / "squares.csv", [Detection("m.png", (Square(1, 2, 30, 30, 0.9),))])
    raw = (tmp_path / "squares.csv").read_bytes()
    assert raw.count(b"\r\n") == raw.count(b"\n") == 2
    assert raw.endswith(b"\r\n")


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(width=32, allow_infinity=False), min_size=1, max_size=20))
@example(values=[0.1, 1e-45, 3.4028234663852886e38, -0.0, 1.1754943508222875e-38, NAN])
def test_every_float32_is_read_back_bit_for_bit(values: list[float]) -> None:
    expected = np.array(values, dtype=np.float32)
    file = io.StringIO()
    pd.DataFrame({"value": expected}).to_csv(file, index=False)  # as tables of pairs are written
    of_pairs = [row[0] if row else "" for row in csv.reader(file.getvalue().splitlines()[1:])]
    texts = list(tables._as_texts(tables.floats(values)))  # as all others are
    assert [float(text or NAN) for text in texts] == pytest.approx(
        [float(text or NAN) for text in of_pairs], rel=0, abs=0, nan_ok=True
    )
    # A lone empty field is quoted or blank: either way there is nothing in it.
    found = np.array([float(text) if text else NAN for text in texts], dtype=np.float32)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected) & ~np.isnan(expected))
    assert all(len(text.strip("-")) <= 14 for text in texts)


def test_the_pair_table_has_the_columns_of_the_contract_and_every_pair(tmp_path: Path) -> None:
    classes = [
        class_average(0, "a.mrcs", pixel_size=2.0),
        class_average(1, "a.mrcs", pixel_size=2.0),
        class_average(2, "b.mrcs"),
    ]
    unmirrored = (-0.5, -0.6, 0.1, 0.0, NAN, 0.0, 0.0, 0.0, 0.0)
    with make_store(tmp_path, 3, {(0, 1): PAIR, (1, 2): unmirrored}) as store:
        write_pairs(
            tmp_path / "pairs.csv",
            store,
            classes,
            quality=np.array([0.25, 1.0, 1.0], dtype=np.float32),
            quality_weight=1.0,
            chance=lambda blend, i, j: (
                np.array([0.001, NAN, 1e-60])[i + j - 1],
                np.array([0.5, NAN, 0.25])[i + j - 1],
            ),
        )
    assert (tmp_path / "pairs.csv").read_bytes().decode() == "\r\n".join(
        [
            "i,j,score,blend,weight,ncc,ssim,nmi,frc_resolution_px,frc_resolution_angstrom,"
            "rotation_deg,shift_y_px,shift_x_px,mirrored,same_source,p_value,q_value,reason",
            "0,1,0.4,0.8,0.5,0.9,0.7,0.1,5.0,10.0,359.5,-1.25,2.5,true,true,0.001,0.5,",
            "0,2,,,0.5,,,,,,,,,,false,,,not scored",
            "1,2,0.0,-0.5,1.0,-0.6,0.1,0.0,,,0.0,0.0,0.0,false,false,0.0,0.25,",
            "",
        ]
    )


def test_the_reason_of_an_unscored_pair_names_the_class(tmp_path: Path) -> None:
    with make_store(tmp_path, 3, {(0, 1): PAIR}) as store:
        write_pairs(
            tmp_path / "pairs.csv",
            store,
            [class_average(k) for k in range(3)],
            quality=np.ones(3, dtype=np.float32),
            quality_weight=0.0,
            reasons={2: "is constant"},
        )
    table = records(tmp_path / "pairs.csv")
    assert [row["reason"] for row in table] == ["", "class 2 is constant", "class 2 is constant"]
    assert table[1]["score"] == ""


def random_store(folder: Path, n: int) -> tuple[RunStore, NDArray[np.float32]]:
    blend = np.random.default_rng(0).random((n, n), dtype=np.float32)
    pairs = {(i, j): (blend[i, j], *PAIR[1:]) for i in range(n) for j in range(i + 1, n)}
    return make_store(folder, n, pairs, tile=4), blend


def write_all_pairs(path: Path, store: RunStore, **options: float) -> None:
    write_pairs(
        path,
        store,
        [class_average(k) for k in range(store.n)],
        quality=np.ones(store.n, dtype=np.float32),
        quality_weight=1.0,
        chance=lambda blend, i, j: (i / 100 + j / 10_000, np.full(i.size, 0.5)),
        **options,  # type: ignore[arg-type]
    )


def test_pairs_come_by_i_then_j_however_they_are_blocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, blend = random_store(tmp_path, 11)
    with store:
        write_all_pairs(tmp_path / "whole.csv", store)
        monkeypatch.setattr(export, "PAIRS_AT_ONCE", 25)
        write_all_pairs(tmp_path / "blocks.csv", store)
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "blocks.csv").read_bytes()
    table = pd.read_csv(tmp_path / "blocks.csv", dtype={"blend": np.float32})
    i, j = np.triu_indices(11, k=1)
    np.testing.assert_array_equal(table[["i", "j"]], np.column_stack([i, j]))
    np.testing.assert_array_equal(table["blend"], blend[i, j])
    np.testing.assert_allclose(table["p_value"], i / 100 + j / 10_000, rtol=1e-6)


def test_above_the_limit_only_high_scores_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAIRS_AT_ONCE", 25)
    store, blend = random_store(tmp_path, 11)
    with store:
        write_all_pairs(tmp_path / "below.csv", store, min_score=0.7)
        monkeypatch.setattr(export, "ALL_PAIRS_LIMIT", 10)
        write_all_pairs(tmp_path / "above.csv", store, min_score=0.7)
    assert len(rows(tmp_path / "below.csv")) == 1 + 55
    i, j = np.triu_indices(11, k=1)
    high = blend[i, j] >= np.float32(0.7)
    table = pd.read_csv(tmp_path / "above.csv")
    np.testing.assert_array_equal(table[["i", "j"]], np.column_stack([i[high], j[high]]))
    np.testing.assert_allclose(table["p_value"], (i / 100 + j / 10_000)[high], rtol=1e-6)


def test_the_score_matrix_is_symmetric_and_labelled(tmp_path: Path) -> None:
    with make_store(tmp_path, 3, {(0, 1): PAIR}) as store:
        write_matrix(
            tmp_path / "matrix.csv",
            store,
            quality=np.array([0.25, 1.0, NAN], dtype=np.float32),
            quality_weight=1.0,
            reasons={2: "is constant"},
        )
    assert rows(tmp_path / "matrix.csv") == [
        ["class_id", "0", "1", "2"],
        ["0", "0.25", "0.4", ""],
        ["1", "0.4", "1.0", ""],
        ["2", "", "", ""],
    ]


@pytest.mark.parametrize(
    ("field", "itself", "value"),
    [
        ("blend", "1.0", "0.8"),
        ("ncc", "1.0", "0.9"),
        ("ssim", "1.0", "0.7"),
        ("nmi", "1.0", "0.1"),
        ("frc_resolution_px", "", "5.0"),
    ],
)
def test_each_metric_has_its_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, itself: str, value: str
) -> None:
    monkeypatch.setattr(export, "PAIRS_AT_ONCE", 3)
    with make_store(tmp_path, 3, {(0, 2): PAIR}) as store:
        quality = np.ones(3, dtype=np.float32)
        write_matrix(tmp_path / "m.csv", store, field, quality=quality, quality_weight=1.0)
    assert rows(tmp_path / "m.csv")[1:] == [
        ["0", itself, "", value],
        ["1", "", itself, ""],
        ["2", value, "", itself],
    ]


def test_a_rotation_has_no_matrix(tmp_path: Path) -> None:
    quality = np.ones(3, dtype=np.float32)
    with make_store(tmp_path, 3, {}) as store, pytest.raises(ValueError, match="rotation_deg"):
        write_matrix(tmp_path / "m.csv", store, "rotation_deg", quality=quality, quality_weight=1.0)


def test_squares_are_listed_in_reading_order(tmp_path: Path) -> None:
    labels = Labels(np.zeros((31, 30), bool), '12,345 "ptcls"; 6.5 A', 12345, 6.5, 7, selected=True)
    first = Square(1.5, 2, 30, 31, 0.875, labels=labels, grid=2, grid_confidence=0.75)
    second = Square(40, 2, 30, 30, 0.5, cut=True)
    detections = [Detection("m.png", (first, second)), Detection("n.png", (second,))]
    write_squares(tmp_path / "squares.csv", detections)
    text = '12,345 "ptcls"; 6.5 A'
    assert rows(tmp_path / "squares.csv") == [
        [
            *("source", "index", "x", "y", "width", "height", "confidence", "cut", "label_text"),
            *("score", "rotation_deg", "mirrored", "scale", "grid", "grid_confidence"),
            *("particles", "resolution_angstrom", "class_index", "selected"),
        ],
        [
            *("m.png", "0", "1.5", "2.0", "30.0", "31.0", "0.875", "false", text),
            *("", "", "", "", "2", "0.75"),
            *("12345", "6.5", "7", "true"),
        ],
        ["m.png", "1", "40.0", "2.0", "30.0", "30.0", "0.5", "true", *[""] * 10, "false"],
        ["n.png", "0", "40.0", "2.0", "30.0", "30.0", "0.5", "true", *[""] * 11],
    ]


def test_score_and_pose_are_listed_where_a_reference_was_hunted(tmp_path: Path) -> None:
    hit = Hit(score=0.75, rotation=90.5, mirrored=True, scale=1.25, y=20.0, x=18.0)
    squares = (Square(1, 2, 30, 30, 0.75, hit=hit), Square(40, 2, 30, 30, 0.5))
    write_squares(tmp_path / "squares.csv", [Detection("m.png", squares)])
    header, hunted, found = rows(tmp_path / "squares.csv")
    first = header.index("score")
    assert header[first : first + 4] == ["score", "rotation_deg", "mirrored", "scale"]
    assert hunted[first : first + 4] == ["0.75", "90.5", "true", "1.25"]
    assert found[first : first + 4] == [""] * 4


def test_a_montage_without_squares_gives_a_table_with_a_header_alone(tmp_path: Path) -> None:
    write_squares(tmp_path / "squares.csv", [Detection("m.png", ())])
    assert len(rows(tmp_path / "squares.csv")) == 1


def test_a_group_is_one_row(tmp_path: Path) -> None:
    blend = np.full((4, 4), 0.1, dtype=np.float32)
    blend[0, 2] = blend[2, 0] = 0.9
    blend[3, :] = blend[:, 3] = np.nan
    classes = [class_average(k, particles=100.0 * (k + 1)) for k in range(3)] + [class_average(3)]
    quality = np.array([0.25, 0.5, 0.75, NAN], dtype=np.float32)
    groups = group_classes(blend, quality=quality)
    write_groups(tmp_path / "groups.csv", groups, classes, quality, blend)
    assert rows(tmp_path / "groups.csv") == [
        ["group", "size", "representative", "particles", "mean_quality", "mean_blend", "members"],
        ["1", "2", "2", "400", "0.5", "0.9", "0 2"],
        ["2", "1", "1", "200", "0.5", "", "1"],
    ]


def test_a_group_with_a_class_of_unknown_particles_has_no_sum(tmp_path: Path) -> None:
    blend = np.full((2, 2), 0.9, dtype=np.float32)
    classes = [class_average(0, particles=100.5), class_average(1)]
    quality = np.ones(2, dtype=np.float32)
    groups = group_classes(blend)
    write_groups(tmp_path / "groups.csv", groups, classes, quality, blend)
    assert records(tmp_path / "groups.csv")[0]["particles"] == ""


def test_run_json_holds_settings_paths_and_numbers(tmp_path: Path) -> None:
    run = {
        "settings": Settings(),
        "inputs": [Path("a.mrcs")],
        "n": np.int64(3),
        "p": np.array([0.5, NAN]),
        "seconds": {"search": 1.5, "never": float("inf")},
        "done": True,
        "nothing": None,
        "name": "Å\udce9",
    }
    write_run_json(tmp_path / "run.json", run)
    found = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert found["settings"]["weights"] == {"ncc": 0.5, "ssim": 0.4, "nmi": 0.1}
    assert found["settings"]["max_shift"] is None
    del found["settings"]
    assert found == {
        "inputs": ["a.mrcs"],
        "n": 3,
        "p": [0.5, None],
        "seconds": {"search": 1.5, "never": None},
        "done": True,
        "nothing": None,
        "name": "Å\udce9",
    }


def test_a_disk_that_fills_up_midway_leaves_the_old_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pairs.csv").write_text("old")
    monkeypatch.setattr(export, "PAIRS_AT_ONCE", 10)
    whole = pd.DataFrame.to_csv

    def full_after_the_first_block(frame: pd.DataFrame, file: io.TextIOBase, **options: object):  # type: ignore[no-untyped-def]
        if not options["header"]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(frame, file, **options)

    monkeypatch.setattr(pd.DataFrame, "to_csv", full_after_the_first_block)
    store, _ = random_store(tmp_path, 11)
    with store, pytest.raises(OutputError, match=r"pairs\.csv: the disk .* is full"):
        write_all_pairs(tmp_path / "pairs.csv", store)
    assert (tmp_path / "pairs.csv").read_text() == "old"
    assert not list(tmp_path.glob("*.partial*")) + list(tmp_path.glob(".*.partial*"))


def test_tables_of_the_wrong_length_are_a_mistake_of_the_program(tmp_path: Path) -> None:
    quality = np.ones(3, dtype=np.float32)
    with pytest.raises(ValueError, match=r"\(1,\), received \(3,\)"):
        write_classes(tmp_path / "c.csv", [class_average(0)], quality_of([1, 1, 1]))
    with make_store(tmp_path, 2, {}) as store:
        with pytest.raises(ValueError, match=r"2 classes .* received 3 classes"):
            write_pairs(
                tmp_path / "p.csv",
                store,
                [class_average(k) for k in range(3)],
                quality=quality,
                quality_weight=1.0,
            )
        with pytest.raises(ValueError, match=r"quality of shape \(2,\), received \(3,\)"):
            write_matrix(tmp_path / "m.csv", store, quality=quality, quality_weight=1.0)
