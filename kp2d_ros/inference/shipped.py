# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The trained networks that come with the package, by name: ``models/NAME.safetensors``, with ``NAME.onnx`` where it is
small, ``NAME_inlier.safetensors`` and the model card ``NAME.md``.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_FOLDER = Path(__file__).absolute().parents[1] / 'models'
_INLIER = '_inlier'
_DEVICES = ('nvidia*', 'nvhost*', 'dxg')  # under /dev: a card, a Jetson, Windows' subsystem for Linux
_ON_CPU, _ON_CUDA = 'compact', 'v4'  # what the names of the defaults contain


def shipped_names() -> list[str]:
    """
    The names of the networks that ship, in alphabetical order.
    """
    stems = (path.stem for path in _FOLDER.glob('*.safetensors'))
    return sorted(stem for stem in stems if not stem.endswith(_INLIER))


def default_name(device: str) -> str:
    """
    The network that suits a device, ``cpu``, ``cuda:0``, ... or ``auto``; empty if none ships.

    On CUDA the largest one, elsewhere the compact one, and any one where that is missing.
    """
    wanted = _ON_CUDA if _is_cuda(device) else _ON_CPU
    names = shipped_names()
    return next((name for name in names if wanted in name), names[0] if names else '')


def shipped_file(name: str, device: str, backend: str) -> Path | None:
    """
    The file of a network that ships: its ONNX form where ONNX Runtime is wanted or the best there is, on a CPU that
    is. Where neither runtime is installed, it is also the one to ask for.

    :param device: as in the settings of the extractor.
    :param backend: ``auto``, ``torch`` or ``onnxruntime``.
    :return: None if none of this name ships.
    """
    if name not in shipped_names():
        return None
    checkpoint, exported = _FOLDER / f'{name}.safetensors', _FOLDER / f'{name}.onnx'
    on_onnx = backend == 'onnxruntime' or (
        backend == 'auto'
        and not _is_cuda(device)
        and (find_spec('onnxruntime') is not None or find_spec('torch') is None)
    )
    return exported if on_onnx and exported.is_file() else checkpoint


def _is_cuda(device: str) -> bool:
    """
    Whether a network would run on CUDA with PyTorch, which is not imported where no NVIDIA device is.
    """
    if device != 'auto':
        return device.startswith('cuda')
    if find_spec('torch') is None or not any(path for name in _DEVICES for path in Path('/dev').glob(name)):
        return False
    from kp2d_ros.inference.torch_backend import find_device

    return find_device('auto').type == 'cuda'
