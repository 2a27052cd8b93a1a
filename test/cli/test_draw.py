# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
``kp2d draw`` from images to pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.cli.draw import main


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """
    Five views of one texture, each shifted by 4 pixels.
    """
    noise = np.random.default_rng(3).integers(0, 256, (120, 180, 3), np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX)
    folder = tmp_path / 'views'
    folder.mkdir()
    for i in range(5):
        cv2.imwrite(str(folder / f'{i}.png'), texture[:, 4 * i : 4 * i + 160])
    return folder


def test_an_image_becomes_a_picture_twice_its_size_with_a_caption(
    images: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'new' / 'picture.jpg'
    assert main([str(images / '0.png'), '--method', 'orb', '--out', str(out)]) == 0
    height, width = cv2.imread(str(out)).shape[:2]
    assert width == 320 and 240 < height < 340
    assert str(out) in capsys.readouterr().out


def test_the_scores_of_a_network_stand_beside_its_keypoints(images: Any, tmp_path: Path) -> None:
    pytest.importorskip('torch')
    assert main([str(images / '0.png'), '--method', 'untrained:compact-n', '--out', str(tmp_path)]) == 0
    assert cv2.imread(str(tmp_path / '0.png')).shape[1] == 2 * 320


def test_a_pair_is_matched_as_the_frontend_does(
    images: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(images / '0.png'), str(images / '1.png'), '--out', str(tmp_path), '--ransac', 'homography']
    assert main(command) == 0
    strict = capsys.readouterr().out
    assert main([*command, 'matching.ratio=0.0']) == 0
    assert '0_1.png: ' in strict and ' agree with one homography' in strict
    assert ', 0 matches, 0 agree' in capsys.readouterr().out


def test_every_second_frame_of_a_folder_is_drawn(
    images: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'tracks'
    assert main([str(images), '--out', str(out), '--every', '2', '--quiet']) == 0
    assert sorted(path.name for path in out.iterdir()) == [f'frame_00000{i}.jpg' for i in (0, 2, 4)]
    assert '3 pictures' in capsys.readouterr().out


def test_what_is_masked_is_shaded(images: Any, tmp_path: Path) -> None:
    words = [str(images), '--method', 'orb', '--max-frames', '1', '--quiet']
    assert main([*words, '--out', str(tmp_path / 'plain')]) == 0
    assert main([*words, '--out', str(tmp_path / 'masked'), 'mask_border_px=[16,0,0,0]']) == 0
    plain, masked = (cv2.imread(str(tmp_path / name / 'frame_000000.jpg'))[50:110] for name in ('plain', 'masked'))
    redness = [np.median(picture[:, :12, 2].astype(int) - picture[:, :12, 0]) for picture in (plain, masked)]
    assert redness[1] > redness[0] + 30


def test_a_video_becomes_a_video(images: Any, tmp_path: Path) -> None:
    first, second = tmp_path / 'first.avi', tmp_path / 'second.mp4'
    assert main([str(images), '--out', str(first), '--max-frames', '3', '--quiet']) == 0
    assert main([str(first), '--out', str(second), '--alone', '--method', 'orb', '--quiet']) == 0
    assert cv2.VideoCapture(str(second)).get(cv2.CAP_PROP_FRAME_COUNT) == 3


@pytest.mark.parametrize('option', ['--threshold-px=-1', '--every=0', '--max-frames=-3', '--max-frames=0', '--fps=nan'])
def test_numbers_that_are_none_are_refused_by_the_parser(option: str, images: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match='2'):
        main([str(images), '--out', str(tmp_path / 'out'), option])
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('size', [(1, 1), (1, 2)])
@pytest.mark.parametrize('method', ['kp2d', 'sift', 'orb'])
def test_the_smallest_image_is_drawn(size: tuple[int, int], method: str, tmp_path: Path) -> None:
    pytest.importorskip('onnxruntime')
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros(size, np.uint8))
    assert main([str(tmp_path / 'a.png'), '--method', method, '--out', str(tmp_path / 'out.png')]) == 0
    assert main([str(tmp_path), '--method', method, '--out', str(tmp_path / 'frames'), '--quiet']) == 0
    assert cv2.imread(str(tmp_path / 'frames' / 'frame_000000.jpg')) is not None


def test_what_was_drawn_before_ctrl_c_is_kept(
    images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = []

    def interrupt(frame: Any, result: Any, title: Any) -> NDArray[Any]:
        drawn.append(frame)
        if len(drawn) == 4:
            raise KeyboardInterrupt
        return np.zeros((48, 64, 3), np.uint8)

    monkeypatch.setattr('kp2d_ros.cli.draw.draw_tracks', interrupt)
    assert main([str(images), '--method', 'orb', '--out', str(tmp_path / 'a.avi'), '--quiet']) == 130
    assert cv2.VideoCapture(str(tmp_path / 'a.avi')).get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert '3 pictures' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['0.png', '--method', 'sfit'], "found 'sfit', which is no file, did you mean sift?"),
        (['0.png', '--method', 'untrained:compact-z'], "found 'compact-z', did you mean compact-"),
        (['0.png', 'matching.ration=0.8'], 'did you mean matching.ratio?'),
        (['nowhere.png'], 'nowhere.png'),
        (['nowhere'], 'nowhere: does not exist'),
        (['0.png', '.'], 'is not an image file; expected two images, or one bag, video or folder'),
        (['0.png', '1.png', '2.png'], 'found 3 paths, expected one, or two images'),
        (['0.png', '--out', 'a.mp4'], 'found the name of a video for one picture'),
        (['0.png', '--out', 'a.docx'], 'expected a name that ends in .png or .jpg'),
        (['.', '--out', 'a.png'], 'found the name of one picture for many'),
        (['.', '--image-topic', '/a'], "image topic: found '/a' for ."),
    ],
)
def test_refuses_in_one_line(
    images: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    pytest.importorskip('torch')
    monkeypatch.chdir(images)
    assert main(['--quiet', *(arguments if '--out' in arguments else [*arguments, '--out', 'out'])]) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ') and message in error and error.count('\n') == 1


@pytest.mark.parametrize(
    ('inputs', 'option'),
    [
        (['0.png'], '--image-topic=/x'),
        (['0.png', '1.png'], '--max-frames=2'),
        (['0.png'], '--ransac=homography'),
        ([''], '--ransac=homography'),
    ],
)
def test_an_option_of_another_kind_of_input_is_refused(
    inputs: list[str], option: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out'
    assert main([*(str(images / name) for name in inputs), option, '--method', 'orb', '--out', str(out)]) == 1
    assert f'error: {option.partition("=")[0]}: found for ' in capsys.readouterr().err and not out.exists()
