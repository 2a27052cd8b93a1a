# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pages and tables hold what was put in, literally, and nothing from elsewhere.
"""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from kp2d_ros.core.errors import ShapeError
from kp2d_ros.evaluation.html_page import make_picture, render_page
from kp2d_ros.evaluation.table import Better, Cell, make_table

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


def png() -> bytes:
    done, data = cv2.imencode('.png', np.zeros((30, 40, 3), np.uint8))
    assert done
    return data.tobytes()


def page_of(folder: Path, template: str, title: str = 'page', **values: object) -> str:
    """
    The page that a template gives, which may use all parts of pages.
    """
    parts = "{% from 'parts.html.jinja' import bullets, figure, heading, table, terms %}"
    (folder / 'of_the_test.jinja').write_text(parts + template, encoding='utf-8')
    return render_page(folder / 'of_the_test.jinja', title, **values)


def test_every_text_is_taken_literally(tmp_path: Path) -> None:
    template = (
        '{{ heading(text) }}<p>{{ text }}</p>{{ bullets([text]) }}{{ terms([(text, text)]) }}<pre>{{ text }}</pre>'
        '{{ table(table_of, text) }}{{ figure(picture) }}'
    )
    table, picture = make_table([HOSTILE], [[HOSTILE]]), make_picture(png(), HOSTILE)
    text = page_of(tmp_path, template, HOSTILE, text=HOSTILE, table_of=table, picture=picture)
    assert '<script' not in text
    shown = '</td><script>alert("1")</script>&amp;\'\ufffd\ufffd'
    reader = Reader(text)
    for tag in ('h1', 'h2', 'p', 'li', 'dt', 'dd', 'pre', 'th', 'td', 'caption', 'figcaption'):
        assert reader.texts(tag) == [shown], tag
    assert [attributes['alt'] for tag, attributes in reader.tags if tag == 'img'] == [shown]


def test_a_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    text = page_of(tmp_path, '{{ figure(picture) }}', picture=make_picture(png(), 'a picture'))
    attributes = [item for _, attributes in Reader(text).tags for item in attributes.items()]
    places = [value for name, value in attributes if name in ('src', 'href')]
    assert places
    assert all(value and value.startswith(('data:', '#')) for value in places)
    assert 'http' not in text.replace('http-equiv', '').replace('HTTP', '')


def test_a_picture_comes_with_its_bytes_and_its_size_on_the_page(tmp_path: Path) -> None:
    text = page_of(tmp_path, '{{ figure(picture) }}', picture=make_picture(png(), 'a picture', density=2))
    attributes = next(attributes for tag, attributes in Reader(text).tags if tag == 'img')
    source = attributes['src']
    assert source
    assert source.startswith('data:image/png;base64,')
    assert base64.b64decode(source.partition(',')[2]) == png()
    assert (attributes['width'], attributes['height']) == ('20', '15')


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ShapeError, match='found 3 bytes that are not a PNG or JPEG'):
        make_picture(b'GIF', 'a picture')
    with pytest.raises(ShapeError, match='not a PNG or JPEG'):
        make_picture(png()[:40], 'half a picture')


def test_photographs_come_as_jpeg() -> None:
    done, data = cv2.imencode('.jpg', np.zeros((30, 40, 3), np.uint8))
    assert done
    picture = make_picture(data.tobytes(), 'a photograph')
    assert (picture.kind, picture.width, picture.height) == ('jpeg', 40, 30)


def test_numbers_have_their_digits_and_unknown_ones_a_dash(tmp_path: Path) -> None:
    table = make_table(['a', 'b'], [[1.23456, 7], [None, float('nan')], [float('inf'), 0]], digits={'a': 2})
    text = page_of(tmp_path, '{{ table(numbers) }}', numbers=table)
    assert Reader(text).texts('td') == ['1.23', '7', '–', '–', 'inf', '0']


def test_the_mark_of_the_best_number_is_on_the_page(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [['a', 0.5], ['b', 0.9], ['c', None], ['d', float('nan')]]
    table = make_table(['group', 'figure'], rows, best={'figure': Better.HIGH})
    cells = [a for tag, a in Reader(page_of(tmp_path, '{{ table(it) }}', it=table)).tags if tag == 'td']
    assert [cell.get('class') for cell in cells[:4]] == [None, 'number', None, 'number best']


def test_groups_of_rows_are_set_apart(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [['x', 1.0], ['x', 2.0], ['y', 4.0], ['y', 3.0]]
    text = page_of(tmp_path, '{{ table(it) }}', it=make_table(['group', 'figure'], rows, within='group'))
    assert [a.get('class') for tag, a in Reader(text).tags if tag == 'tr'] == [None, None, None, 'first', None]


def test_headings_make_the_contents(tmp_path: Path) -> None:
    reader = Reader(page_of(tmp_path, "{{ heading('First') }}{{ heading('Second') }}<h3>below</h3>"))
    assert reader.texts('a') == ['First', 'Second']
    anchors = {attributes.get('id') for tag, attributes in reader.tags if tag == 'h2'}
    assert {f'#{anchor}' for anchor in anchors} == {a['href'] for tag, a in reader.tags if tag == 'a'}
