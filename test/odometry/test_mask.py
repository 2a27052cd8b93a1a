# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Where keypoints may not be: masks of any size, borders, and what is no mask.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.records import Frame, Keypoints, TrackingState
from kp2d_ros.odometry.frontend import Frontend, FrontendConfig
from kp2d_ros.odometry.mask import KeypointMask, load_mask

if TYPE_CHECKING:
    from test.odometry.conftest import Player, Scene

NO_BORDER = (0, 0, 0, 0)


def write(path: Path, image: NDArray[Any]) -> str:
    assert cv2.imwrite(str(path), image)
    return str(path)


def grid(width: int, height: int) -> NDArray[Any]:
    """
    All pixels of an image, row by row.
    """
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 2).astype(np.float32)


def test_a_pixel_allows_keypoints_where_the_mask_is_not_black(tmp_path: Path, rng: np.random.Generator) -> None:
    image = rng.choice(np.array([0, 1, 255], np.uint8), (7, 9))
    mask = load_mask(write(tmp_path / 'mask.png', image), NO_BORDER)
    np.testing.assert_array_equal(mask.allows(grid(9, 7), (7, 9)).reshape(7, 9), image > 0)
    nearly_outside = np.array([[-0.49, -0.49], [8.49, 6.49]], np.float32)
    np.testing.assert_array_equal(mask.allows(nearly_outside, (7, 9)), [image[0, 0] > 0, image[6, 8] > 0])


@pytest.mark.parametrize('factor', [0.5, 2, 3])
def test_a_mask_of_another_size_is_that_of_the_resized_image(tmp_path: Path, factor: float) -> None:
    image = np.zeros((40, 60), np.uint8)
    image[10:30, 20:50] = 255
    mask = load_mask(write(tmp_path / 'mask.png', image), NO_BORDER)
    size = (round(40 * factor), round(60 * factor))
    allowed = mask.allows(grid(size[1], size[0]), size).reshape(size)
    np.testing.assert_array_equal(allowed, cv2.resize(image, size[::-1], interpolation=cv2.INTER_NEAREST) > 0)


def test_borders_are_widths_at_left_top_right_and_bottom() -> None:
    mask = KeypointMask(None, (2, 3, 4, 1))
    allowed = mask.allows(grid(20, 10), (10, 20)).reshape(10, 20)
    expected = np.zeros((10, 20), bool)
    expected[3:9, 2:16] = True
    np.testing.assert_array_equal(allowed, expected)


def test_borders_are_pixels_of_the_image_as_it_came() -> None:
    mask = KeypointMask(None, (4, 0, 0, 6))
    allowed = mask.allows(grid(20, 10), (10, 20), np.array([0.5, 0.5])).reshape(10, 20)
    assert (allowed[:, :2].any(), allowed[:, 2:].all(axis=1).tolist()) == (False, [True] * 7 + [False] * 3)


def test_without_mask_and_border_everything_is_allowed() -> None:
    mask = load_mask('', NO_BORDER)
    assert mask.is_empty
    assert mask.allows(grid(5, 4), (4, 5)).all()
    assert mask.allows(np.empty((0, 2), np.float32), (4, 5)).shape == (0,)


def test_a_keypoint_without_place_is_allowed_nowhere() -> None:
    places = np.array([[np.nan, 3.0], [3.0, 3.0]], np.float32)
    assert KeypointMask(np.ones((10, 10), np.bool_)).allows(places, (10, 10)).tolist() == [False, True]


@pytest.mark.parametrize('kind', ['16 bits', 'colour', 'transparent', 'jpeg'])
def test_masks_may_be_images_of_any_kind(tmp_path: Path, kind: str) -> None:
    allowed = np.zeros((48, 64), np.bool_)
    allowed[:, 20:] = True
    gray = np.where(allowed, 255, 0).astype(np.uint8)
    images = {
        '16 bits': ('mask.png', allowed.astype(np.uint16)),
        'colour': ('mask.png', cv2.merge([gray, gray, gray])),
        'transparent': ('mask.png', cv2.merge([gray, gray, gray, 255 - gray])),
        'jpeg': ('mask.jpg', gray),
    }
    name, image = images[kind]
    mask = load_mask(write(tmp_path / name, image), NO_BORDER)
    np.testing.assert_array_equal(mask.allows(grid(64, 48), (48, 64)).reshape(48, 64), allowed)


def test_refuses_what_is_no_mask_and_says_why(tmp_path: Path) -> None:
    (tmp_path / 'text.png').write_text('no image')
    (tmp_path / 'empty.png').touch()
    black = write(tmp_path / 'black.png', np.zeros((4, 4), np.uint8))
    with pytest.raises(ConfigError, match=r'mask: .*absent\.png: cannot be read: No such file'):
        load_mask(str(tmp_path / 'absent.png'), NO_BORDER)
    with pytest.raises(ConfigError, match='cannot be read: Is a directory'):
        load_mask(str(tmp_path), NO_BORDER)
    for name in ('text.png', 'empty.png'):
        with pytest.raises(ConfigError, match=rf'mask: .*{name}: found no image, expected a PNG'):
            load_mask(str(tmp_path / name), NO_BORDER)
    with pytest.raises(ConfigError, match=r'black\.png: found an image that is black everywhere'):
        load_mask(black, NO_BORDER)
    with pytest.raises(ConfigError, match=r'cannot be read: embedded null byte'):
        load_mask('a\0b', NO_BORDER)
    with pytest.raises(ConfigError, match=r'mask_border_px: found \[1, 2\], expected left, top, right and bottom'):
        load_mask('', (1, 2))
    with pytest.raises(ConfigError, match=r'mask_border_px\[2\]: found -1, expected a number from 0 to 65535'):
        FrontendConfig(mask_border_px=(0, 0, -1, 0))


def test_refuses_images_of_another_shape_and_borders_that_leave_nothing() -> None:
    mask = KeypointMask(np.ones((480, 640), np.bool_))
    with pytest.raises(ConfigError, match='mask: found an image of 640x480 for images of 1280x720, expected one of'):
        mask.allows(np.zeros((1, 2)), (720, 1280))
    with pytest.raises(ConfigError, match='for images of 1280x720'):  # of the image as it came
        mask.allows(np.zeros((1, 2)), (360, 640), np.array([0.5, 0.5]))
    with pytest.raises(ConfigError, match=r'mask_border_px: found \[320, 0, 320, 0\], expected .* of 640x480'):
        KeypointMask(None, (320, 0, 320, 0)).allows(np.zeros((1, 2)), (480, 640))


@pytest.mark.parametrize('max_side_px', [0, 320])
def test_no_keypoint_of_a_result_is_where_none_may_be(
    new_player: Callable[..., Player],
    corridor: Scene,
    pose: Callable[..., NDArray[Any]],
    rng: np.random.Generator,
    tmp_path: Path,
    max_side_px: int,
) -> None:
    image = np.full((480, 640), 255, np.uint8)
    image[300:] = 0
    settings = {'mask': write(tmp_path / 'mask.png', image), 'mask_border_px': (30, 0, 0, 0)}
    player = new_player(FrontendConfig(max_side_px=max_side_px, **settings))
    if max_side_px:
        corridor = type(corridor)(corridor.landmarks, corridor.descriptors, corridor.camera.resized(320, 240), 20.0)
    results = player.play(corridor, [pose((0, 0, 0.6 * k)) for k in range(6)], rng, noise_px=0.2)
    assert {result.state for result in results[1:]} == {TrackingState.OK}
    for result in results:
        assert len(result.keypoints) > 50
        assert (result.keypoints.xy >= (29.5, -0.5)).all()
        assert result.keypoints.xy[:, 1].max() < 299.5


def test_keypoints_are_not_aligned_into_the_mask(tmp_path: Path, rng: np.random.Generator) -> None:
    texture = cv2.GaussianBlur(rng.integers(0, 256, (120, 160)).astype(np.uint8), (0, 0), 1.5)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    moved = np.roll(texture, 2, axis=1)  # two pixels to the right
    y, x = np.meshgrid(np.arange(12, 110, 6), np.arange(20, 140, 6), indexing='ij')
    xy = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
    names = rng.normal(size=(len(xy), 48)).astype(np.float32)
    names /= np.linalg.norm(names, axis=1, keepdims=True)
    mask = np.full((120, 160), 255, np.uint8)
    mask[:, 81:] = 0  # the column of keypoints at 80 would come to lie at 82

    def result_of(config: FrontendConfig) -> Any:
        frontend = Frontend(lambda image: Keypoints(xy, np.ones(len(xy), np.float32), names), config)
        frontend.process(Frame(0, 0, texture))
        return frontend.process(Frame(1, 1, moved))

    free = result_of(FrontendConfig())
    assert np.abs(free.keypoints.xy[xy[:, 0] == 80, 0] - 82).max() < 0.1
    masked = result_of(FrontendConfig(mask=write(tmp_path / 'mask.png', mask)))
    assert masked.keypoints.xy[:, 0].max() < 80.5
    assert np.abs(masked.keypoints.xy[xy[xy[:, 0] <= 80, 0] == 74, 0] - 76).max() < 0.1


def test_the_mask_changes_with_the_settings_and_a_bad_one_changes_nothing(
    player: Player, room: Scene, pose: Callable[..., NDArray[Any]], rng: np.random.Generator, tmp_path: Path
) -> None:
    image = np.full((48, 64), 255, np.uint8)
    image[:, 32:] = 0
    frontend, path = player.frontend, tmp_path / 'mask.png'
    config = FrontendConfig(min_texture=0, mask=write(path, image))
    (everywhere,) = player.play(room, [pose()], rng)
    frontend.configure(config)
    (half,) = player.play(room, [pose()], rng)
    assert everywhere.keypoints.xy[:, 0].max() > 600
    assert half.keypoints.xy[:, 0].max() < 319.5
    with pytest.raises(ConfigError, match='absent'):
        frontend.configure(FrontendConfig(mask='absent.png'))
    assert frontend.config == config
    path.unlink()  # it was read once
    frontend.configure(FrontendConfig(min_texture=0, mask=str(path), max_side_px=320))
    assert player.play(room, [pose()], rng)[0].keypoints.xy[:, 0].max() < 319.5
    frontend.configure(FrontendConfig(min_texture=0))
    assert player.play(room, [pose()], rng)[0].keypoints.xy[:, 0].max() > 319.5


def test_a_mask_of_another_shape_is_refused_with_the_image(tmp_path: Path) -> None:
    path = write(tmp_path / 'mask.png', np.full((48, 48), 255, np.uint8))
    one = Keypoints(np.ones((1, 2), np.float32), np.ones(1, np.float32), np.ones((1, 4), np.float32))
    frontend = Frontend(lambda image: one, FrontendConfig(mask=path))
    with pytest.raises(ConfigError, match='found an image of 48x48 for images of 64x48'):
        frontend.process(Frame(0, 0, np.zeros((48, 64), np.uint8)))
