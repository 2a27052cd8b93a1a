# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the name of a method means, on every command line, in settings and in Python: decided here and nowhere else.

Networks ship as ``models/NAME.safetensors`` for torch, with ``NAME.onnx`` for ONNX Runtime where that is small, IO-Net
``NAME_inlier.safetensors`` and the model card ``NAME.md``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.packages import is_installed
from kp2d_ros.networks.config import PRESETS

NETWORK = 'kp2d'  # the network that ships for the device
CLASSICAL = ('sift', 'orb')
OPENCV = ('opencv-sift', 'opencv-orb', 'opencv-akaze')
UNTRAINED = 'untrained:'
BACKENDS = ('auto', 'torch', 'onnxruntime')

METHODS_HELP = """methods:
  kp2d                      the network that ships for the device
  kp2d-compact-m, kp2d-v4   one of those that ship
  sift, orb                 as the frontend uses them: RootSIFT, sub-pixel places
  opencv-sift, opencv-orb,  OpenCV as it is, as published figures were measured; only where keypoints
  opencv-akaze                are evaluated or drawn
  PATH                      checkpoint (.safetensors, .ckpt), .onnx of kp2d export, .yaml beside an .onnx of others
  untrained:PRESET          a network without training (untrained:compact-s, untrained:PATH)
"""

_FOLDER = Path(__file__).absolute().parents[1] / 'models'
_INLIER = '_inlier'
_DEFAULT = 'compact'  # what the name of the default contains
_SUFFIXES = {'torch': '.safetensors', 'onnxruntime': '.onnx'}
_PACKAGES = {'torch': ('torch', 'safetensors'), 'onnxruntime': ('onnxruntime',), 'opencv': ('cv2',)}
_ADAPTERS = ('.yaml', '.yml')
_MODEL_SUFFIXES = ('.safetensors', '.ckpt', '.pth', '.pt', '.onnx', *_ADAPTERS)
_DEVICES = ('nvidia*', 'nvhost*', 'dxg')  # under /dev: a card, a Jetson, Windows' subsystem for Linux
_RUN_FILES = ('best', 'last')  # what training calls its networks


class MethodKind(Enum):
    """
    How a method finds keypoints: OpenCV as the frontend uses it, OpenCV as it is, a network of this package, or an
    ONNX model of others.
    """

    CLASSICAL = 'classical'
    OPENCV = 'opencv'
    NETWORK = 'network'
    ADAPTED = 'adapted'


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """
    What a word stands for: ``runtime`` is ``torch``, ``onnxruntime`` or ``opencv``; ``path`` the file that is read, or
    None; ``preset`` the form of a network that is made without training, else empty.

    ``allow_untrained``: the word says that the network need not be trained.
    """

    word: str
    kind: MethodKind
    runtime: str
    path: Path | None = None
    preset: str = ''
    allow_untrained: bool = False

    @property
    def inlier_path(self) -> Path | None:
        """
        Where training leaves the IO-Net of a network: ``best_inlier.safetensors`` for ``best.safetensors`` and
        ``best.onnx``.
        """
        return None if self.path is None else self.path.with_name(f'{self.path.stem}{_INLIER}.safetensors')

    @property
    def is_default(self) -> bool:
        """
        Whether nobody asked for this network in particular.
        """
        return self.word in ('', NETWORK)

    @property
    def has_runtime(self) -> bool:
        """
        Whether the packages are installed that it runs on.
        """
        return is_installed(*_PACKAGES[self.runtime])


def resolve(word: str, device: str = 'auto', backend: str = 'auto') -> ModelChoice:
    """
    What a word means on a device with a runtime.

    Of a network that ships there are two forms: ONNX Runtime's is taken on a CPU, torch's on other devices, or the one
    whose runtime is installed. A file says by its suffix what runs it.

    :param word: see :data:`METHODS_HELP`; empty: ``kp2d``.
    :param device: as in the settings of the extractor: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``tensorrt``, ...
    :param backend: one of :data:`BACKENDS`.
    :raises ConfigError: if it is neither a name nor a file, with the nearest name; or the runtime does not run it.
    """
    if backend not in BACKENDS:
        raise ConfigError(f'backend: found {backend!r}, expected one of {", ".join(BACKENDS)}')
    if word in CLASSICAL:
        return ModelChoice(word, MethodKind.CLASSICAL, 'opencv')
    if word in OPENCV:
        return ModelChoice(word, MethodKind.OPENCV, 'opencv')
    if word.startswith(UNTRAINED):
        return _untrained(word, backend)
    name = _default_name() if word in ('', NETWORK) else word
    return _shipped(word, name, device, backend) if name in shipped_names() else _file(word, Path(word), backend)


def shipped_names() -> list[str]:
    """
    The names of the networks that ship, in alphabetical order.
    """
    stems = (path.stem for path in _FOLDER.glob('*.safetensors'))
    return sorted(stem for stem in stems if not stem.endswith(_INLIER))


def method_names(words: Sequence[str]) -> list[str]:
    """
    What reports call some methods, each name once and fit for a folder but for the colon of ``untrained:PRESET``: files
    without folder and suffix, ``best`` and ``last`` with the folder of their run.

    :raises ConfigError: if there is no method, or one is there twice.
    """
    if not words or len(set(words)) < len(words):
        raise ConfigError(f'methods: found {", ".join(words) or "none"}, expected some methods, each once')
    names = [_short_name(word) for word in words]
    return [name if names.count(name) == 1 else f'{name}_{place}' for place, name in enumerate(names, start=1)]


def _default_name() -> str:
    names = shipped_names()
    if not names:
        raise ConfigError(
            f'method: found no network in {_FOLDER}, expected those that ship with the package; '
            'name the path of one, or sift or orb, which need no network'
        )
    return next((name for name in names if _DEFAULT in name), names[0])


def _shipped(word: str, name: str, device: str, backend: str) -> ModelChoice:
    files = {runtime: _FOLDER / f'{name}{suffix}' for runtime, suffix in _SUFFIXES.items()}
    choices = [
        ModelChoice(word, MethodKind.NETWORK, runtime, files[runtime])
        for runtime in _runtimes(device, backend)
        if files[runtime].is_file()
    ]
    if not choices:
        raise ConfigError(
            f'{name}: ships no {_SUFFIXES["onnxruntime"]} file, which ONNX Runtime needs; '
            f'kp2d export --method {name} --out {name}.onnx makes one'
        )
    return next((choice for choice in choices if choice.has_runtime), choices[0])


def _runtimes(device: str, backend: str) -> tuple[str, ...]:
    """
    The runtimes that may run a network, the better one first.
    """
    if backend != 'auto':
        return (backend,)
    kind = device.partition(':')[0]
    if kind == 'tensorrt':
        return ('onnxruntime',)
    on_cpu = kind == 'cpu' or (kind == 'auto' and not _torch_finds_cuda())
    return ('onnxruntime', 'torch') if on_cpu else ('torch', 'onnxruntime')


def _torch_finds_cuda() -> bool:
    """
    Whether torch would run on CUDA; it is not imported where no NVIDIA device is.
    """
    has_device = any(path for name in _DEVICES for path in Path('/dev').glob(name))
    if not has_device or not is_installed('torch'):
        return False
    from kp2d_ros.inference.torch_backend import find_device

    return find_device('auto').type == 'cuda'


def _untrained(word: str, backend: str) -> ModelChoice:
    name = word.removeprefix(UNTRAINED)
    path = Path(name).expanduser()
    if name in PRESETS:
        _check_backend(word, 'torch', backend)
        return ModelChoice(word, MethodKind.NETWORK, 'torch', preset=name, allow_untrained=True)
    if not path.is_file():
        raise ConfigError(f'method {word}: found {name!r}, {_hint(name, list(PRESETS))}')
    runtime = _runtime_of(word, path, backend)
    return ModelChoice(word, MethodKind.NETWORK, runtime, path, allow_untrained=True)


def _file(word: str, path: Path, backend: str) -> ModelChoice:
    path = path.expanduser()
    if not path.is_file():
        known = [NETWORK, *CLASSICAL, *OPENCV, *shipped_names(), *(UNTRAINED + preset for preset in PRESETS)]
        raise ConfigError(f'method: found {word!r}, which is no file, {_hint(word, known)}, a checkpoint or .onnx file')
    kind = MethodKind.ADAPTED if path.suffix in _ADAPTERS else MethodKind.NETWORK
    return ModelChoice(word, kind, _runtime_of(word, path, backend), path)


def _runtime_of(word: str, path: Path, backend: str) -> str:
    runtime = 'onnxruntime' if path.suffix in ('.onnx', *_ADAPTERS) else 'torch'
    _check_backend(word, runtime, backend)
    return runtime


def _check_backend(word: str, runtime: str, backend: str) -> None:
    if backend not in ('auto', runtime):
        raise ConfigError(
            f'backend: found {backend!r} for {word}, expected {runtime!r}; kp2d export makes .onnx files, which '
            'onnxruntime runs, from checkpoints, which torch runs'
        )


def _hint(word: str, known: list[str]) -> str:
    near = [UNTRAINED + word] if word in PRESETS else difflib.get_close_matches(word, known, n=1)
    return f'did you mean {near[0]}? Expected one of {", ".join(known)}' if near else f'expected {", ".join(known)}'


def _short_name(word: str) -> str:
    path = Path(word.removeprefix(UNTRAINED))
    if path.suffix not in _MODEL_SUFFIXES and '/' not in word:
        return word
    folder = f'{path.expanduser().absolute().parent.name}_' if path.stem in _RUN_FILES else ''
    name = re.sub(r'[^A-Za-z0-9._-]+', '_', folder + path.stem).strip('._') or 'model'
    return UNTRAINED + name if word.startswith(UNTRAINED) else name
