# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Video files as sequences.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.core.errors import DataError
from kp2d_ros.recordings.sources import open_sequence

COLORS = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]  # RGB


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """
    Three frames of one colour each, at 5 Hz.
    """
    path = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 5.0, (64, 48))
    for color in COLORS:
        writer.write(np.full((48, 64, 3), color[::-1], np.uint8))
    writer.release()
    return path


def test_frames_come_in_rgb_at_the_rate_of_the_file(video: Any) -> None:
    sequence = open_sequence(video)
    frames = list(sequence)
    assert (sequence.name, len(sequence), len(frames)) == ('clip', 3, 3)
    assert [frame.stamp_ns for frame in frames] == [0, 200_000_000, 400_000_000]
    for frame, color in zip(frames, COLORS, strict=True):
        assert frame.image.shape == (48, 64, 3) and np.abs(frame.image[20, 30].astype(int) - color).max() < 12
    assert len(list(sequence)) == 3  # again from the beginning


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'noise.mp4').write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match='not a video that OpenCV can read'):
        open_sequence(tmp_path / 'noise.mp4')


def test_a_calibration_of_another_size_is_refused(video: Any, tmp_path: Path) -> None:
    (tmp_path / 'camera.yaml').write_text(
        'image_width: 32\nimage_height: 24\ndistortion_model: plumb_bob\n'
        'camera_matrix: {rows: 3, cols: 3, data: [30, 0, 16, 0, 30, 12, 0, 0, 1]}\n'
        'distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}\n'
    )
    with pytest.raises(DataError, match=r'clip.avi: camera: found a calibration for 32x24'):
        list(open_sequence(video, calibration=tmp_path / 'camera.yaml'))
