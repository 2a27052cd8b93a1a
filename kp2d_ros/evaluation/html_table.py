# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tables of words and numbers: how each cell reads, and which numbers are the best ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import Any

from kp2d_ros.core.errors import ShapeError

Cell = str | float | None

UNKNOWN = '–'  # what a cell without a number shows
_DIGITS = 3


class Better(Enum):
    """
    Which numbers of a column are the good ones.
    """

    HIGH = 'high'
    LOW = 'low'


@dataclass(frozen=True, slots=True)
class TableStyle:
    """
    How the numbers of a table read; what the fields mean says :meth:`kp2d_ros.evaluation.html_page.Page.table`.
    """

    best: Mapping[str, Better]
    digits: int | Mapping[str, int]
    within: str | None

    def digits_of(self, header: str) -> int:
        """
        Decimals of the floats of a column.
        """
        return self.digits if isinstance(self.digits, int) else self.digits.get(header, _DIGITS)


def lay_out(headers: Sequence[str], rows: Sequence[Sequence[Cell]], style: TableStyle) -> dict[str, Any]:
    """
    A table as the template takes it: ``head`` and ``rows`` are lists of cells (text, classes), and ``firsts`` the rows
    that begin another group than the first.

    :raises ShapeError: if a row is not as long as the headers, or a header that is named is not there.
    """
    _check(headers, rows, style)
    digits = [style.digits_of(header) for header in headers]
    texts = [[_cell_text(cell, places) for cell, places in zip(row, digits, strict=True)] for row in rows]
    keys = [row[headers.index(style.within)] if style.within else '' for row in texts]
    groups = [[row for row, _ in run] for _, run in groupby(enumerate(keys), key=lambda item: item[1])]
    numbers = ['' if any(isinstance(row[column], str) for row in rows) else 'number' for column in range(len(headers))]
    classes = [list(numbers) for _ in rows]
    for header, better in style.best.items():
        column = headers.index(header)
        cells, words = [row[column] for row in rows], [row[column] for row in texts]
        for row in (row for group in groups for row in _best_rows(group, cells, words, better)):
            classes[row][column] += ' best'
    return {
        'head': list(zip(headers, numbers, strict=True)),
        'rows': [list(zip(words, marks, strict=True)) for words, marks in zip(texts, classes, strict=True)],
        'firsts': [group[0] for group in groups[1:]],
    }


def _check(headers: Sequence[str], rows: Sequence[Sequence[Cell]], style: TableStyle) -> None:
    named = [*style.best, *(style.digits if isinstance(style.digits, Mapping) else ())]
    strangers = [name for name in (*named, *([style.within] if style.within else [])) if name not in headers]
    if strangers:
        raise ShapeError(f'table: found no column {", ".join(strangers)}, expected one of {", ".join(headers)}')
    for row in rows:
        if len(row) != len(headers):
            raise ShapeError(f'table: found a row of {len(row)} cells, expected {len(headers)}: {row}')


def _cell_text(cell: Cell, digits: int) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return UNKNOWN
    if isinstance(cell, float):
        return f'{cell:.{digits}f}'
    return str(cell)


def _best_rows(group: Sequence[int], cells: Sequence[Cell], texts: Sequence[str], better: Better) -> list[int]:
    """
    The rows whose number is the best one as it reads; none unless at least two different numbers are known.
    """
    numbers = {row: float(cell) for row in group if isinstance(cell := cells[row], int | float) and cell == cell}
    if len({texts[row] for row in numbers}) < 2:
        return []
    choose = max if better is Better.HIGH else min
    winner = choose(numbers, key=lambda row: numbers[row])
    return [row for row in numbers if texts[row] == texts[winner]]
