# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tables of words and numbers as HTML, with the best numbers marked.
"""

from __future__ import annotations

import html
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import Enum
from itertools import groupby

from kp2d_ros.core.errors import ShapeError

Cell = str | float | None

UNKNOWN = '–'  # what a cell without a number shows
_DIGITS = 3
_HEADER = -1  # the row of the headers


class Better(Enum):
    """
    Which numbers of a column are the good ones.
    """

    HIGH = 'high'
    LOW = 'low'


def escape(text: str) -> str:
    """
    Text as HTML; control characters and halves of surrogate pairs, which UTF-8 cannot hold, become visible marks.
    """
    clean = ''.join(c if c in '\n\t' or c.isprintable() or c.isspace() else '\ufffd' for c in text)
    return html.escape(clean, quote=True)


def table_markup(
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    best: Mapping[str, Better],
    digits: int | Mapping[str, int],
    within: str | None,
    caption: str,
) -> str:
    """
    The table of :meth:`kp2d_ros.evaluation.html_page.Page.table`, which says what the arguments mean.

    :raises ShapeError: if a row is not as long as the headers, or a header that is named is not there.
    """
    _check(headers, rows, [*best, *(digits if isinstance(digits, Mapping) else ()), *([within] if within else [])])
    places = [digits if isinstance(digits, int) else digits.get(header, _DIGITS) for header in headers]
    texts = [[_cell_text(cell, place) for cell, place in zip(row, places, strict=True)] for row in rows]
    groups = _groups([row[headers.index(within)] for row in texts] if within else [''] * len(rows))
    classes: dict[tuple[int, int], list[str]] = defaultdict(list)
    for column, header in enumerate(headers):
        cells, words = [row[column] for row in rows], [row[column] for row in texts]
        for row_number in _numeric_rows(cells):
            classes[row_number, column].append('number')
        for group in groups if header in best else ():
            for row_number in _best_rows(group, cells, words, best[header]):
                classes[row_number, column].append('best')
    head = ''.join(_element('th', header, classes[_HEADER, column]) for column, header in enumerate(headers))
    firsts = {group[0] for group in groups[1:]}
    body = []
    for row_number, words in enumerate(texts):
        line = ''.join(_element('td', text, classes[row_number, column]) for column, text in enumerate(words))
        body.append(f'<tr class="first">{line}</tr>' if row_number in firsts else f'<tr>{line}</tr>')
    title = _element('caption', caption, []) if caption else ''
    lines = '\n'.join(body)
    return f'<div class="scroll"><table>{title}<thead><tr>{head}</tr></thead>\n<tbody>{lines}</tbody></table></div>'


def _check(headers: Sequence[str], rows: Sequence[Sequence[Cell]], named: Sequence[str]) -> None:
    strangers = [name for name in named if name not in headers]
    if strangers:
        raise ShapeError(f'table: found no column {", ".join(strangers)}, expected one of {", ".join(headers)}')
    for row in rows:
        if len(row) != len(headers):
            raise ShapeError(f'table: found a row of {len(row)} cells, expected {len(headers)}: {row}')


def _element(tag: str, text: str, classes: Sequence[str]) -> str:
    names = f' class="{" ".join(classes)}"' if classes else ''
    return f'<{tag}{names}>{escape(text)}</{tag}>'


def _cell_text(cell: Cell, digits: int) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return UNKNOWN
    if isinstance(cell, float):
        return f'{cell:.{digits}f}'
    return str(cell)


def _groups(keys: Sequence[str]) -> list[list[int]]:
    """
    The rows in runs of equal keys.
    """
    return [[row for row, _ in run] for _, run in groupby(enumerate(keys), key=lambda item: item[1])]


def _numeric_rows(cells: Sequence[Cell]) -> range:
    """
    All rows and the header of a column of numbers; none of a column with words.
    """
    return range(0) if any(isinstance(cell, str) for cell in cells) else range(_HEADER, len(cells))


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
