# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from kp2d_ros.cli.simulate import main
from kp2d_ros.recordings.sources import open_sequence
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence

SMALL = ['frames=3', 'width=96', 'height=64', 'samples=1']


def interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def test_the_bag_holds_the_simulated_sequence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip('rosbags', reason='rosbags is not installed (extra: bags)')
    assert main([*SMALL, '--out', str(tmp_path / 'bag'), 'lens=equidistant', 'distortion=[0.01, 0, 0, 0]']) == 0
    assert '3 images' in capsys.readouterr().out
    bag = open_sequence(tmp_path / 'bag', ground_truth_topic='/ground_truth')
    scene = SceneConfig(frames=3, width=96, height=64, samples=1, lens='equidistant', distortion=(0.01, 0.0, 0.0, 0.0))
    for found, expected in zip(bag, SimulatedSequence(scene), strict=True):
        np.testing.assert_array_equal(found.image, expected.image)
        assert found.stamp_ns == expected.stamp_ns
        assert found.camera is not None and expected.camera is not None
        np.testing.assert_allclose(found.camera.coefficients, expected.camera.coefficients)
    assert bag.ground_truth is not None and len(bag.ground_truth) == 3


def test_the_settings_are_listed_with_what_they_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--list', 'frames=7']) == 0
    shown = capsys.readouterr().out
    assert 'frames=7' in shown and 'number of images' in shown


def test_a_bag_that_exists_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip('rosbags', reason='rosbags is not installed (extra: bags)')
    (tmp_path / 'bag').mkdir()
    (tmp_path / 'bag' / 'mine').write_text('precious')
    assert main([*SMALL, '--out', str(tmp_path / 'bag')]) == 1
    assert str(tmp_path / 'bag') in capsys.readouterr().err
    assert (tmp_path / 'bag' / 'mine').read_text() == 'precious'


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('ending', ['Ctrl-C', 'full disk'])
def test_what_ends_early_leaves_nothing_and_the_next_run_writes(
    ending: str,
    storage: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    disk_that_holds: Callable[[int], AbstractContextManager[None]],
) -> None:
    pytest.importorskip('rosbags', reason='rosbags is not installed (extra: bags)')
    command = [*SMALL, '--out', str(tmp_path / 'bag'), '--storage', storage]
    with monkeypatch.context() as patched:
        if ending == 'Ctrl-C':
            patched.setattr(SimulatedSequence, 'render', interrupt)
            assert main(command) == 130
        else:
            with disk_that_holds(30_000):
                assert main(command) == 1
            error = capsys.readouterr().err
            assert 'bag: cannot be written' in error and error.count('\n') == 1
    assert list(tmp_path.iterdir()) == []
    assert main(command) == 0
    assert len(open_sequence(tmp_path / 'bag')) == 3


@pytest.mark.parametrize(
    ('words', 'message'),
    [(['frame=3'], 'did you mean frames?'), (['frames=0'], 'frames: found 0'), ([], '--out: found none')],
)
def test_what_cannot_be_simulated_is_one_line_and_status_1(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1


@pytest.mark.parametrize(
    ('sensor', 'topic'), [('stereo', '/stereo/right/image_raw'), ('rgbd', '/camera/depth/image_raw')]
)
def test_a_bag_of_metres_says_where_they_are(
    sensor: str, topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('rosbags', reason='rosbags is not installed (extra: bags)')
    assert main([*SMALL, '--sensor', sensor, '--out', str(tmp_path / 'bag')]) == 0
    assert topic in capsys.readouterr().out
    assert topic in (tmp_path / 'bag' / 'metadata.yaml').read_text()


def test_the_option_and_the_setting_of_the_sensor_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (['--sensor', 'rgbd'], ['sensor=rgbd']):
        assert main(['--list', *words]) == 0
        assert 'sensor=rgbd' in capsys.readouterr().out
