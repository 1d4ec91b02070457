from __future__ import annotations

from cryocorr_tui.core.model import Square
from cryocorr_tui.core.square_editing import EditedSquares, free_place, moved, neighbour, resized

SHAPE = (200, 300)


def grid(*, rows: int = 2, columns: int = 3, side: float = 90, step: float = 100) -> list[Square]:
    return [
        Square(step * x, step * y, side, side, confidence=0.5)
        for y in range(rows)
        for x in range(columns)
    ]


def test_changes_are_undone_one_by_one_down_to_what_was_found() -> None:
    edited = EditedSquares(grid(), *SHAPE)
    found = edited.squares
    edited.drop(0)
    edited.move(0, 2, 3)
    assert len(edited.squares) == 5
    assert (edited.squares[0].x, edited.squares[0].y) == (103, 2)
    assert edited.undo()
    assert edited.squares == found[1:]
    assert edited.undo()
    assert edited.squares == found
    assert not edited.undo()


def test_a_moved_square_stays_in_the_picture_and_is_vouched_for() -> None:
    square = moved(grid()[0], -5, 1000, SHAPE)
    assert (square.x, square.y, square.confidence) == (210, 0, 1.0)


def test_a_square_grows_about_its_centre() -> None:
    square = resized(Square(100, 50, 40, 40, confidence=1), 10, SHAPE)
    assert (square.x, square.y, square.width, square.height) == (95, 45, 50, 50)


def test_a_square_never_grows_out_of_the_picture_nor_vanishes() -> None:
    huge = resized(grid()[5], 1000, SHAPE)
    assert (huge.x, huge.y, huge.width, huge.height) == (0, 0, 300, 200)
    assert resized(huge, -5000, SHAPE).width == 8


def test_a_new_square_comes_in_reading_order() -> None:
    edited = EditedSquares([*grid()[:4], grid()[5]], *SHAPE)
    assert edited.add(grid()[4]) == 4
    assert [square.x for square in edited.squares] == [0, 100, 200, 0, 100, 200]


def test_rows_from_below_are_counted_so() -> None:
    below_first = [*grid()[3:], *grid()[:2]]
    edited = EditedSquares(below_first, *SHAPE, bottom_up=True)
    assert edited.add(grid()[2]) == 5


def test_the_first_free_place_of_the_lattice_is_offered() -> None:
    squares = grid()
    missing = squares.pop(4)
    place = free_place(squares, SHAPE)
    assert (place.x, place.y, place.width) == (missing.x, missing.y, missing.width)


def test_a_full_lattice_and_an_empty_picture_offer_the_middle() -> None:
    assert (free_place(grid(), SHAPE).x, free_place(grid(), SHAPE).y) == (105, 55)
    place = free_place([], SHAPE)
    assert (place.x + place.width / 2, place.y + place.height / 2) == (150, 100)


def test_neighbours_lie_in_their_direction_or_there_is_none() -> None:
    squares = grid()
    assert neighbour(squares, 0, 0, 1) == 1
    assert neighbour(squares, 1, 1, 0) == 4
    assert neighbour(squares, 4, -1, 0) == 1
    assert neighbour(squares, 0, 0, -1) == 0
