# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
A report as one HTML file that opens anywhere: no script, no network, pictures inside.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kp2d_ros.core.errors import ShapeError
from kp2d_ros.core.packages import missing_package
from kp2d_ros.core.resources import read_version

_PICTURES = {'png': b'\x89PNG\r\n\x1a\n', 'jpeg': b'\xff\xd8\xff'}  # how their files begin


@dataclass(frozen=True, slots=True)
class Picture:
    """
    A picture of a page: the kind of its file, its bytes in Base64, its size on the page, and what stands below it.
    """

    kind: str
    data: str
    width: int
    height: int
    caption: str


def make_picture(data: bytes, caption: str, *, density: float = 1.0) -> Picture:
    """
    A PNG or JPEG file as a picture of a page; neighbours stand side by side where there is room.

    :param density: pixels of the picture per unit of the page: 2 is sharp on fine screens.
    :raises ShapeError: if the bytes are neither.
    """
    kind = next((kind for kind, start in _PICTURES.items() if data.startswith(start)), '')
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if kind else None
    if pixels is None:
        raise ShapeError(f'figure: found {len(data)} bytes that are not a PNG or JPEG, expected one ({caption})')
    height, width = (round(side / density) for side in pixels.shape[:2])
    return Picture(kind, base64.b64encode(data).decode('ascii'), width, height, caption)


def render_page(template: Path, title: str, **values: Any) -> str:
    """
    A whole page; every value is taken literally, whatever stands in it.

    :param template: what stands below the title, made of the parts in ``parts.html.jinja``; its headings make the list
        of contents.
    :param values: what the template names.
    :raises BackendError: if Jinja2 is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise missing_package('the report', error.name) from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    headings: list[str] = []
    environment.globals['headings'] = headings
    body = environment.get_template(template.name).render(values)
    page = environment.get_template('page.html.jinja')
    return page.render(title=title, contents=headings, body=body, version=read_version()) + '\n'


def _visible(value: Any) -> Any:
    """
    Control characters and halves of surrogate pairs, which UTF-8 cannot hold, as visible marks; markup as it is.
    """
    if not isinstance(value, str) or hasattr(value, '__html__'):
        return value
    return ''.join(c if c in '\n\t' or c.isprintable() or c.isspace() else '\ufffd' for c in value)
