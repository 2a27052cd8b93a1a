# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Frame
from kp2d_ros.core.trajectories import Trajectory, format_tum
from kp2d_ros.evaluation.odometry.subject import TruthFile, check_truth, make_subject, name_apart

CAMERA = CameraModel(32, 24, np.array([[30.0, 0, 16], [0, 30, 12], [0, 0, 1]]), LensModel.PLUMB_BOB, np.zeros(5))
SECOND = 10**9


@dataclass(frozen=True)
class Images:
    """
    Black images, one per second.
    """

    count: int = 5
    camera: CameraModel | None = CAMERA
    ground_truth: Trajectory | None = None
    name: str = 'a walk/../'

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Frame]:
        for seq in range(self.count):
            yield Frame(seq, seq * SECOND, np.zeros((24, 32), np.uint8), self.camera)


def still(*seconds: float) -> Trajectory:
    stamps = np.array([round(s * SECOND) for s in seconds], np.int64)
    return Trajectory(stamps, np.tile(np.eye(4), (len(stamps), 1, 1)))


def test_a_subject_has_what_it_needs(tmp_path: Path) -> None:
    truth = still(0, 1, 2, 3, 4)
    subject = make_subject(tmp_path, Images(ground_truth=truth), None, 3, tmp_path / 'out')
    assert (subject.name, subject.count, subject.truth_note) == ('a_walk', 3, '')
    assert subject.truth is truth
    assert subject.facts['images'] == 5 and subject.facts['size'] == '32x24'


def test_without_truth_it_says_how_to_name_one(tmp_path: Path) -> None:
    subject = make_subject(tmp_path, Images(), None, None, tmp_path)
    assert subject.truth is None and subject.count == 5
    assert '--ground-truth-topic' in subject.truth_note


def test_a_file_of_truth_replaces_that_of_the_source(tmp_path: Path) -> None:
    truth = tmp_path / 'truth.txt'
    truth.write_text(format_tum(still(1, 2)))
    subject = make_subject(tmp_path, Images(ground_truth=still(0, 4)), TruthFile(truth), None, tmp_path)
    assert subject.truth is not None and subject.truth.stamps_ns.tolist() == [SECOND, 2 * SECOND]


def test_facts_change_with_data_and_truth_and_not_with_the_output(tmp_path: Path) -> None:
    out = tmp_path / 'out'
    out.mkdir()
    (tmp_path / 'image.png').write_bytes(b'1')
    first = make_subject(tmp_path, Images(), None, None, out).facts
    (out / 'run.json').write_text('{}')
    assert make_subject(tmp_path, Images(), None, None, out).facts == first
    assert make_subject(tmp_path, Images(ground_truth=still(0, 1)), None, None, out).facts != first
    (tmp_path / 'image.png').write_bytes(b'12')
    assert make_subject(tmp_path, Images(), None, None, out).facts != first


def test_one_image_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='found 1 image, expected at least two'):
        make_subject(tmp_path, Images(1), None, None, tmp_path)


def test_without_calibration_there_is_nothing_to_evaluate(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'found no calibration of the camera, .*--calibration YAML'):
        make_subject(tmp_path, Images(camera=None), None, None, tmp_path)


@pytest.mark.parametrize(
    ('truth', 'message'),
    [
        (
            still(100, 101),
            r'clocks do not overlap: found images from 0\.000 s to 4\.000 s, .* 100\.000 s to 101\.000 s',
        ),
        (still(-9, -8), 'clocks do not overlap'),
        (still(-0.5, 4.5), 'none of the 5 images .* found 2 poses .* with holes where the images are'),
        (still(), 'a ground truth without poses'),
    ],
)
def test_a_truth_that_says_nothing_of_the_images_is_refused(truth: Trajectory, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        make_subject(tmp_path, Images(ground_truth=truth), None, None, tmp_path)


def test_a_single_true_pose_will_do_to_begin_with() -> None:
    check_truth('walk', still(2), [0, SECOND, 2 * SECOND])


def test_subjects_of_one_name_are_told_apart(tmp_path: Path) -> None:
    subject = make_subject(tmp_path, Images(), None, None, tmp_path)
    assert [s.name for s in name_apart([subject, subject, subject])] == ['a_walk', 'a_walk_2', 'a_walk_3']
