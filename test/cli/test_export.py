# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tests of ``kp2d export``; the export itself is tested in inference.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kp2d_ros.cli.export import main
from kp2d_ros.core.errors import BackendError

pytest.importorskip('onnxscript')

from kp2d_ros.inference import export
from kp2d_ros.inference.onnx_file import OnnxMetadata


def fake_export(calls: Any) -> Callable[..., Any]:
    def export_onnx(checkpoint: Any, path: Path, height: int, width: int) -> Any:
        calls.append((checkpoint.info.name, path.name, height, width))
        info = checkpoint.info
        metadata = OnnxMetadata(info.model_id, info.is_trained, info.config, 8, height, width)
        differences = export.Differences(1.25e-7, 3.5e-5, 5e-8)
        return export.ExportReport(path, 2_750_000, metadata, differences)

    return export_onnx


def test_prints_what_was_written_and_how_far_it_is_from_torch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    calls = []
    monkeypatch.setattr(export, 'export_onnx', fake_export(calls))
    out = tmp_path / 'small.onnx'
    arguments = ['--method', 'untrained:compact-s', '--out', str(out), '--height', '240', '--width', '320']
    assert main(arguments) == 0
    assert calls == [('untrained-compact-s', 'small.onnx', 240, 320)]
    printed = capsys.readouterr().out
    for part in (
        'untrained-compact-s:',
        '(never trained)',
        str(out),
        '2.8 MB',
        '320x240',
        '64',
        '1.2e-07',
        '3.5e-05 px',
    ):
        assert part in printed


def test_without_a_size_the_file_takes_any(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(export, 'export_onnx', fake_export([]))
    assert main(['--method', 'untrained:compact-s', '--out', str(tmp_path / 'x.onnx')]) == 0
    assert 'any multiple of 8' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--method', 'v9', '--out', 'x.onnx'], "method: found 'v9'"),
        (['--method', 'sift', '--out', 'x.onnx'], 'method: found sift, which runs on opencv, expected a checkpoint'),
        (
            ['--method', 'untrained:compact-s', '--out', 'x.pt'],
            "--out: found 'x.pt', expected a name that ends in",
        ),
        (['--method', 'NETWORK', '--out', 'y.onnx'], "found 'torch' for"),
    ],
)
def test_refusals_are_one_line_and_status_one(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    network = tmp_path / 'exported.onnx'
    network.touch()
    assert main([str(network) if word == 'NETWORK' else word for word in arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ''
    assert err.startswith('error: ')
    assert err.count('\n') == 1
    assert message in err


def test_a_file_that_was_not_kept_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refuse(*_: Any) -> None:
        raise BackendError('x.onnx: is not kept')

    monkeypatch.setattr(export, 'export_onnx', refuse)
    assert main(['--method', 'untrained:compact-s', '--out', str(tmp_path / 'x.onnx')]) == 1
    assert 'is not kept' in capsys.readouterr().err
