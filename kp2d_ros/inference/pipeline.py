# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
From settings to a running frontend: the same nested names in YAML files, ROS parameters and on the command line.

The runtimes of networks are imported when one is asked for: SIFT and ORB need neither torch nor ONNX Runtime.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.packages import install_command, missing_package
from kp2d_ros.core.records import ImageArray, Keypoints
from kp2d_ros.core.settings import build, load_yaml, merge, nest, parse_overrides, section
from kp2d_ros.inference.backend import KeypointBackend, RuntimeOptions, require_trained
from kp2d_ros.inference.classical import ClassicalExtractor, OpenCvExtractor
from kp2d_ros.inference.extractor import Extractor, ExtractorConfig, Kp2dExtractor, MatchJudge
from kp2d_ros.inference.models import NETWORK, MethodKind, ModelChoice, resolve
from kp2d_ros.odometry.frontend import Frontend, FrontendConfig
from kp2d_ros.odometry.image_size import shrink_image, unshrink_pixels

_LOGGER = logging.getLogger(__name__)
_ROS_KEY = 'ros__parameters'
_FALLBACK = 'sift'  # what finds keypoints where no runtime of networks is installed


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


def configure_method(word: str, config: ExtractorConfig) -> ExtractorConfig:
    """
    The settings for a method, the others as they are; ``kp2d`` leaves the network that ``config`` names.

    :raises ConfigError: if the word is neither a name nor a file, or OpenCV as it is, which is no extractor of the
        frontend.
    """
    choice = resolve(word, config.device, config.backend)
    if choice.kind is MethodKind.OPENCV:
        raise ConfigError(
            f'method: found {word}, which is only for evaluating and drawing keypoints, expected '
            f'{word.removeprefix("opencv-")} or another one of the frontend'
        )
    if choice.kind is MethodKind.CLASSICAL:
        return replace(config, name=word)
    return replace(config, name=NETWORK, model=config.model if choice.is_default else word)


def choose_sensor(config: PipelineConfig, sensor: str | None) -> PipelineConfig:
    """
    The settings for a sensor that was asked for by name; None: they say it themselves.

    :raises ConfigError: if there is no such sensor.
    """
    return config if sensor is None else replace(config, sensor=sensor)


def build_extractor(config: ExtractorConfig) -> Extractor:
    """
    The extractor of a configuration, its network loaded.

    Where no runtime of the default network is installed, that is SIFT, with a line in the log.

    :raises ConfigError: if the model is neither a name nor a file, or does not go with the backend.
    :raises DataError: if the file of the model cannot be read as such.
    :raises BackendError: if it was not trained, or its runtime or device is not there.
    """
    choice = choose_model(config)
    if choice.is_default and not choice.has_runtime:
        _LOGGER.warning(
            'no runtime of networks is installed, the keypoints are those of SIFT; for the network: %s',
            install_command(choice.runtime),
        )
        return ClassicalExtractor(replace(config, name=_FALLBACK))
    return load_extractor(choice, config)


def choose_model(config: ExtractorConfig) -> ModelChoice:
    """
    What a configuration names: a detector of OpenCV, or its network.

    :raises ConfigError: as :func:`resolve`.
    """
    return resolve(config.model if config.name == NETWORK else config.name, config.device, config.backend)


def load_extractor(choice: ModelChoice, config: ExtractorConfig) -> Extractor:
    """
    The extractor of a choice, whatever ``name`` and ``model`` of the configuration say.

    :raises DataError: if the file of the model cannot be read as such.
    :raises BackendError: if it was not trained, or its runtime or device is not there.
    """
    try:
        return _EXTRACTORS[choice.kind](choice, config)
    except ModuleNotFoundError as error:
        if (error.name or '').startswith('kp2d_ros'):
            raise  # a fault of this package
        raise missing_package(choice.word or NETWORK, error.name) from error


def extract_shrunk(extractor: Extractor, image: ImageArray, max_side_px: int) -> Keypoints:
    """
    Keypoints, in pixels of a uint8 image that is shrunk first where its longer side exceeds ``max_side_px`` (0: any).
    """
    shrunk, scale = shrink_image(image, max_side_px)
    keypoints = extractor.extract(shrunk)
    return replace(keypoints, xy=unshrink_pixels(keypoints.xy, scale))


def _network_extractor(choice: ModelChoice, config: ExtractorConfig) -> Extractor:
    backend = _BACKENDS[choice.runtime](choice, config)
    require_trained(backend.info.model_id, backend.info.is_trained, choice.allow_untrained)
    return Kp2dExtractor(backend, config, _find_judge(choice, config, backend.info.model_id))


def _adapted_extractor(choice: ModelChoice, config: ExtractorConfig) -> Extractor:
    from kp2d_ros.inference.adapted_onnx import AdaptedModel

    return AdaptedModel(_file(choice), RuntimeOptions(config.device, 'auto', config.threads), config.max_keypoints)


def _torch_backend(choice: ModelChoice, config: ExtractorConfig) -> KeypointBackend:
    from kp2d_ros.inference.torch_backend import TorchBackend, open_checkpoint

    return TorchBackend(open_checkpoint(choice), _runtime_options(config))


def _onnx_backend(choice: ModelChoice, config: ExtractorConfig) -> KeypointBackend:
    from kp2d_ros.inference.onnx_backend import OnnxBackend

    return OnnxBackend(_file(choice), _runtime_options(config))


def _runtime_options(config: ExtractorConfig) -> RuntimeOptions:
    return RuntimeOptions(config.device, config.precision, config.threads, config.compile)


def _file(choice: ModelChoice) -> Path:
    if choice.path is None:
        raise ConfigError(f'method: found {choice.word}, which has no file, expected one that has')
    return choice.path


def _find_judge(choice: ModelChoice, config: ExtractorConfig, model_id: str) -> MatchJudge | None:
    """
    The IO-Net of a configuration; it runs on torch, whatever runs the network.
    """
    if not config.inlier_model:
        return None
    from kp2d_ros.inference.inlier_model import find_inlier_model, load_inlier_model

    device = config.device if config.device.startswith(('cpu', 'cuda')) else 'auto'
    if config.inlier_model == 'auto':
        return None if choice.inlier_path is None else find_inlier_model(choice.inlier_path, model_id, device)
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


_BACKENDS: dict[str, Callable[[ModelChoice, ExtractorConfig], KeypointBackend]] = {
    'torch': _torch_backend,
    'onnxruntime': _onnx_backend,
}
_EXTRACTORS: dict[MethodKind, Callable[[ModelChoice, ExtractorConfig], Extractor]] = {
    MethodKind.CLASSICAL: lambda choice, config: ClassicalExtractor(replace(config, name=choice.word)),
    MethodKind.OPENCV: lambda choice, config: OpenCvExtractor(choice.word, config),
    MethodKind.NETWORK: _network_extractor,
    MethodKind.ADAPTED: _adapted_extractor,
}
