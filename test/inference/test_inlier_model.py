# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
IO-Net on matches: what goes in, what its outputs mean, and which one belongs to which network.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import ConfigError, DataError, ShapeError
from kp2d_ros.core.records import Frame, Keypoints, Matches
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.inference.pipeline import PipelineConfig, build_extractor, build_frontend

torch = pytest.importorskip('torch')

from kp2d_ros.inference.inlier_model import InlierModel, find_inlier_model, load_inlier_model, pair_features  # noqa: E402
from kp2d_ros.networks.cells import normalise_xy  # noqa: E402
from kp2d_ros.networks.inlier_net import InlierCheckpoint, InlierConfig, InlierNet, save_inlier_net  # noqa: E402  # noqa: E402

SIZE = (48, 64)


def small_net(constant: Any = None, **config: Any) -> Any:
    """
    A network with random weights, or one that answers the same for every pair.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = InlierNet(InlierConfig(channels=8, blocks=1, **config)).eval()
    if constant is not None:
        torch.nn.init.zeros_(network.last.weight)
        torch.nn.init.constant_(network.last.bias, constant)
    return network


def random_keypoints(rng: np.random.Generator, count: int) -> Keypoints:
    descriptors = rng.normal(size=(count, 16)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return Keypoints(rng.uniform(0, 47, (count, 2)).astype(np.float32), np.ones(count, np.float32), descriptors)


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[Any, Any, Matches]:
    """
    Keypoints of two images, and matches between some of them.
    """
    rows, columns = np.array([4, 0, 7, 2]), np.array([1, 3, 0, 8])
    return random_keypoints(rng, 9), random_keypoints(rng, 10), Matches(rows, columns, np.ones(4, np.float32))


@pytest.mark.parametrize(
    ('output', 'constant', 'probability'),
    [
        ('sign', 0.5, 0.75),
        ('sign', -3.0, 0.0),
        ('sign', 1.2, 1.0),
        ('negative_sign', 0.5, 0.25),
        ('logit', 0.0, 0.5),
        ('logit', 2.0, 1 / (1 + np.exp(-2))),
        ('log_weight', -4.0, 1.0),
    ],
)
def test_an_output_becomes_the_probability_that_it_means(
    pair: Any, output: str, constant: float, probability: Any
) -> None:
    model = InlierModel(InlierCheckpoint(small_net(constant), 'tiny:1', output))
    np.testing.assert_allclose(model.judge(*pair, SIZE), np.full(4, probability), atol=1e-6)


def test_pairs_are_fed_as_in_training(pair: Any) -> None:
    reference, current, matches = pair
    features = pair_features(*pair, SIZE)
    for column, keypoints, rows in ((0, reference, matches.reference_index), (2, current, matches.current_index)):
        trained = normalise_xy(torch.from_numpy(keypoints.xy[rows])[None], SIZE[1], SIZE[0])[0]
        np.testing.assert_allclose(features[:, column : column + 2], trained, atol=1e-6)
    apart = reference.descriptors[matches.reference_index] - current.descriptors[matches.current_index]
    np.testing.assert_allclose(features[:, 4], np.linalg.norm(apart, axis=1), atol=1e-5)


def test_any_number_of_matches_is_judged_in_any_order(pair: Any) -> None:
    reference, current, matches = pair
    model = InlierModel(InlierCheckpoint(small_net(), 'tiny:1', 'logit'))
    whole = model.judge(reference, current, matches, SIZE)
    assert whole.shape == (4,) and len(np.unique(whole)) == 4
    order = np.array([2, 0, 3, 1])
    np.testing.assert_allclose(model.judge(reference, current, matches.take(order), SIZE), whole[order], atol=1e-5)
    assert np.isfinite(model.judge(reference, current, matches.take(order[:1]), SIZE)).all()
    assert model.judge(reference, current, Matches.empty(), SIZE).shape == (0,)


def test_packed_bits_are_refused(pair: Any) -> None:
    bits = Keypoints(pair[0].xy, pair[0].scores, np.zeros((9, 32), np.uint8))
    with pytest.raises(ShapeError, match='expected the floats of a network'):
        InlierModel(InlierCheckpoint(small_net(), 'tiny:1', 'sign')).judge(bits, bits, pair[2], SIZE)


def test_a_network_of_other_inputs_is_refused() -> None:
    with pytest.raises(DataError, match='found one of 4 numbers per pair, expected 5'):
        InlierModel(InlierCheckpoint(small_net(inputs=4), 'tiny:1', 'sign'))


def test_the_io_net_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'a_inlier.safetensors'
    save_inlier_net(path, small_net(), 'other:12345678')
    with pytest.raises(ConfigError, match='trained with other:12345678, expected one for tiny:87654321'):
        load_inlier_model(path, 'tiny:87654321')


def test_what_lies_beside_a_model_is_found_if_it_belongs_to_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert find_inlier_model(tmp_path / 'best_inlier.safetensors', 'tiny:1') is None
    assert 'found no best_inlier.safetensors beside it' in caplog.text
    save_inlier_net(tmp_path / 'best_inlier.safetensors', small_net(), 'tiny:1', 'logit')
    assert find_inlier_model(tmp_path / 'best_inlier.safetensors', 'tiny:1').model_id == 'tiny:1'
    assert find_inlier_model(tmp_path / 'best_inlier.safetensors', 'tiny:2') is None
    assert 'expected one for tiny:2' in caplog.text


def test_an_unknown_kind_of_output_is_refused(tmp_path: Path) -> None:
    save_inlier_net(tmp_path / 'a.safetensors', small_net(), 'tiny:1', 'odds')
    with pytest.raises(DataError, match="found an output of kind 'odds', expected one of sign, negative_sign"):
        load_inlier_model(tmp_path / 'a.safetensors', 'tiny:1')


@pytest.mark.parametrize('named', ['auto', 'path', ''])
def test_the_frontend_tells_how_likely_its_matches_are_right(
    named: str, checkpoint_file: Any, checkpoint: Any, texture: Callable[..., NDArray[Any]], tmp_path: Path
) -> None:
    model = tmp_path / 'best.safetensors'
    model.write_bytes(checkpoint_file.read_bytes())
    inlier_model = tmp_path / 'best_inlier.safetensors'
    save_inlier_net(inlier_model, small_net(0.5), checkpoint.info.model_id)
    setting = str(inlier_model) if named == 'path' else named
    extractor = ExtractorConfig(name='kp2d', model=str(model), nms_radius_px=0.0, inlier_model=setting)
    config = PipelineConfig(extractor=extractor)
    frontend = build_frontend(config, build_extractor(extractor).reconfigured(extractor))
    results = [frontend.process(Frame(i, i, texture(80, 64))) for i in range(2)]
    assert len(results[1].matches) > 5
    if named:
        assert results[1].inlier_probability.tolist() == [0.75] * len(results[1].matches)
    else:
        assert results[1].inlier_probability is None
