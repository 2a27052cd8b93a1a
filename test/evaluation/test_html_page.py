# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pages hold what was put in, literally, and nothing from elsewhere.
"""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from kp2d_ros.core.errors import DataError, ShapeError
from kp2d_ros.evaluation.html_page import Page
from kp2d_ros.evaluation.html_table import Better, Cell

VOID = {'meta', 'img', 'br', 'link'}
HOSTILE = '</td><script>alert("1")</script>&amp;\'\x00\ud800'


class Reader(HTMLParser):
    """
    Checks that elements close in order, and keeps cells with their classes, attributes and words.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.words.append((self.open[-1], data))

    def texts(self, tag: str) -> list[str]:
        return [text for where, text in self.words if where == tag]

    def best(self) -> list[int]:
        """
        Which cells of the tables, counted from 0, are marked as best.
        """
        cells = [attributes for tag, attributes in self.tags if tag == 'td']
        return [n for n, attributes in enumerate(cells) if 'best' in (attributes.get('class') or '').split()]


def png() -> bytes:
    done, data = cv2.imencode('.png', np.zeros((30, 40, 3), np.uint8))
    assert done
    return data.tobytes()


def marked(rows: list[list[Cell]], better: Better, within: str | None = None, digits: int = 2) -> list[int]:
    page = Page('marks')
    page.table(['group', 'figure'], rows, best={'figure': better}, within=within, digits=digits)
    return [cell // 2 for cell in Reader(page.text()).best()]


def test_every_text_is_taken_literally() -> None:
    page = Page(HOSTILE)
    page.heading(HOSTILE)
    page.paragraph(HOSTILE)
    page.bullets([HOSTILE])
    page.points([(HOSTILE, '')])
    page.preformatted(HOSTILE)
    page.table([HOSTILE], [[HOSTILE]], caption=HOSTILE)
    page.figure(png(), HOSTILE)
    with page.details(HOSTILE):
        page.heading(HOSTILE, 3)
    text = page.text()
    assert '<script' not in text
    shown = '</td><script>alert("1")</script>&amp;\'\ufffd\ufffd'
    reader = Reader(text)
    for tag in ('h1', 'h2', 'p', 'li', 'b', 'pre', 'th', 'td', 'caption', 'figcaption', 'summary', 'h3'):
        assert reader.texts(tag) == [shown], tag
    assert [attributes['alt'] for tag, attributes in reader.tags if tag == 'img'] == [shown]


def test_a_page_needs_nothing_from_elsewhere() -> None:
    page = Page('alone')
    page.figure(png(), 'a picture')
    reader = Reader(page.text())
    places = [value for _, attributes in reader.tags for name, value in attributes.items() if name in ('src', 'href')]
    assert places
    assert all(value and value.startswith(('data:', '#')) for value in places)
    assert 'http' not in page.text().replace('http-equiv', '').replace('HTTP', '')


def test_a_picture_comes_with_its_bytes_and_its_size_on_the_page() -> None:
    page = Page('picture')
    page.figure(png(), 'a picture', density=2)
    attributes = next(attributes for tag, attributes in Reader(page.text()).tags if tag == 'img')
    source = attributes['src']
    assert source
    assert base64.b64decode(source.partition(',')[2]) == png()
    assert (attributes['width'], attributes['height']) == ('20', '15')


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ShapeError, match='found 3 bytes that are not a PNG or JPEG'):
        Page('picture').figure(b'GIF', 'a picture')
    with pytest.raises(ShapeError, match='not a PNG or JPEG'):
        Page('picture').figure(png()[:40], 'half a picture')


def test_photographs_come_as_jpeg() -> None:
    done, data = cv2.imencode('.jpg', np.zeros((30, 40, 3), np.uint8))
    assert done
    page = Page('picture')
    page.figure(data.tobytes(), 'a photograph')
    attributes = next(attributes for tag, attributes in Reader(page.text()).tags if tag == 'img')
    assert (attributes['src'] or '').startswith('data:image/jpeg;base64,')
    assert (attributes['width'], attributes['height']) == ('40', '30')


def test_numbers_have_their_digits_and_unknown_ones_a_dash() -> None:
    page = Page('numbers')
    page.table(['a', 'b'], [[1.23456, 7], [None, float('nan')], [float('inf'), 0]], digits={'a': 2})
    assert Reader(page.text()).texts('td') == ['1.23', '7', '–', '–', 'inf', '0']


def test_the_best_number_of_a_column_is_marked() -> None:
    rows: list[list[Cell]] = [['a', 0.5], ['b', 0.9], ['c', None], ['d', float('nan')]]
    assert marked(rows, Better.HIGH) == [1]
    assert marked(rows, Better.LOW) == [0]


def test_numbers_that_read_the_same_are_equally_good() -> None:
    assert marked([['a', 0.501], ['b', 0.499], ['c', 0.9]], Better.LOW) == [0, 1]


def test_nothing_is_best_where_there_is_nothing_to_choose() -> None:
    assert marked([['a', 0.5]], Better.LOW) == []
    assert marked([['a', 0.5], ['b', 0.5]], Better.LOW) == []
    assert marked([['a', 'word'], ['b', None], ['c', 1.0]], Better.LOW) == []
    assert marked([], Better.LOW) == []


def test_the_best_is_sought_within_each_group() -> None:
    rows: list[list[Cell]] = [['x', 1.0], ['x', 2.0], ['y', 4.0], ['y', 3.0]]
    assert marked(rows, Better.LOW, within='group') == [0, 3]


def test_tables_that_do_not_fit_their_headers_are_refused() -> None:
    with pytest.raises(ShapeError, match='found a row of 1 cells, expected 2'):
        Page('rows').table(['a', 'b'], [[1.0]])
    with pytest.raises(ShapeError, match='found no column c, expected one of a, b'):
        Page('rows').table(['a', 'b'], [], best={'c': Better.LOW})


def test_headings_make_the_contents() -> None:
    page = Page('contents')
    for title in ('First', 'Second'):
        page.heading(title)
    page.heading('below', 3)
    reader = Reader(page.text())
    assert reader.texts('a') == ['First', 'Second']
    anchors = {attributes.get('id') for tag, attributes in reader.tags if tag == 'h2'}
    assert {f'#{anchor}' for anchor in anchors} == {a['href'] for tag, a in reader.tags if tag == 'a'}


def test_a_page_is_written_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / 'deep' / 'report.html'
    page = Page('örtlich')
    page.write(path)
    page.paragraph('more')
    page.write(path)
    assert path.read_text(encoding='utf-8') == page.text()
    assert [file.name for file in path.parent.iterdir()] == ['report.html']


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('', encoding='utf-8')
    with pytest.raises(DataError, match=r'report\.html: cannot be written'):
        Page('page').write(tmp_path / 'file' / 'report.html')
