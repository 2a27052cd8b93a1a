# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The sequences of an evaluation, and whether they can be scored at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kp2d_ros.core.errors import DataError
from kp2d_ros.core.records import Float64Array
from kp2d_ros.core.trajectories import Trajectory
from kp2d_ros.evaluation.fingerprint import hash_bytes, hash_source, hash_trajectory
from kp2d_ros.metrics.pose_error import interpolate_poses
from kp2d_ros.recordings.sequence import SequenceReader
from kp2d_ros.recordings.text_tables import read_truth_file

_NO_TRUTH = (
    'the source has no ground truth; a topic of a bag is named with --ground-truth-topic, a file with --ground-truth'
)


@dataclass(frozen=True, slots=True)
class TruthFile:
    """
    Where the true poses of a sequence are, if not in the sequence: see
    :func:`kp2d_ros.recordings.truth_file.read_truth_file`.
    """

    path: Path
    times: Path | None = None
    frame_from_camera: Float64Array | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """
    A sequence that methods are tried on: ``name`` is also that of its folder, ``facts`` say which data it is.

    ``count`` is the number of images that take part. ``truth_note`` says why there is no ground truth, and is empty
    where there is.
    """

    name: str
    source: str
    sequence: SequenceReader
    count: int
    truth: Trajectory | None
    truth_note: str
    facts: Mapping[str, Any]


def make_subject(
    source: Path,
    sequence: SequenceReader,
    truth_file: TruthFile | None,
    max_frames: int | None,
    output: Path,
) -> Subject:
    """
    A sequence with its ground truth, which is that of the file if one is given.

    :param output: folder that the evaluation writes to, which is no part of the source.
    :raises DataError: if there is nothing to evaluate: one image, no calibration, a truth that does not fit.
    """
    count = len(sequence) if max_frames is None else min(max_frames, len(sequence))
    if len(sequence) < 2:
        raise DataError(f'{source}: found {len(sequence)} image, expected at least two: a motion is between two')
    if sequence.camera is None:
        raise DataError(
            f'{source}: found no calibration of the camera, expected one: without it there are no poses to evaluate '
            '(--calibration YAML)'
        )
    truth = sequence.ground_truth
    if truth is not None or truth_file is not None:
        stamps_ns = _image_stamps(sequence)
        if truth_file is not None:
            truth = read_truth_file(
                truth_file.path, stamps_ns, times=truth_file.times, frame_from_camera=truth_file.frame_from_camera
            )
        if truth is not None:
            check_truth(str(source), truth, stamps_ns[:count])
    camera = sequence.camera
    lens = f'{camera.width} {camera.height} {camera.lens.value}'
    facts = {
        'images': len(sequence),
        'size': f'{camera.width}x{camera.height}',
        'files': hash_source(source, output),
        'camera': hash_bytes(lens.encode(), camera.matrix.tobytes(), camera.coefficients.tobytes()),
        'truth': hash_trajectory(truth),
        **_partner_facts(sequence),
    }
    name = re.sub(r'[^A-Za-z0-9._-]+', '_', sequence.name).strip('._') or 'sequence'
    return Subject(name, str(source), sequence, count, truth, '' if truth is not None else _NO_TRUTH, facts)


def _partner_facts(sequence: SequenceReader) -> dict[str, Any]:
    """
    What is beside the images, by the first of them: a right image and where its camera is, or depth in metres.
    """
    frame = next(iter(sequence))
    if frame.right is not None:
        camera, pose = frame.right.camera, frame.right.left_from_right
        parts = [frame.right.image.tobytes(), b'' if pose is None else pose.tobytes()]
        parts += [] if camera is None else [camera.matrix.tobytes(), camera.coefficients.tobytes()]
        return {'right camera': hash_bytes(*parts)}
    return {} if frame.depth is None else {'depth': hash_bytes(frame.depth.metres.tobytes())}


def name_apart(subjects: Iterable[Subject]) -> list[Subject]:
    """
    The subjects with a number behind each name that several share.
    """
    seen: Counter[str] = Counter()
    named = []
    for subject in subjects:
        seen[subject.name] += 1
        number = seen[subject.name]
        named.append(subject if number == 1 else replace(subject, name=f'{subject.name}_{number}'))
    return named


def check_truth(name: str, truth: Trajectory, stamps_ns: Sequence[int]) -> None:
    """
    Refuse ground truth that says nothing of the images.

    :raises DataError: saying how the clocks differ, or that the truth has holes where the images are.
    """
    if not len(truth):
        raise DataError(f'{name}: found a ground truth without poses, expected some')
    stamps = np.array(sorted(stamps_ns), np.int64)
    if np.isfinite(interpolate_poses(truth, stamps)).all(axis=(1, 2)).any():
        return
    images, poses = (f'{t[0] * 1e-9:.3f} s to {t[-1] * 1e-9:.3f} s' for t in (stamps, truth.stamps_ns))
    if stamps[-1] < truth.stamps_ns[0] or truth.stamps_ns[-1] < stamps[0]:
        raise DataError(f'{name}: the clocks do not overlap: found images from {images}, ground truth from {poses}')
    raise DataError(
        f'{name}: none of the {len(stamps)} images ({images}) has ground truth at its time: '
        f'found {len(truth)} poses ({poses}) with holes where the images are'
    )


def _image_stamps(sequence: SequenceReader) -> list[int]:
    """
    The times of all images; where they are not known, as in a bag, it is read once for them.
    """
    known = getattr(sequence, 'stamps_ns', None)
    return list(known) if known is not None else [frame.stamp_ns for frame in islice(sequence, len(sequence))]
