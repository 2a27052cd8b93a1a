# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import yaml

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.resources import find_shipped_file
from kp2d_ros.core.settings import build, flatten
from kp2d_ros.inference.pipeline import PipelineConfig, load_pipeline_config
from kp2d_ros.ros.node_config import NodeConfig, parameter_file

VARIANTS = ('frontend', 'frontend_rectified', 'frontend_low_power')


def parameters_of(name: str) -> Any:
    return yaml.safe_load(find_shipped_file(f'config/{name}.yaml').read_text())['/**']['ros__parameters']


def test_shipped_parameter_file_names_every_setting_with_its_default() -> None:
    text = find_shipped_file('config/frontend.yaml').read_text()
    assert text == parameter_file(NodeConfig()), (
        'write it anew: python -c "from kp2d_ros.ros.node_config import *; '
        "open('config/frontend.yaml', 'w').write(parameter_file(NodeConfig()))\""
    )
    assert build(NodeConfig, parameters_of('frontend')) == NodeConfig()


@pytest.mark.parametrize('name', VARIANTS)
def test_shipped_parameter_files_are_understood_by_node_and_commands(name: Any) -> None:
    config = build(NodeConfig, parameters_of(name))
    offline = load_pipeline_config(find_shipped_file(f'config/{name}.yaml'))
    assert all(getattr(offline, f.name) == getattr(config, f.name) for f in fields(PipelineConfig))


@pytest.mark.parametrize('name', VARIANTS[1:])
def test_variants_say_only_what_is_different(name: Any) -> None:
    defaults = {path: value for path, value, _ in flatten(NodeConfig())}
    changed = {path: value for path, value, _ in flatten(build(NodeConfig, parameters_of(name)))}
    named = sum(len(v) if isinstance(v, dict) else 1 for v in parameters_of(name).values())
    assert named == sum(changed[path] != defaults[path] for path in defaults) > 0


def test_every_setting_has_a_description_and_every_number_a_range() -> None:
    for path, value, info in flatten(NodeConfig()):
        assert info.description, path
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            assert info.minimum is not None, path
            assert info.maximum is not None, path


def test_parameter_file_keeps_awkward_values() -> None:
    config = build(NodeConfig, {'time_jump_s': 1e-9, 'odom_frame': 'map/odom', 'watchdog_s': 3600.0})
    assert build(NodeConfig, yaml.safe_load(parameter_file(config))['/**']['ros__parameters']) == config


def test_refuses_a_frame_without_a_name() -> None:
    with pytest.raises(ConfigError, match='base_frame'):
        NodeConfig(base_frame=' ')
