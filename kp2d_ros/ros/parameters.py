# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
ROS parameters from the dataclasses of settings: declared with description and range, read back, changed while running.
"""

from __future__ import annotations

import difflib
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.settings import SettingInfo, build, flatten, merge, nest
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.odometry.mask import load_mask
from kp2d_ros.ros.node_config import NodeConfig

_ROS_OWN = ('qos_overrides.', 'use_sim_time', 'start_type_description_service', 'diagnostic_updater.')


def declare_parameters(node: Node) -> NodeConfig:
    """
    Declare every setting on a node that declares its overrides by itself, and read what they are.

    :raises ConfigError: if a value given by a file or the command line has a wrong type or is out of range.
    """
    defaults = NodeConfig()
    # All values are checked here first: rclpy would refuse them one by one, in words of its own.
    given = {
        path: _from_ros(node.get_parameter(path).value) for path, _, _ in flatten(defaults) if node.has_parameter(path)
    }
    config = build(NodeConfig, nest(given))
    for path, value, info in flatten(config):
        descriptor = _descriptor(path, value, info)
        if path in given:
            node.undeclare_parameter(path)
        node.declare_parameter(path, _to_ros(value), descriptor, ignore_override=True)
    return config


def misspelt_parameters(names: Iterable[str]) -> list[str]:
    """
    A sentence for each name of a given parameter that no setting has; ROS itself passes over them in silence.
    """
    known = [path for path, _, _ in flatten(NodeConfig())]
    sentences = []
    for name in sorted(names):
        if name in known or name.startswith(_ROS_OWN):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f', did you mean {near[0]}?' if near else ''
        sentences.append(f'parameter {name} is none of this node{hint}')
    return sentences


def qos_overrides_of(names: Iterable[str]) -> frozenset[str]:
    """
    The parameters by which the user overrides QoS policies.
    """
    return frozenset(name for name in names if name.startswith('qos_overrides.'))


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """
    What a change of parameters comes to: the new settings, and whether they need another extractor.
    """

    config: NodeConfig
    needs_extractor: bool


def change_config(running: NodeConfig, changes: Mapping[str, Any], is_configured: bool) -> ConfigChange:
    """
    The settings after a change of parameters; those of ROS itself are passed over.

    A configured node takes runtime settings at once and loads another extractor beside the running one; the rest it
    refuses.

    :param changes: values by parameter name.
    :raises ConfigError: if a value is refused, saying what is expected or what to do.
    """
    known = {path: (value, info) for path, value, info in flatten(running)}
    ours = {name: _from_ros(value) for name, value in changes.items() if name in known}
    config = build(NodeConfig, merge(nest({path: value for path, (value, _) in known.items()}), nest(ours)))
    changed = {path: info for path, value, info in flatten(config) if value != known[path][0]}
    fixed = [path for path, info in changed.items() if not info.runtime and not path.startswith('extractor.')]
    if is_configured and fixed:
        raise ConfigError(
            f'{fixed[0]} cannot change while the node is configured: clean it up first (`ros2 lifecycle set NODE '
            'deactivate`, then `cleanup`), or start the node with it'
        )
    if not changed.keys().isdisjoint(('mask', 'mask_border_px')):
        load_mask(config.mask, config.mask_border_px)  # refused here, not when the next image comes
    rebuild = any(path.startswith('extractor.') and not info.runtime for path, info in changed.items())
    return ConfigChange(config, is_configured and rebuild)


def keep_loaded(loaded: ExtractorConfig, wanted: NodeConfig) -> NodeConfig:
    """
    The wanted settings, but those of the extractor that only another one could take as they were loaded.
    """
    kept = {path: value for path, value, info in flatten(loaded) if not info.runtime}
    return replace(wanted, extractor=replace(wanted.extractor, **kept))


def extractor_parameters(config: NodeConfig) -> dict[str, Any]:
    """
    The values, by parameter name, that only another extractor can take.
    """
    return {
        path: _to_ros(value)
        for path, value, info in flatten(config)
        if path.startswith('extractor.') and not info.runtime
    }


def _descriptor(path: str, value: Any, info: SettingInfo) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(name=path, description=info.description)
    descriptor.dynamic_typing = isinstance(value, float)  # so that `1` will do for `1.0`
    if info.choices is not None:
        descriptor.additional_constraints = f'one of {", ".join(str(choice) for choice in info.choices)}'
    elif not info.runtime:
        descriptor.additional_constraints = 'not while the node is configured'
    if info.minimum is not None and info.maximum is not None:
        if isinstance(value, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(info.minimum), to_value=float(info.maximum))
            ]
        elif isinstance(value, int):
            descriptor.integer_range = [IntegerRange(from_value=int(info.minimum), to_value=int(info.maximum), step=1)]
    return descriptor


def _to_ros(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _from_ros(value: Any) -> Any:
    return value.tolist() if isinstance(value, array) else value
