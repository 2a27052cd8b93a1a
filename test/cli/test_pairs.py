# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d pairs`` from folder to picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.cli.pairs import main


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """
    Three photographs and a broken one.
    """
    (tmp_path / 'photos').mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / 'photos' / f'{i}.png'), rng.integers(0, 256, (70, 90, 3), np.uint8))
    (tmp_path / 'photos' / 'broken.png').write_bytes(b'')
    return tmp_path / 'photos'


def test_writes_a_sheet_and_says_what_it_used(folder: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'new' / 'sheet.png'
    status = main(
        ['--data', str(folder), '--out', str(out), '--count', '2', '--preset', 'wide', 'height=48', 'width=64']
    )
    assert status == 0
    assert cv2.imread(str(out)).shape == (2 * (18 + 48), 3 * (64 + 4) + 4, 3)
    assert '2 pairs of 3 photographs (1 images skipped' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['heigth=48'], 'unknown setting heigth, did you mean height?'),
        (['--count', '0'], 'expected --count from 1 on'),
        (['--epoch', str(2**70)], '--seed and --epoch from 0 to 2^63 - 1'),
        (['--data', 'nowhere'], 'nowhere: does not exist'),
        (['--out', 'sheet.docx'], 'expected a name that ends in .png or .jpg'),
    ],
)
def test_refuses_in_one_line(
    folder: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(['--data', str(folder), '--out', str(tmp_path / 's.png'), 'height=48', 'width=64', *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ') and message in error and error.count('\n') == 1


def test_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(['--help'])
    assert 'homography.patch_ratio=0.7' in capsys.readouterr().out
