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

import cv2
import numpy as np

from kp2d_ros.core.errors import ShapeError
from kp2d_ros.core.files import write_text
from kp2d_ros.core.resources import read_version
from kp2d_ros.evaluation.html_table import Better, Cell, escape, table_markup

_PICTURES = {'png': b'\x89PNG\r\n\x1a\n', 'jpeg': b'\xff\xd8\xff'}  # how their files begin

# Colours come twice, for light and dark screens; paper is always light.
_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #5b6470; --paper: #fff; --line: #d9dde2; --shade: #f4f6f8;
  --mark: #d8f0de; --mark-ink: #0b5a24; --link: #0b6fb8 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --soft: #9aa4b0; --paper: #16191d; --line: #343a42;
  --shade: #1f2429; --mark: #153d22; --mark-ink: #9be7b0; --link: #6bb8f0 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 84rem; margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 3rem) 4rem }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 }
h2 { font-size: 1.3rem; margin: 2.4rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line) }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem }
h1, h2, h3, p, li, td, th, figcaption, summary { overflow-wrap: anywhere; unicode-bidi: isolate }
p, ul { max-width: 75ch; margin: .6rem 0 }
li { margin: .25rem 0 }
nav a { color: var(--link); margin-right: 1.2rem; display: inline-block }
.scroll { overflow-x: auto; margin: .8rem 0 1.2rem }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem; max-width: 75ch }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: normal }
th { font-weight: 600 }
thead th { background: var(--shade); vertical-align: bottom }
td.number, th.number { text-align: right }
td.number { white-space: nowrap }
td.best { background: var(--mark); color: var(--mark-ink); font-weight: 700 }
tr.first > * { border-top: 2px solid var(--soft) }
tbody tr:hover > * { background-color: var(--shade) }
tbody tr:hover > td.best { background-color: var(--mark) }
figure { display: inline-block; vertical-align: top; margin: .6rem 1.2rem .6rem 0; max-width: 100% }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 4px }
figcaption { color: var(--soft); font-size: .88rem; margin-top: .35rem; max-width: 75ch }
details { margin: .8rem 0; border: 1px solid var(--line); border-radius: 4px; padding: 0 .9rem }
summary { cursor: pointer; padding: .5rem 0; font-weight: 600 }
pre { overflow-x: auto; background: var(--shade); padding: .7rem .9rem; border-radius: 4px; font-size: .82rem }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem }
@media (max-width: 40rem) { body { font-size: 15px } th, td { padding: .25rem .45rem } }
@media print { :root { --ink: #000; --soft: #444; --paper: #fff; --line: #bbb; --shade: #f0f0f0; --mark: #e3f3e6;
  --mark-ink: #064; --link: #000 } body { font-size: 10pt } main { max-width: none; padding: 0 } nav { display: none }
  .scroll { overflow: visible } table { font-size: 8pt } th, td { padding: 1pt 4pt }
  figure { display: block } tr, figure { break-inside: avoid } h2, h3 { break-after: avoid }
  details::details-content { content-visibility: visible; display: block } }
"""

# Names come from files of strangers: should one slip through the escaping, it still can load and run nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Page:
    """
    A page that is written from top to bottom; every text is taken literally, whatever stands in it.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts: list[str] = []
        self._headings: list[str] = []

    def heading(self, text: str, level: int = 2) -> None:
        """
        A heading; those of level 2 make the list of contents, 3 stands below.
        """
        anchor = ''
        if level == 2:
            self._headings.append(text)
            anchor = f' id="part-{len(self._headings)}"'
        self._parts.append(f'<h{level}{anchor}>{escape(text)}</h{level}>')

    def paragraph(self, text: str) -> None:
        """
        A paragraph of words.
        """
        self._parts.append(f'<p>{escape(text)}</p>')

    def bullets(self, items: Iterable[str]) -> None:
        """
        Sentences that stand one below the other.
        """
        lines = ''.join(f'<li>{escape(item)}</li>' for item in items)
        self._parts.append(f'<ul>{lines}</ul>')

    def points(self, items: Iterable[tuple[str, str]]) -> None:
        """
        Sentences one below the other, each behind a word or two that say what it is about.
        """
        lines = ''.join(f'<li><b>{escape(lead)}</b> {escape(text)}</li>' for lead, text in items)
        self._parts.append(f'<ul>{lines}</ul>')

    def preformatted(self, text: str) -> None:
        """
        Text in letters of equal width, its lines as they are: settings, hashes.
        """
        self._parts.append(f'<pre>{escape(text)}</pre>')

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
        markup = table_markup(headers, rows, best=best or {}, digits=digits, within=within, caption=caption)
        self._parts.append(markup)

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
        data = base64.b64encode(picture).decode('ascii')
        words = escape(caption)
        self._parts.append(
            f'<figure><img src="data:image/{kind};base64,{data}" width="{width}" height="{height}" alt="{words}">'
            f'<figcaption style="max-width:max({width}px, 20rem)">{words}</figcaption></figure>'
        )

    @contextmanager
    def details(self, summary: str, *, opened: bool = False) -> Iterator[None]:
        """
        What is added inside the ``with`` block is folded behind one line.
        """
        self._parts.append(f'<details{" open" if opened else ""}><summary>{escape(summary)}</summary>')
        try:
            yield
        finally:
            self._parts.append('</details>')

    def text(self) -> str:
        """
        The whole page.
        """
        title = escape(self._title)
        links = ''.join(f'<a href="#part-{n}">{escape(t)}</a>' for n, t in enumerate(self._headings, 1))
        contents = f'<nav>{links}</nav>' if len(self._headings) > 1 else ''
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{contents}\n'
            + '\n'.join(self._parts)
            + f'\n<footer>kp2d_ros {escape(read_version())}</footer>\n</main>\n</body>\n</html>\n'
        )

    def write(self, path: Path) -> None:
        """
        Write the page; whoever reads the path sees the old file or the whole new one.

        :raises DataError: if it cannot be written.
        """
        write_text(path, self.text())
