# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from kp2d_ros.cli.doctor import FOUND_ERRORS, main
from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence

BASELINE = 0.12


def write_kitti(folder: Path, swap: bool = False, count: int = 6) -> Path:
    """
    A rectified stereo sequence in the layout of KITTI.
    """
    scene = SceneConfig(
        width=320, height=240, samples=1, color=False, frames=count, sensor='stereo', baseline=BASELINE,
        distortion=(0.0,) * 5, rig_rotation_deg=(0.0, 0.0, 0.0), swap_cameras=swap,
    )  # fmt: skip
    lines = []
    for frame in SimulatedSequence(scene):
        for number, image in ((0, frame.image), (1, frame.right.image)):
            (folder / f'image_{number}').mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f'image_{number}' / f'{frame.seq:06d}.png'), image)
        matrix = frame.camera.matrix
        lines.append(f'{frame.seq * 0.1:.1f}')
    (folder / 'times.txt').write_text('\n'.join(lines) + '\n')
    shifts = (0.0, -matrix[0, 0] * BASELINE)
    rows = [np.column_stack([matrix, [shift, 0.0, 0.0]]).ravel() for shift in shifts]
    (folder / 'calib.txt').write_text(''.join(f'P{i}: {" ".join(map(str, row))}\n' for i, row in enumerate(rows)))
    return folder


def test_a_healthy_pair_ends_with_0_and_says_what_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_kitti(tmp_path / '00')
    assert main([str(source), '--sensor', 'stereo', '--quiet', '--out', str(tmp_path / 'out')]) == 0
    shown = capsys.readouterr().out
    assert 'the baseline is 0.12 m' in shown and 'rows are off by 0.0' in shown and 'left is left' in shown
    assert 'written  doctor.json, rows.png' in shown
    report = json.loads((tmp_path / 'out' / 'doctor.json').read_text())
    assert report['sensor'] == 'stereo' and report['images'] == 6
    assert {'rows', 'order', 'delay', 'baseline', 'rate', 'mask'} <= {f['kind'] for f in report['findings']}
    picture = cv2.imread(str(tmp_path / 'out' / 'rows.png'))
    assert picture is not None and picture.shape[1] == 2 * 640 + 6


def test_an_error_comes_first_and_ends_with_its_own_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_kitti(tmp_path / '00', swap=True)
    assert main([str(source), '--sensor', 'stereo', '--quiet']) == FOUND_ERRORS
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ['ERROR', 'order'] and 'swapped' in lines[1]
    assert '->' in '\n'.join(lines[2:4])


def test_json_is_all_that_is_printed_if_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_kitti(tmp_path / '00', count=2)
    assert main([str(source), '--quiet', '--json', '--max-frames', '1']) == 0
    report = json.loads(capsys.readouterr().out)
    assert report['sensor'] == 'mono' and report['images'] == 1


def test_an_image_that_cannot_be_read_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_kitti(tmp_path / '00', count=3)
    (source / 'image_0' / '000002.png').write_bytes(b'no image')
    assert main([str(source), '--quiet']) == FOUND_ERRORS
    shown = ' '.join(capsys.readouterr().out.split())
    assert 'reading ended after 2 images' in shown and '000002.png' in shown


def test_a_calibration_for_another_size_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], format_camera: Callable[[CameraModel], str]
) -> None:
    source = write_kitti(tmp_path / '00', count=2)
    scene = SimulatedSequence(SceneConfig(width=160, height=120, frames=1, samples=1))
    (tmp_path / 'camera.yaml').write_text(format_camera(scene.camera))
    assert main([str(source), '--quiet', '--calibration', str(tmp_path / 'camera.yaml')]) == FOUND_ERRORS
    shown = ' '.join(capsys.readouterr().out.split())
    assert 'ERROR calibration size' in shown and 'found a calibration for 160x120' in shown
    assert '-> give the calibration of this image size' in shown


def test_a_source_that_is_none_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / 'nothing')]) == 1
    assert 'does not exist' in capsys.readouterr().err
