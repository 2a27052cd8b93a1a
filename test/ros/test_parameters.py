# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.settings import flatten

pytest.importorskip('kp2d_ros.msg', reason='needs ROS 2 and the generated messages: make build', exc_type=ImportError)
pytestmark = pytest.mark.ros

from rclpy.parameter import Parameter  # noqa: E402

from kp2d_ros.ros.node_config import NodeConfig  # noqa: E402
from kp2d_ros.ros.parameters import (  # noqa: E402
    change_config,
    extractor_parameters,
    keep_loaded,
    misspelt_parameters,
)

if TYPE_CHECKING:
    from test.ros.conftest import Rig


def test_runtime_settings_change_at_once() -> None:
    change = change_config(NodeConfig(), {'matching.ratio': 0.7, 'debug_image.text': False, 'watchdog_s': 3}, True)
    assert (change.config.matching.ratio, change.config.debug_image.text, change.config.watchdog_s) == (0.7, False, 3.0)
    assert not change.needs_extractor


def test_what_another_extractor_can_take_needs_one() -> None:
    assert change_config(NodeConfig(), {'extractor.name': 'orb'}, True).needs_extractor
    assert not change_config(NodeConfig(), {'extractor.name': 'orb'}, False).needs_extractor
    assert not change_config(NodeConfig(), {'extractor.name': 'kp2d'}, True).needs_extractor  # as it is
    assert not change_config(NodeConfig(), {'extractor.max_keypoints': 5}, True).needs_extractor


def test_refuses_with_the_reason_and_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r'matching\.ratio: found 7\.5, expected a number from 0 to 1'):
        change_config(NodeConfig(), {'matching.ratio': 7.5}, True)
    with pytest.raises(ConfigError, match=r"extractor\.name: found 'surf', expected one of"):
        change_config(NodeConfig(), {'extractor.name': 'surf'}, True)
    with pytest.raises(ConfigError, match=r'mode cannot change while the node is configured.*cleanup'):
        change_config(NodeConfig(), {'mode': 'replay'}, True)
    assert change_config(NodeConfig(), {'mode': 'replay'}, False).config.mode == 'replay'


def test_passes_over_parameters_of_ros_itself() -> None:
    assert change_config(NodeConfig(), {'use_sim_time': True}, True).config == NodeConfig()


def test_finds_misspelt_names_and_says_what_was_meant() -> None:
    names = ['matching.ration', 'use_sim_time', 'qos_overrides./image.subscription.depth', 'extractor.name', 'zzz']
    assert misspelt_parameters(names) == [
        'parameter matching.ration is none of this node, did you mean matching.ratio?',
        'parameter zzz is none of this node',
    ]


def test_keeps_what_was_loaded_beside_what_may_change() -> None:
    wanted = change_config(NodeConfig(), {'extractor.name': 'orb', 'extractor.max_keypoints': 7}, True).config
    kept = keep_loaded(NodeConfig().extractor, wanted)
    assert (kept.extractor.name, kept.extractor.max_keypoints) == ('kp2d', 7)
    assert extractor_parameters(kept)['extractor.name'] == 'kp2d'
    assert 'extractor.max_keypoints' not in extractor_parameters(kept)


def test_every_setting_is_a_parameter_with_description_and_range(rig: Rig) -> None:
    node = rig.start(begin=False)
    for path, value, info in flatten(node.config):
        parameter, descriptor = node.get_parameter(path), node.describe_parameter(path)
        assert (list(parameter.value) if isinstance(value, tuple) else parameter.value) == (
            list(value) if isinstance(value, tuple) else value
        )
        assert descriptor.description == info.description
        assert not descriptor.read_only
        ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
        assert [(r.from_value, r.to_value) for r in ranges] == (
            [] if info.minimum is None or isinstance(value, tuple) else [(info.minimum, info.maximum)]
        )


def test_given_values_are_used_and_whole_numbers_do_for_decimals(rig: Rig) -> None:
    node = rig.start(begin=False, ransac__threshold_px=2, motion__min_parallax_deg=0.5)
    assert (node.config.ransac.threshold_px, node.config.motion.min_parallax_deg) == (2.0, 0.5)
    assert node.get_parameter('ransac.threshold_px').value == 2.0


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('matching__ratio', 9.0, 'matching.ratio: found 9.0'),
        ('mode', 'fast', "mode: found 'fast', expected one of 'live', 'replay'"),
        ('extractor__max_keypoints', 'many', "extractor.max_keypoints: found 'many' \\(str\\), expected int"),
    ],
)
def test_node_does_not_start_with_a_wrong_value(rig: Rig, name: str, value: float | str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        rig.start(**{name: value})


def test_changes_over_the_wire_are_all_or_nothing(rig: Rig) -> None:
    node = rig.start()
    assert rig.set_parameters(matching__ratio=0.5, extractor__max_keypoints=40).successful
    assert (node.config.matching.ratio, node.config.extractor.max_keypoints) == (0.5, 40)
    result = rig.set_parameters(matching__ratio=0.6, mode='replay')
    assert not result.successful
    assert result.reason.startswith('mode cannot change while the node is configured')
    assert node.config.matching.ratio == node.get_parameter('matching.ratio').value == 0.5
    assert not rig.set_parameters(extractor__max_keypoints=0).successful
    assert not rig.set_parameters(descriptor_type='f64').successful
    assert rig.set_parameters(use_sim_time=False).successful


def test_parameter_objects_of_reverted_settings_have_types_of_ros() -> None:
    for name, value in extractor_parameters(NodeConfig()).items():
        assert Parameter(name, value=value).type_ is not Parameter.Type.NOT_SET


def test_a_mask_is_refused_when_it_is_set_and_not_with_the_next_image(rig: Rig, tmp_path: Path) -> None:
    node, path = rig.start(), tmp_path / 'mask.png'
    result = rig.set_parameters(mask=str(path))
    assert not result.successful
    assert result.reason == f'mask: {path}: cannot be read: No such file or directory'
    assert cv2.imwrite(str(path), np.full((12, 16), 255, np.uint8))
    assert rig.set_parameters(mask=str(path), mask_border_px=[0, 0, 0, 8]).successful
    assert (node.config.mask, node.config.mask_border_px) == (str(path), (0, 0, 0, 8))
    assert not rig.set_parameters(mask_border_px=[1, 2]).successful
    assert not rig.set_parameters(mask_border_px=[-1, 0, 0, 0]).successful


def test_a_node_with_a_bad_mask_says_so_and_stays_unconfigured(rig: Rig) -> None:
    node = rig.start(begin=False, mask='absent.png', mask_border_px=[0, 0, 0, 4])
    lines = rig.collect_warnings()
    node.start()
    assert node.engine is None
    assert lines == ['cannot configure: mask: absent.png: cannot be read: No such file or directory']
    assert node.config.mask_border_px == (0, 0, 0, 4)
