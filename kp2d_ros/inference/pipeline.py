# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
From settings to a running frontend: the same nested names in YAML files, ROS parameters and on the command line.

The runtimes of networks are imported when one is asked for: SIFT and ORB need neither torch nor ONNX Runtime.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from kp2d_ros.core.errors import BackendError, ConfigError
from kp2d_ros.core.settings import build, load_yaml, merge, nest, parse_overrides, section
from kp2d_ros.inference.backend import KeypointBackend, require_trained
from kp2d_ros.inference.classical import ClassicalExtractor
from kp2d_ros.inference.extractor import Extractor, ExtractorConfig, Kp2dExtractor, MatchJudge
from kp2d_ros.inference.shipped import default_name, shipped_file
from kp2d_ros.networks.config import PRESETS
from kp2d_ros.odometry.frontend import Frontend, FrontendConfig

_ROS_KEY = 'ros__parameters'
_UNTRAINED = 'compact-s'  # with allow_untrained, where no model is named
_PACKAGES = {'torch': 'torch', 'safetensors': 'torch', 'onnxruntime': 'onnx'}  # by the extra of pip that brings them


@dataclass(frozen=True, slots=True)
class PipelineConfig(FrontendConfig):
    """
    The settings of the frontend, and those of the extractor that it is given.
    """

    extractor: ExtractorConfig = section(ExtractorConfig)


def load_pipeline_config(path: Path | None = None, overrides: Sequence[str] = ()) -> PipelineConfig:
    """
    Settings from a YAML file, plain or of ROS parameters, and overrides ``matching.ratio=0.8`` on top.

    From a file of ROS parameters the node's own are left out.

    :raises ConfigError: if a key is unknown (with the nearest known one) or a value does not fit.
    """
    values = _from_ros(load_yaml(path), path) if path is not None else {}
    return build(PipelineConfig, merge(values, parse_overrides(overrides)))


def build_frontend(config: PipelineConfig, extractor: Extractor) -> Frontend:
    """
    A frontend that takes its keypoints from this extractor.
    """
    return Frontend(extractor.extract, config, extractor.judge if isinstance(extractor, MatchJudge) else None)


def build_extractor(config: ExtractorConfig) -> Extractor:
    """
    The extractor of a configuration, its network loaded.

    :raises ConfigError: if it needs a model and none is named, or the model does not go with the backend.
    :raises DataError: if the file of the model cannot be read as such.
    :raises BackendError: if it was not trained, or its runtime or device is not there.
    """
    return _EXTRACTORS[config.name](config)


def find_model(config: ExtractorConfig) -> str:
    """
    The path or name of the network of a configuration: the one that is named, or the one that ships for the device.

    :raises ConfigError: if none is named and none ships.
    """
    name = config.model or default_name(config.device) or (_UNTRAINED if config.allow_untrained else '')
    if not name:
        raise ConfigError(
            'extractor.model: found none, and no network beside this installation; expected the path of a checkpoint '
            f'or .onnx file (extractor.model=PATH), or extractor.allow_untrained=true for tests and timing with one of '
            f'{", ".join(PRESETS)}; extractor.name=sift and orb need no weights'
        )
    return str(shipped_file(name, config.device, config.backend) or name)


def build_backend(config: ExtractorConfig) -> KeypointBackend:
    """
    The network of a configuration on its runtime and device.

    :raises ConfigError: if no model is named, or it does not go with the backend.
    :raises DataError: if the file of the model cannot be read as such.
    :raises BackendError: if it was not trained, or its runtime or device is not there.
    """
    model = find_model(config)
    runtime = 'onnxruntime' if Path(model).suffix == '.onnx' else 'torch'
    if config.backend not in ('auto', runtime):
        raise ConfigError(
            f'extractor.backend: found {config.backend!r} for {model}, expected {runtime!r}; '
            'kp2d export makes .onnx files, which onnxruntime runs, from checkpoints, which torch runs'
        )
    try:
        backend = _BACKENDS[runtime](model, config)
    except ModuleNotFoundError as error:
        if error.name not in _PACKAGES:
            raise
        raise BackendError(
            f'{model}: needs the Python package {error.name}, which is not installed; '
            f"try: pip install 'kp2d_ros[{_PACKAGES[error.name]}]'"
        ) from error
    require_trained(backend.info.model_id, backend.info.is_trained, config.allow_untrained)
    return backend


def _torch_backend(model: str, config: ExtractorConfig) -> KeypointBackend:
    from kp2d_ros.inference.torch_backend import TorchBackend, TorchOptions
    from kp2d_ros.inference.weights import find_checkpoint

    options = TorchOptions(config.device, config.precision, config.threads, config.compile)
    return TorchBackend(find_checkpoint(model), options)


def _onnx_backend(model: str, config: ExtractorConfig) -> KeypointBackend:
    from kp2d_ros.inference.onnx_backend import OnnxBackend, OnnxOptions

    options = OnnxOptions(config.device, config.precision, config.threads)
    return OnnxBackend(Path(model).expanduser(), options)


def _kp2d_extractor(config: ExtractorConfig) -> Extractor:
    config = replace(config, model=find_model(config))
    backend = build_backend(config)
    return Kp2dExtractor(backend, config, _find_judge(config, backend.info.model_id))


def _find_judge(config: ExtractorConfig, model_id: str) -> MatchJudge | None:
    """
    The IO-Net of a configuration; it runs on torch, whatever runs the network.
    """
    if not config.inlier_model:
        return None
    try:
        from kp2d_ros.inference.inlier_model import find_inlier_model, load_inlier_model
    except ModuleNotFoundError as error:
        if error.name not in _PACKAGES:
            raise
        raise BackendError(
            f'extractor.inlier_model: IO-Net needs the Python package {error.name}, which is not installed; '
            f"try: pip install 'kp2d_ros[{_PACKAGES[error.name]}]'"
        ) from error
    device = config.device if config.device.startswith(('cpu', 'cuda')) else 'auto'
    if config.inlier_model == 'auto':
        return find_inlier_model(config.model, model_id, device)
    return load_inlier_model(Path(config.inlier_model).expanduser(), model_id, device)


def _from_ros(values: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """
    The pipeline's part of a file of ROS parameters (``/**: ros__parameters: ...``); other files stay as they are.
    """
    nodes = [v[_ROS_KEY] for v in values.values() if isinstance(v, Mapping) and _ROS_KEY in v]
    if not nodes:
        return values
    if len(values) > 1 or not isinstance(nodes[0], Mapping):
        raise ConfigError(f'{path}: found {", ".join(values)}, expected the {_ROS_KEY} of one node')
    known = [f.name for f in fields(PipelineConfig)]
    taken: dict[str, Any] = {}
    for key, value in nodes[0].items():
        name = str(key).partition('.')[0]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        if name in known:
            taken = merge(taken, nest({key: value}))
        elif near:
            raise ConfigError(f'{path}: unknown setting {key}, did you mean {near[0]}?')
    return taken


_BACKENDS: dict[str, Callable[[str, ExtractorConfig], KeypointBackend]] = {
    'torch': _torch_backend,
    'onnxruntime': _onnx_backend,
}
_EXTRACTORS: dict[str, Callable[[ExtractorConfig], Extractor]] = {
    'sift': ClassicalExtractor,
    'orb': ClassicalExtractor,
    'kp2d': _kp2d_extractor,
}
