# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A report as one HTML file that opens anywhere: no script, no network, pictures inside.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kp2d_ros.core.errors import ShapeError
from kp2d_ros.core.files import write_text
from kp2d_ros.core.packages import missing_package
from kp2d_ros.core.resources import read_version
from kp2d_ros.evaluation.html_table import Better, Cell, TableStyle, lay_out

_PICTURES = {'png': b'\x89PNG\r\n\x1a\n', 'jpeg': b'\xff\xd8\xff'}  # how their files begin
_TEMPLATE = Path(__file__).with_name('page.html.jinja')


class Page:
    """
    A page that is written from top to bottom; every text is taken literally, whatever stands in it.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts: list[tuple[str, Any]] = []  # kinds and contents, as the template takes them
        self._headings: list[str] = []

    def heading(self, text: str, level: int = 2) -> None:
        """
        A heading; those of level 2 make the list of contents, 3 stands below.
        """
        if level != 2:
            self._parts.append(('subheading', text))
            return
        self._headings.append(text)
        self._parts.append(('heading', {'text': text, 'number': len(self._headings)}))

    def paragraph(self, text: str) -> None:
        """
        A paragraph of words.
        """
        self._parts.append(('paragraph', text))

    def bullets(self, items: Iterable[str]) -> None:
        """
        Sentences that stand one below the other.
        """
        self.points(('', item) for item in items)

    def points(self, items: Iterable[tuple[str, str]]) -> None:
        """
        Sentences one below the other, each behind a word or two that say what it is about.
        """
        self._parts.append(('points', list(items)))

    def terms(self, items: Iterable[tuple[str, str]]) -> None:
        """
        What words mean that were just used, in small print: terms and their meanings.
        """
        self._parts.append(('terms', list(items)))

    def preformatted(self, text: str) -> None:
        """
        Text in letters of equal width, its lines as they are: settings, hashes.
        """
        self._parts.append(('preformatted', text))

    def table(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        *,
        best: Mapping[str, Better] | None = None,
        digits: int | Mapping[str, int] = 3,
        within: str | None = None,
        caption: str = '',
    ) -> None:
        """
        A table of words and numbers; a number that is None or NaN shows as unknown.

        :param best: by header, which numbers are good; the best cell of the column is marked, all of them where several
            read the same, none where there is nothing to choose from.
        :param digits: decimals of the floats (integers have none), for all columns or by header (others: 3).
        :param within: header of a column; the best is sought among neighbouring rows that agree in it.
        :raises ShapeError: if a row is not as long as the headers, or a header that is named is not there.
        """
        layout = lay_out(headers, rows, TableStyle(best or {}, digits, within))
        self._parts.append(('table', {**layout, 'caption': caption}))

    def figure(self, picture: bytes, caption: str, *, density: float = 1.0) -> None:
        """
        A picture; neighbours stand side by side where there is room.

        :param picture: a PNG or JPEG file.
        :param density: pixels of the picture per unit of the page: 2 is sharp on fine screens.
        :raises ShapeError: if the bytes are neither.
        """
        kind = next((kind for kind, start in _PICTURES.items() if picture.startswith(start)), '')
        pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE) if kind else None
        if pixels is None:
            raise ShapeError(f'figure: found {len(picture)} bytes that are not a PNG or JPEG, expected one ({caption})')
        height, width = (round(side / density) for side in pixels.shape[:2])
        part = {'kind': kind, 'data': base64.b64encode(picture).decode('ascii'), 'width': width, 'height': height}
        self._parts.append(('figure', {**part, 'caption': caption}))

    @contextmanager
    def details(self, summary: str, *, opened: bool = False) -> Iterator[None]:
        """
        What is added inside the ``with`` block is folded behind one line.
        """
        self._parts.append(('open', {'summary': summary, 'opened': opened}))
        try:
            yield
        finally:
            self._parts.append(('close', None))

    def text(self) -> str:
        """
        The whole page.

        :raises BackendError: if Jinja2 is not installed.
        """
        try:
            import jinja2
        except ModuleNotFoundError as error:
            raise missing_package('the report', error.name) from error
        environment = jinja2.Environment(
            autoescape=True, undefined=jinja2.StrictUndefined, finalize=_visible, trim_blocks=True, lstrip_blocks=True
        )
        template = environment.from_string(_TEMPLATE.read_text(encoding='utf-8'))
        page = template.render(title=self._title, contents=self._headings, parts=self._parts, version=read_version())
        return page + '\n'

    def write(self, path: Path) -> None:
        """
        Write the page; whoever reads the path sees the old file or the whole new one.

        :raises BackendError: if Jinja2 is not installed.
        :raises DataError: if it cannot be written.
        """
        write_text(path, self.text())


def _visible(value: Any) -> Any:
    """
    Control characters and halves of surrogate pairs, which UTF-8 cannot hold, as visible marks; markup as it is.
    """
    if not isinstance(value, str) or hasattr(value, '__html__'):
        return value
    return ''.join(c if c in '\n\t' or c.isprintable() or c.isspace() else '\ufffd' for c in value)
