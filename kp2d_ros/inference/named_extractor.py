# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Extractors by one word: ``sift``, ``orb``, ``kp2d`` for the network that suits the device, another network that ships, a
file with one, or ``untrained:compact-s``.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from dataclasses import replace
from pathlib import Path

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.settings import SettingInfo
from kp2d_ros.inference.extractor import ExtractorConfig
from kp2d_ros.inference.shipped import default_name, shipped_file, shipped_names
from kp2d_ros.networks.config import PRESETS

UNTRAINED = 'untrained:'
NETWORK = 'kp2d'  # the one that suits the device


def classical_names() -> list[str]:
    """
    The extractors that need no network.
    """
    field = next(field for field in dataclasses.fields(ExtractorConfig) if field.name == 'name')
    info: SettingInfo = field.metadata['setting']
    return [name for name in info.choices or () if name != NETWORK]


def configure_extractor(word: str, config: ExtractorConfig) -> ExtractorConfig:
    """
    The settings for what a word names, the others as they are; ``untrained:`` accepts a network without training.

    :raises ConfigError: if it is neither a name nor a file, with the nearest name.
    """
    if word in classical_names():
        return replace(config, name=word)
    if word == NETWORK:
        return replace(config, name=NETWORK, model=config.model or default_name(config.device))
    if word.startswith(UNTRAINED):
        preset = word.removeprefix(UNTRAINED)
        if preset not in PRESETS:
            raise ConfigError(f'method {word}: found {preset!r}, {_hint(preset, list(PRESETS))}')
        return replace(config, name=NETWORK, model=preset, allow_untrained=True)
    if word in shipped_names() or Path(word).expanduser().is_file():
        return replace(config, name=NETWORK, model=word)
    known = [NETWORK, *classical_names(), *shipped_names(), *(UNTRAINED + preset for preset in PRESETS)]
    raise ConfigError(f'method: found {word!r}, which is no file, {_hint(word, known)}, a checkpoint or an .onnx file')


def weights_file(config: ExtractorConfig) -> Path | None:
    """
    The file that the weights of a configured extractor come from; None where there is none.
    """
    shipped = shipped_file(config.model, config.device, config.backend)
    path = shipped or Path(config.model).expanduser()
    return path if config.model and path.is_file() else None


def short_name(word: str) -> str:
    """
    What tables and folders call it: the word, a file by its name, ``best`` and ``last`` with the folder of their run.
    """
    name = word
    if not word.startswith(UNTRAINED) and word not in (*classical_names(), *shipped_names()):
        path = Path(word).expanduser().absolute()
        name = f'{path.parent.name}_{path.stem}' if path.stem in ('best', 'last') else path.stem
    return re.sub(r'[^A-Za-z0-9._-]+', '_', name).strip('._') or 'model'


def _hint(word: str, known: list[str]) -> str:
    near = [UNTRAINED + word] if word in PRESETS else difflib.get_close_matches(word, known, n=1)
    return f'did you mean {near[0]}? Expected one of {", ".join(known)}' if near else f'expected {", ".join(known)}'
