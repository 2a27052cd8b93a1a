# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d evaluate inlier`` on a photograph and a tiny network.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.cli.evaluate_inlier import main
from kp2d_ros.core.files import claim_folder

torch = pytest.importorskip('torch')
pytest.importorskip('matplotlib')

from kp2d_ros.networks.build import build_network  # noqa: E402
from kp2d_ros.networks.checkpoint import checkpoint_from_network, save_checkpoint  # noqa: E402
from kp2d_ros.networks.config import NetworkConfig  # noqa: E402
from kp2d_ros.networks.inlier_net import (  # noqa: E402
    InlierConfig,
    InlierNet,
    save_inlier_net,
)

TINY = NetworkConfig(
    channels=(4, 4, 8, 8), head_channels=8, upsample_channels=4, tail_channels=8, descriptor_dim=16, input_scale=4.0
)
SMALL = ['width=96', 'height=64', 'keypoints=60', 'iterations=[10]', 'runs=2', 'synthetic.pairs=2', '--quiet']


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """
    A folder with a photograph, and one with a network and its IO-Net.
    """
    folder = tmp_path_factory.mktemp('data')
    (folder / 'photos').mkdir()
    noise = np.random.default_rng(1).integers(0, 256, (96, 128, 3), np.uint8)
    cv2.imwrite(str(folder / 'photos' / 'a.png'), cv2.GaussianBlur(noise, (0, 0), 1.5))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        checkpoint = checkpoint_from_network(build_network(TINY), 'tiny', is_trained=True)
        inlier_net = InlierNet(InlierConfig(channels=8, blocks=1))
    save_checkpoint(folder / 'best.safetensors', checkpoint)
    save_inlier_net(folder / 'best_inlier.safetensors', inlier_net, checkpoint.info.model_id)
    return folder


def test_leaves_two_reports_and_says_what_they_say(
    data: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(data / 'photos'), '--method', str(data / 'best.safetensors'), '--out', str(tmp_path)]
    assert main([*command, *SMALL, 'matching.ratio=1', 'matching.max_distance=2']) == 0
    shown = capsys.readouterr().out
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['dataset']['pairs'] == 2 and report['classifier']['match_count'] > 10
    assert len(report['sampling']) == 6
    assert all(sentence in shown for sentence in report['verdict'])
    assert report['verdict'][0] in (tmp_path / 'report.html').read_text()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--method', 'sift'], 'expected a network of this package, which has an IO-Net'),
        (['--inlier-model', 'gone.safetensors'], 'gone.safetensors: cannot be read'),
        (['matching.ration=1'], 'did you mean matching.ratio?'),
        (['iterations=[1]'], 'iterations'),
    ],
)
def test_refuses_in_one_line(
    data: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    command = [str(data / 'photos'), '--method', str(data / 'best.safetensors'), '--out', str(tmp_path)]
    assert main([*command, *SMALL, *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ') and message in error and error.count('\n') == 1


def test_a_folder_that_another_run_writes_into_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(data / 'photos'), '--method', str(data / 'best.safetensors'), '--out', str(tmp_path)]
    with claim_folder(tmp_path):
        assert main([*command, *SMALL]) == 1
    assert 'another run is writing into this folder' in capsys.readouterr().err
