# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.cameras import CameraModel, LensModel
from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.se3 import rotation_from_vector, transform_from
from kp2d_ros.simulation import renderer as renderer_module
from kp2d_ros.simulation.layout import Surface
from kp2d_ros.simulation.renderer import Renderer, build_atlas, fitting_texels, trace_lens

X, Y, Z = np.eye(3)


def pinhole(width: int = 64, height: int = 48, focal: float = 50.0) -> CameraModel:
    matrix = np.array([[focal, 0, width / 2 - 0.5], [0, focal, height / 2 - 0.5], [0, 0, 1]])
    return CameraModel(width, height, matrix, LensModel.PLUMB_BOB, np.zeros(5))


def plain(value: Any) -> Callable[..., Any]:
    return lambda rng, height, width, texels: np.full((height, width, 3), value, np.uint8)


def ramp(rng: np.random.Generator, height: int, width: int, texels: Any) -> Any:
    columns = 200 * (np.arange(width) + 0.5) / width
    return np.broadcast_to(np.rint(columns)[None, :, None], (height, width, 3)).astype(np.uint8)


GRAY = plain(120)


def wall(
    depth: Any, left: float = -6.0, top: float = -6.0, width: float = 12.0, height: float = 12.0, paint: Any = GRAY
) -> Surface:
    """
    A rectangle that faces a camera at the origin looking along z.
    """
    return Surface(np.array([left, top, depth]), X, Y, width, height, paint)


def renderer(*surfaces: Any, camera: Any = None, samples: int = 1) -> Renderer:
    camera = camera or pinhole()
    atlas = build_atlas(surfaces, fitting_texels(camera), seed=0)
    return Renderer(surfaces, atlas, camera, samples=samples, color=False)


@pytest.mark.parametrize('samples', [1, 2, 3])
def test_rays_are_those_of_the_lens_model(samples: int) -> None:
    camera = CameraModel(
        90,
        70,
        np.array([[60.0, 0, 44], [0, 61, 35], [0, 0, 1]]),
        LensModel.PLUMB_BOB,
        np.array([-0.3, 0.1, 1e-3, 2e-3, 0]),
    )
    rays = trace_lens(camera, samples)
    x, y = np.meshgrid(np.arange(90 * samples), np.arange(70 * samples))
    pixels = (np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) / samples - 0.5
    found = np.stack([rays.x.ravel(), rays.y.ravel()], axis=1).astype(float)
    np.testing.assert_allclose(found, camera.unproject(pixels), atol=2e-5)  # 0.001 px
    sizes = 2.0 ** rays.log_size[5 * samples : -5 * samples, 5 * samples : -5 * samples]
    assert ((sizes > 0.9 / 61 / samples) & (sizes < 1.6 / 60 / samples)).all()


def test_depth_is_measured_along_the_optical_axis() -> None:
    tilted = transform_from(rotation_from_vector(np.array([0.0, 0.3, 0.0])), np.array([0.1, 0.2, 0.5]))
    camera = pinhole()
    depth = renderer(wall(3.0)).render_depth(tilted)
    x, y = np.meshgrid((np.arange(64) - 31.5) / 50, (np.arange(48) - 23.5) / 50)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ tilted[:3, :3].T
    np.testing.assert_allclose(depth, (3.0 - 0.5) / rays[..., 2], rtol=1e-5)
    assert camera.width == depth.shape[1]


def test_the_nearer_surface_hides_the_other_in_either_order() -> None:
    near, far = wall(2.0, left=-0.2, top=-0.2, width=0.4, height=0.4), wall(4.0)
    for surfaces in ((near, far), (far, near)):
        depth = renderer(*surfaces).render_depth(np.eye(4))
        assert depth[24, 32] == pytest.approx(2.0)
        assert depth[2, 2] == pytest.approx(4.0)
        # 0.4 m at 2 m and 50 px focal length are 10 px, around the centre at 31.5, 23.5.
        assert ((depth < 3).sum(axis=1).max(), (depth < 3).sum(axis=0).max()) == (10, 10)


def test_surfaces_seen_from_behind_or_lying_behind_are_not_drawn() -> None:
    from_behind = Surface(np.array([6.0, -6.0, 2.0]), -X, Y, 12.0, 12.0, GRAY)
    for surface in (from_behind, wall(-2.0)):
        drawn = renderer(surface)
        assert np.isinf(drawn.render_depth(np.eye(4))).all()
        assert not drawn.render(np.eye(4)).any()


def test_a_floor_that_passes_below_the_camera_is_drawn_up_to_the_horizon() -> None:
    floor = Surface(np.array([-20.0, 1.0, 20.0]), X, -Z, 40.0, 40.0, GRAY)  # y is down: 1 m below
    depth = renderer(floor).render_depth(np.eye(4))
    rows = np.arange(48)
    below = rows > 26  # 20 m are at row 26, there it ends
    np.testing.assert_allclose(depth[below, 32], 50 / (rows[below] - 23.5), rtol=1e-5)
    assert np.isinf(depth[:26]).all()


@pytest.mark.parametrize('depth', [0.5, 2.0, 11.0])  # magnified, about one to one, from a smaller level
@pytest.mark.parametrize('samples', [1, 2])
def test_texels_lie_where_the_geometry_says(monkeypatch: pytest.MonkeyPatch, depth: float, samples: int) -> None:
    monkeypatch.setattr(renderer_module, '_light', lambda surface, height, width: np.float32(1))
    span = 1.2 * depth
    columns = np.arange(8, 56)

    def draw(paint: Any) -> Any:
        surface = wall(depth, left=-span / 2, top=-span / 2, width=span, height=span, paint=paint)
        return renderer(surface, samples=samples).render(np.eye(4))[24, columns].astype(float)

    # Rising and falling brightness together: what rounding adds to both does not count.
    found = 0.5 + (draw(ramp) - draw(lambda *args: ramp(*args)[:, ::-1])) / 400
    error = found - (0.5 + (columns - 31.5) / 50 / 1.2)
    assert np.abs(error).max() < 0.012  # gray levels are whole numbers
    assert abs(error.mean()) < 0.001  # half a texel would be 0.004 and more


def test_fine_texture_far_away_becomes_its_mean_instead_of_flickering() -> None:
    def checks(rng: np.random.Generator, height: int, width: int, texels: Any) -> NDArray[Any]:
        rows, columns = np.indices((height, width))
        return np.repeat((240 * ((rows + columns) % 2)).astype(np.uint8)[..., None], 3, axis=2)

    drawn = renderer(wall(20.0, left=-13.0, top=-10.0, width=26.0, height=20.0, paint=checks)).render(np.eye(4))
    assert np.ptp(drawn.astype(int)) < 16


def test_more_samples_smooth_the_outline() -> None:
    edge = wall(2.0, left=0.013, paint=plain(255))
    rough, smooth = (renderer(edge, samples=samples).render(np.eye(4)) for samples in (1, 3))
    assert len(np.unique(rough[24])) < len(np.unique(smooth[24]))


def test_refuses_a_lens_that_leaves_pixels_without_a_ray() -> None:
    camera = CameraModel(64, 48, pinhole().matrix, LensModel.PLUMB_BOB, np.array([-3.0, 0.0, 0.0, 0.0]))
    with pytest.raises(ConfigError, match='see nothing through this lens'):
        trace_lens(camera, 1)
