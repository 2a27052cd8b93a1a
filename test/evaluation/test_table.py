# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tables mark what is best, and say what does not fit.
"""

from __future__ import annotations

import pytest

from kp2d_ros.core.errors import ShapeError
from kp2d_ros.evaluation.table import Better, Cell, Figure, format_table, make_table, tabulate_figures


def best_rows(rows: list[list[Cell]], better: Better, within: str | None = None) -> list[int]:
    table = make_table(['group', 'figure'], rows, best={'figure': better}, within=within, digits=2)
    return [number for number, row in enumerate(table.rows) if row[1].is_best]


def test_the_best_number_of_a_column_is_marked() -> None:
    rows: list[list[Cell]] = [['a', 0.5], ['b', 0.9], ['c', None], ['d', float('nan')]]
    assert best_rows(rows, Better.HIGH) == [1]
    assert best_rows(rows, Better.LOW) == [0]


def test_numbers_that_read_the_same_are_equally_good() -> None:
    assert best_rows([['a', 0.501], ['b', 0.499], ['c', 0.9]], Better.LOW) == [0, 1]


def test_nothing_is_best_where_there_is_nothing_to_choose() -> None:
    assert best_rows([['a', 0.5]], Better.LOW) == []
    assert best_rows([['a', 0.5], ['b', 0.5]], Better.LOW) == []
    assert best_rows([['a', 'word'], ['b', None], ['c', 1.0]], Better.LOW) == []
    assert best_rows([], Better.LOW) == []


def test_the_best_is_sought_within_each_group() -> None:
    rows: list[list[Cell]] = [['x', 1.0], ['x', 2.0], ['y', 4.0], ['y', 3.0]]
    assert best_rows(rows, Better.LOW, within='group') == [0, 3]


def test_a_table_of_figures_takes_heads_digits_and_marks_from_them() -> None:
    figures = {'error': Figure('error (px)', Better.LOW, 1, 'how far'), 'count': Figure('n', None, 0, 'how many')}
    rows = [(['a'], {'error': 0.52, 'count': 3.0}), (['b'], {'error': 0.41, 'count': None})]
    assert format_table(tabulate_figures(['method'], rows, figures)).splitlines() == [
        'method  error (px)  n',
        'a             0.5   3',
        'b             0.4*  -',
    ]


def test_tables_that_do_not_fit_their_headers_are_refused() -> None:
    with pytest.raises(ShapeError, match='found a row of 1 cells, expected 2'):
        make_table(['a', 'b'], [[1.0]])
    with pytest.raises(ShapeError, match='found no column c, expected one of a, b'):
        make_table(['a', 'b'], [], best={'c': Better.LOW})
