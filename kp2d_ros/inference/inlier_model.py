# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
IO-Net after training: how likely each match of two images is right, from where its points are and how their descriptors
agree, seen beside all other matches.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kp2d_ros.core.errors import BackendError, ConfigError, DataError, ShapeError
from kp2d_ros.core.records import Float32Array, Keypoints, Matches
from kp2d_ros.inference.torch_backend import find_device
from kp2d_ros.networks.inlier_net import InlierCheckpoint, load_inlier_net

_LOGGER = logging.getLogger(__name__)
_INPUTS = 5  # x, y, x, y and the descriptor distance


class InlierModel:
    """
    An IO-Net on a device.

    :raises BackendError: if the device is not there.
    :raises DataError: if the network takes something else than the five numbers of KP2D.
    """

    def __init__(self, checkpoint: InlierCheckpoint, device: str = 'auto') -> None:
        inputs = checkpoint.network.config.inputs
        if inputs != _INPUTS:
            raise DataError(f'IO-Net: found one of {inputs} numbers per pair, expected {_INPUTS}')
        self._device = find_device(device)
        self._network = checkpoint.network.to(self._device)
        self._model_id = checkpoint.model_id
        self._output = checkpoint.output

    @property
    def model_id(self) -> str:
        """
        The keypoint network that it belongs to.
        """
        return self._model_id

    def judge(self, reference: Keypoints, current: Keypoints, matches: Matches, size: tuple[int, int]) -> Float32Array:
        """
        (M,) float32 in [0, 1] for M matches, higher for those that are more likely right.

        A network that was regressed to +1 and -1 by the squared error gives an estimate of 2 p - 1, so p is
        (1 + output) / 2, cut off at 0 and 1; the sigmoid of a logit is a probability as well. Logarithms of weights
        give the weight over the largest one, which orders the matches but is no probability.

        :param size: (height, width) of both images.
        :raises ShapeError: if the descriptors are not floats.
        :raises BackendError: if the device fails.
        """
        if reference.is_binary or current.is_binary:
            raise ShapeError('descriptors: found packed bits, expected the floats of a network')
        if len(matches) == 0:
            return np.empty(0, np.float32)
        pairs = pair_features(reference, current, matches, size)
        try:
            with torch.inference_mode():
                outputs = self._network(torch.from_numpy(pairs)[None].to(self._device))[0]
                return np.asarray(_probability(outputs, self._output).float().cpu().numpy(), np.float32)
        except RuntimeError as error:
            raise BackendError(f'IO-Net of {self._model_id} on {self._device}: {error}') from error


def pair_features(reference: Keypoints, current: Keypoints, matches: Matches, size: tuple[int, int]) -> Float32Array:
    """
    (M, 5) what IO-Net sees of matches: x, y of both points from -1 to 1 across the image, and the descriptor distance.
    """
    half = (np.array(size[::-1], np.float32) - 1) / 2
    rows, columns = matches.reference_index, matches.current_index
    cosine = np.einsum('ij,ij->i', reference.descriptors[rows], current.descriptors[columns])
    distance = np.sqrt(np.maximum(2.0 - 2.0 * np.clip(cosine, -1, 1), 0.0))
    places = [reference.xy[rows] / half - 1, current.xy[columns] / half - 1]
    return np.asarray(np.concatenate([*places, distance[:, None]], axis=1), np.float32)


def load_inlier_model(path: Path, model_id: str, device: str = 'auto') -> InlierModel:
    """
    The IO-Net of a file for the keypoints of a network.

    :raises ConfigError: if it was trained with another keypoint network.
    :raises DataError: if the file cannot be read as an IO-Net.
    :raises BackendError: if the weights do not fit, or the device is not there.
    """
    checkpoint = load_inlier_net(path)
    if checkpoint.model_id != model_id:
        raise ConfigError(
            f'{path}: found an IO-Net that was trained with {checkpoint.model_id}, expected one for {model_id}: '
            'descriptor distances of one network mean nothing to another'
        )
    return InlierModel(checkpoint, device)


def find_inlier_model(path: Path, model_id: str, device: str = 'auto') -> InlierModel | None:
    """
    The IO-Net of a file, if it is there; None, with a line in the log, if it is not or belongs to another network.
    """
    if not path.is_file():
        _LOGGER.info('%s: found no %s beside it, matches are not judged', model_id, path.name)
        return None
    try:
        return load_inlier_model(path, model_id, device)
    except ConfigError as error:
        _LOGGER.warning('%s; matches are not judged', error)
        return None


def _probability(outputs: Tensor, kind: str) -> Tensor:
    if kind == 'logit':
        return outputs.sigmoid()
    if kind == 'log_weight':
        return (outputs - outputs.max()).exp()
    sign = -1.0 if kind == 'negative_sign' else 1.0
    return ((1.0 + sign * outputs) / 2.0).clamp(0.0, 1.0)
