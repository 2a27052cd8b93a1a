# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.networks.config import NetworkConfig, network_config


def test_unknown_network_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="'compact-x', did you mean compact-"):
        network_config('compact-x')
    with pytest.raises(ConfigError, match='expected one of v0'):
        network_config('superpoint')


def test_versions_differ_in_their_switches_only() -> None:
    v0, v1, v4 = (network_config(name) for name in ('v0', 'v1', 'v4'))
    assert (v0.do_upsample, v0.do_cross, v0.cross_ratio) == (False, False, 1.0)
    assert (v1.do_upsample, v1.do_cross, v1.cross_ratio) == (False, True, 2.0)
    assert (v4.do_upsample, v4.do_cross) == (True, True)
    assert v0.channels == v4.channels


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'channels': (8, 8, 8)}, 'channels'),
        ({'channels': (8, 8, 8, 0)}, 'channels'),
        ({'channels': (8, 8, 8, 10**9)}, 'channels'),
        ({'descriptor_dim': 0}, 'descriptor_dim'),
        ({'input_scale': float('nan')}, 'input_scale'),
        ({'architecture': 'vgg'}, 'architecture'),
        ({'architecture': 'resnet18', 'do_upsample': False}, 'do_upsample'),
    ],
)
def test_impossible_networks_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NetworkConfig(**values)
