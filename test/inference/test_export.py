# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tests of the export; one real export serves them all, since torch needs seconds for it.
"""

from __future__ import annotations

import dataclasses
import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kp2d_ros
from kp2d_ros.core.errors import BackendError, ConfigError, DataError

pytest.importorskip('onnxscript')

from kp2d_ros.inference import export
from kp2d_ros.inference.export import TOLERANCE, Differences, check_differences, export_onnx
from kp2d_ros.inference.onnx_file import read_onnx_file


def test_the_exported_network_gives_the_same_keypoints(exported: Any) -> None:
    assert exported.differences.score < 1e-5
    assert exported.differences.xy_px < 1e-3
    assert exported.differences.descriptor < 1e-5


def test_reports_what_was_written(exported: Any, checkpoint: Any) -> None:
    assert exported.metadata.model_id == checkpoint.info.model_id
    assert exported.byte_count == exported.path.stat().st_size > 1000
    assert (
        exported.metadata.height,
        exported.metadata.width,
        exported.metadata.size_multiple,
        exported.metadata.config.descriptor_dim,
    ) == (0, 0, 8, 16)


def test_the_file_stands_alone(exported: Any) -> None:
    read_onnx_file(exported.path)
    assert [p.name for p in exported.path.parent.iterdir()] == ['tiny.onnx']


def test_other_weights_under_the_same_graph_are_noticed(exported: Any, checkpoint: Any) -> None:
    state = {k: v + 0.05 if k == 'convPb.bias' else v for k, v in checkpoint.state.items()}
    found = export.compare(dataclasses.replace(checkpoint, state=state), exported.path)
    assert found.xy_px > 0.1
    assert found.score < 1e-5
    with pytest.raises(BackendError, match='is not kept'):
        check_differences(exported.path, found)


@pytest.mark.parametrize('name', ['score', 'xy_px', 'descriptor'])
@pytest.mark.parametrize('value', [0.2, np.inf, np.nan])
def test_refuses_any_difference_above_its_tolerance(tmp_path: Path, name: str, value: Any) -> None:
    check_differences(tmp_path, TOLERANCE)
    with pytest.raises(BackendError, match='expected at most'):
        check_differences(tmp_path, dataclasses.replace(TOLERANCE, **{name: value}))


def test_a_file_that_differs_is_not_kept(
    tmp_path: Path, checkpoint: Any, exported: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    monkeypatch.setattr(export, '_traced', lambda *_: without_metadata(onnx.load(exported.path)))
    monkeypatch.setattr(export, 'compare', lambda *_: Differences(0, 5, 0))
    with pytest.raises(BackendError, match='5 px'):
        export_onnx(checkpoint, tmp_path / 'bad.onnx')
    assert list(tmp_path.iterdir()) == []


def without_metadata(model: Any) -> Any:
    del model.metadata_props[:]
    return model


@pytest.mark.parametrize(('height', 'width'), [(48, 0), (48, 60), (-8, 8)])
def test_refuses_sizes_that_the_network_cannot_take(tmp_path: Path, checkpoint: Any, height: int, width: int) -> None:
    with pytest.raises(ConfigError, match='multiples of 8'):
        export_onnx(checkpoint, tmp_path / 'x.onnx', height, width)


def test_refuses_a_folder_that_cannot_be_written_before_any_work(
    tmp_path: Path, checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, '_traced', lambda *_: pytest.fail('traced'))
    monkeypatch.setattr(Path, 'touch', read_only)
    with pytest.raises(DataError, match=r'x\.onnx: cannot be written: Read-only file system'):
        export_onnx(checkpoint, tmp_path / 'x.onnx')
    assert list(tmp_path.iterdir()) == []


def read_only(*_: Any) -> None:
    raise OSError(errno.EROFS, 'Read-only file system')


def test_the_file_does_not_tell_where_it_was_made(exported: Any) -> None:
    content = exported.path.read_bytes()
    assert str(Path(kp2d_ros.__file__).parent).encode() not in content
    assert b'site-packages' not in content and b'stack_trace' not in content
