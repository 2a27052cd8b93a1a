# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Pictures of keypoints and matches: what is drawn where, what the legend says, and where the files go.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.records import Keypoints, Matches
from kp2d_ros.drawing.caption import LegendEntry, add_caption
from kp2d_ros.drawing.files import open_sink, write_picture
from kp2d_ros.drawing.keypoints import draw_keypoints, draw_pair, draw_scores, score_colors, score_legend
from kp2d_ros.drawing.matches import INLIER, OUTLIER, MatchedPair, agreeing_matches, draw_matches, match_legend


def keypoints_at(xy: NDArray[Any]) -> Keypoints:
    xy = np.array(xy, np.float32).reshape(-1, 2)
    descriptors = np.eye(max(len(xy), 1), dtype=np.float32)[: len(xy)]
    return Keypoints(xy, np.linspace(1, 0.5, len(xy), dtype=np.float32), descriptors)


def all_matched(count: int) -> Matches:
    rows = np.arange(count)
    return Matches(rows, rows, np.linspace(1, 0, count, dtype=np.float32))


def colored(picture: NDArray[Any], color: Any) -> Any:
    """
    (row, column) of the pixels that are nearly of a colour.
    """
    return np.argwhere(np.abs(picture.astype(int) - color).max(axis=2) < 40)


def test_a_caption_is_under_the_picture_and_shows_the_colors() -> None:
    picture = np.full((50, 300, 3), 7, np.uint8)
    made = add_caption(picture, 'title', [LegendEntry('good', ((10, 200, 30),)), LegendEntry('bad', ((220, 10, 20),))])
    assert (made[:50] == picture).all() and made.shape[0] > 70 and made.shape[1] == 300
    assert len(colored(made, (10, 200, 30))) > 50 and len(colored(made, (220, 10, 20))) > 50


def test_a_long_caption_is_broken_into_lines() -> None:
    picture = np.zeros((20, 200, 3), np.uint8)
    short, long = (add_caption(picture, 'a keypoint ' * count) for count in (1, 12))
    assert long.shape[0] > short.shape[0] + 3 * 9
    dark = np.argwhere(long[20:].max(axis=2) < 100)
    assert dark[:, 1].max() < 199  # nothing is cut off at the edge


def test_scores_are_colored_by_rank() -> None:
    colors = score_colors(np.array([0.2, 0.9, 0.1], np.float32))
    assert colors.tolist() == [[159.5, 159.5, 64], [64, 255, 64], [255, 64, 64]]


def test_keypoints_of_a_gray_image_land_where_they_are_in_a_larger_picture() -> None:
    drawn = draw_keypoints(np.zeros((40, 60), np.uint8), keypoints_at([[30, 10]]), factor=2.0)
    marked = np.argwhere(drawn.max(axis=2) > 100)
    assert drawn.shape == (80, 120, 3)
    assert np.abs(marked.mean(axis=0) - (20.5, 60.5)).max() < 0.5


def test_the_legend_names_the_range_of_the_scores() -> None:
    (entry,) = score_legend(0.25, 0.5)
    assert entry.text == 'score map, from 0.25 to 0.5'
    assert entry.colors[0] != entry.colors[-1] and sum(entry.colors[0]) < 30 < sum(entry.colors[-1])


def test_matches_join_the_two_images() -> None:
    images = np.zeros((60, 80), np.uint8), np.zeros((40, 90, 3), np.uint8)
    keypoints = keypoints_at([[20, 10], [20, 30]]), keypoints_at([[70, 10], [70, 30]])
    pair = MatchedPair(images, keypoints, all_matched(2), np.array([True, False]))
    drawn = draw_matches(pair)
    assert drawn.shape == (60, 80 + 6 + 90, 3)
    for color, row in ((INLIER, 10), (OUTLIER, 30)):
        places = colored(drawn, color)
        assert abs(places[:, 0].mean() - row) < 1
        assert (places[:, 1] < 30).any() and (places[:, 1] > 86 + 60).any()
    assert [entry.text for entry in match_legend(pair)][:2] == ['1 matches that agree', '1 that do not']


def test_a_probability_colors_the_matches_rather_than_their_distance() -> None:
    image, keypoints = np.zeros((60, 80), np.uint8), keypoints_at([[20, 10], [20, 40]])
    pair = MatchedPair((image, image), (keypoints, keypoints), all_matched(2), None, np.array([0.1, 0.9], np.float32))
    best = colored(draw_matches(pair), (64, 255, 64))
    assert len(best) and (best[:, 0] > 30).all()
    assert match_legend(pair)[0].text.endswith('probability (IO-Net)')


@pytest.mark.parametrize('model', ['homography', 'fundamental'])
def test_matches_that_share_a_motion_agree(model: str, rng: np.random.Generator) -> None:
    first = rng.uniform(0, 300, (40, 2))
    second = first + rng.uniform(8, 30, (40, 1)) * (1, 0) if model == 'fundamental' else first * 1.1 + (5, 8)
    second[:8] += rng.uniform(25, 60, (8, 2))
    agree = agreeing_matches((keypoints_at(first), keypoints_at(second)), all_matched(40), model, 1.0)
    assert agree[8:].mean() > 0.95 and agree[:8].mean() < 0.3


def test_too_few_matches_agree_on_nothing() -> None:
    few = keypoints_at([[1, 2], [30, 4], [5, 60]])
    assert not agreeing_matches((few, few), all_matched(3), 'homography', 3.0).any()
    with pytest.raises(ConfigError, match='expected one of homography, fundamental'):
        agreeing_matches((few, few), all_matched(3), 'affine', 3.0)


def test_no_match_at_all_can_be_drawn() -> None:
    image, nothing = np.zeros((30, 40), np.uint8), keypoints_at([])
    pair = MatchedPair((image, image), (nothing, nothing), Matches.empty())
    assert draw_matches(pair).shape == (30, 86, 3)


@pytest.mark.parametrize('suffix', ['.avi', '.mp4'])
def test_a_video_holds_every_picture(tmp_path: Path, suffix: str) -> None:
    with open_sink(tmp_path / 'new' / f'clip{suffix}', 5.0) as add:
        for level in (50, 120, 190):
            add('frame', np.full((49, 65, 3), (level, 0, 0), np.uint8))  # odd sides
    video = cv2.VideoCapture(str(tmp_path / 'new' / f'clip{suffix}'))
    shades = [round(float(found[1][..., 2].mean()), -1) for found in iter(video.read, (False, None))]
    assert shades == [50, 120, 190]


def test_a_video_refuses_a_picture_of_another_size(tmp_path: Path) -> None:
    with open_sink(tmp_path / 'clip.avi', 5.0) as add:
        add('one', np.zeros((48, 64, 3), np.uint8))
        with pytest.raises(DataError, match=r'found a picture of 32x48 \(two\), expected 64x48'):
            add('two', np.zeros((48, 32, 3), np.uint8))


@pytest.mark.parametrize('name', ['clip.avi', 'clip.mp4', 'folder'])
def test_a_full_disk_leaves_nothing_that_is_cut(
    tmp_path: Path, rng: np.random.Generator, name: str, disk_that_holds: Callable[[int], AbstractContextManager[None]]
) -> None:
    error = pytest.raises(DataError, match=f'{name}.*: cannot be written')
    with error, disk_that_holds(20_000), open_sink(tmp_path / name, 5.0) as add:
        for _ in range(5):
            add('noise', rng.integers(0, 256, (240, 320, 3), dtype=np.uint8))
    assert not any(path.is_file() for path in tmp_path.rglob('*'))


def test_two_runs_do_not_draw_into_one_folder(tmp_path: Path) -> None:
    with (
        open_sink(tmp_path / 'out', 5.0),
        pytest.raises(DataError, match='another run'),
        open_sink(tmp_path / 'out', 5.0),
    ):
        pass


@pytest.mark.parametrize('size', [(1, 1), (1, 2), (3, 400)])
def test_a_picture_of_any_size_can_have_a_caption(size: tuple[int, int]) -> None:
    legend = [LegendEntry('a scale of colours that needs room', ((255, 0, 0), (0, 255, 0))), LegendEntry('words')]
    drawn = add_caption(np.zeros((*size, 3), np.uint8), 'a title', legend)
    assert drawn.shape[0] > size[0] and drawn.shape[1] >= size[1]


def test_names_of_no_known_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='cannot write pictures of this kind'):
        write_picture(tmp_path / 'a.docx', np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match='found the name of one picture for many'), open_sink(tmp_path / 'a.png', 5.0):
        pass


def test_images_of_one_pixel_can_be_drawn() -> None:
    image, found = np.zeros((1, 1), np.uint8), keypoints_at([[0, 0]])
    for factor in (0.5, 1.0, 2.0):
        assert draw_keypoints(image, found, factor=factor).size
        assert draw_matches(MatchedPair((image, image), (found, found), all_matched(1)), factor).size
    assert draw_scores(np.zeros((1, 1), np.float32), (1, 1)).shape == (1, 1, 3)


def test_keypoints_are_drawn_where_they_are_and_the_best_are_green() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    keypoints = Keypoints(np.float32([[10, 20], [45, 8]]), np.float32([0.9, 0.1]), np.zeros((2, 4), np.float32))
    drawn = draw_keypoints(image, keypoints)
    assert not image.any()
    rows, columns = np.nonzero(drawn.any(axis=2))
    assert set(zip(rows, columns, strict=True)) and all(
        min(np.hypot(x - 10, y - 20), np.hypot(x - 45, y - 8)) < 4 for y, x in zip(rows, columns, strict=True)
    )
    best, worst = drawn[16:25, 6:15].reshape(-1, 3).sum(axis=0), drawn[4:13, 41:50].reshape(-1, 3).sum(axis=0)
    assert best[1] > best[0] and worst[0] > worst[1]
    assert np.array_equal(draw_keypoints(image, keypoints, count=0), image)


def test_scores_are_drawn_cell_by_cell() -> None:
    picture = draw_scores(np.float32([[0.0, 1.0], [0.5, 2.0]]), (16, 8))
    assert picture.shape == (8, 16, 3)
    light = picture.astype(int).sum(axis=2)
    assert light[0, 0] < light[4, 0] < light[0, 8] == light[4, 8]


def test_a_pair_is_drawn_side_by_side() -> None:
    image, keypoints = np.zeros((16, 24, 3), np.uint8), keypoints_at([])
    picture = draw_pair((image, image), (keypoints, keypoints), (np.zeros((2, 3), np.float32),) * 2)
    assert picture.shape == (16, 4 * 24, 3) and picture.dtype == np.uint8
