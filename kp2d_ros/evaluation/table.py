# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tables of words and numbers, for pages and for the terminal: how each cell reads, and which numbers are the best ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

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
class Figure:
    """
    A measured figure: the head of its column, which values are good (None: neither), its decimals, and what it means.
    """

    header: str
    better: Better | None
    digits: int
    meaning: str

    def rank(self, value: float) -> float:
        """
        What sorts values of the figure, the best one first.
        """
        return value if self.better is Better.LOW else -value


@dataclass(frozen=True, slots=True)
class TableCell:
    """
    What a cell shows, and whether it is a number, and the best one of its column.
    """

    text: str
    is_number: bool
    is_best: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """
    A table as it is shown; ``firsts`` are the rows that begin another group than the first.
    """

    head: Sequence[TableCell]
    rows: Sequence[Sequence[TableCell]]
    firsts: Sequence[int]


def make_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    best: Mapping[str, Better] | None = None,
    digits: int | Mapping[str, int] = _DIGITS,
    within: str | None = None,
) -> Table:
    """
    A table of words and numbers; a number that is None or NaN shows as unknown.

    :param best: by header, which numbers are good; the best cell of the column is marked, all of them where several
        read the same, none where there is nothing to choose from.
    :param digits: decimals of the floats (integers have none), for all columns or by header (others: 3).
    :param within: header of a column; the best is sought among neighbouring rows that agree in it.
    :raises ShapeError: if a row is not as long as the headers, or a header that is named is not there.
    """
    best = best or {}
    by_header = dict.fromkeys(headers, digits) if isinstance(digits, int) else digits
    _check(headers, rows, [*best, *by_header, *([within] if within else [])])
    texts = [
        [_cell_text(cell, by_header.get(h, _DIGITS)) for cell, h in zip(row, headers, strict=True)] for row in rows
    ]
    keys = [row[headers.index(within)] if within else '' for row in texts]
    groups = [[row for row, _ in run] for _, run in groupby(enumerate(keys), key=lambda item: item[1])]
    numbers = [not any(isinstance(row[column], str) for row in rows) for column in range(len(headers))]
    marked = set()
    for header, better in best.items():
        column = headers.index(header)
        cells, words = [row[column] for row in rows], [row[column] for row in texts]
        marked |= {(row, column) for group in groups for row in _best_rows(group, cells, words, better)}
    return Table(
        [TableCell(header, is_number) for header, is_number in zip(headers, numbers, strict=True)],
        [
            [TableCell(text, numbers[column], (row, column) in marked) for column, text in enumerate(words)]
            for row, words in enumerate(texts)
        ],
        [group[0] for group in groups[1:]],
    )


def tabulate_figures(
    lead: Sequence[str],
    rows: Iterable[tuple[Sequence[Cell], Mapping[str, float | None]]],
    figures: Mapping[str, Figure],
    within: str | None = None,
) -> Table:
    """
    A table of figures, the best of each column marked.

    :param lead: headers of the columns before the figures.
    :param rows: leading cells, and the values by the name of the figure.
    :param within: as of :func:`make_table`.
    """
    return make_table(
        [*lead, *(figure.header for figure in figures.values())],
        [[*cells, *(values[name] for name in figures)] for cells, values in rows],
        best={figure.header: figure.better for figure in figures.values() if figure.better is not None},
        digits={figure.header: figure.digits for figure in figures.values()},
        within=within,
    )


def format_table(table: Table) -> str:
    """
    A table as plain text, numbers to the right, with a star behind the best ones of a column.
    """
    columns = []
    for column, head in enumerate(table.head):
        cells = [row[column] for row in table.rows]
        room = ' ' if any(cell.is_best for cell in cells) else ''
        texts = [cell.text.replace(UNKNOWN, '-') + ('*' if cell.is_best else room) for cell in cells]
        width = max(map(len, [head.text, *texts]))
        columns.append([text.rjust(width) if head.is_number else text.ljust(width) for text in [head.text, *texts]])
    return '\n'.join('  '.join(line).rstrip() for line in zip(*columns, strict=True))


def _check(headers: Sequence[str], rows: Sequence[Sequence[Cell]], named: Sequence[str]) -> None:
    strangers = [name for name in named if name not in headers]
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
