# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Settings: frozen dataclasses that know their descriptions and ranges, built from YAML without surprises.

The same dataclass gives the defaults, the ``--help`` of the commands and the ROS parameters.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from kp2d_ros.core.errors import ConfigError

T = TypeVar('T')


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """
    What is known of one setting: its range, its choices, and whether a running node may change it.

    Of a list, range and choices are those of its elements.
    """

    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] | None = None
    runtime: bool = False


def setting(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] | None = None,
    runtime: bool = False,
) -> Any:  # the type checker takes a field's type from its annotation
    """
    A dataclass field with a description and a range (both ends belong to it).

    :param runtime: whether a running node may change it without a rebuild.
    """
    info = SettingInfo(description, minimum, maximum, choices, runtime)
    return dataclasses.field(default=default, metadata={'setting': info})


def section(cls: type[T]) -> T:
    """
    A dataclass field that is itself a dataclass of settings, at its defaults.
    """
    return dataclasses.field(default_factory=cls)


def _fields(cls: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    return {f.name: f for f in dataclasses.fields(cls)}


def _resolved_type(cls: type[Any], name: str) -> Any:
    return typing.get_type_hints(cls)[name]


def _check_type(path: str, value: Any, wanted: Any) -> Any:
    options = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    for option in options:
        origin = typing.get_origin(option) or option
        if option is type(None):
            if value is None:
                return None
        elif origin is tuple and isinstance(value, (list, tuple)):
            element = typing.get_args(option)[0]
            return tuple(_check_type(f'{path}[{i}]', v, element) for i, v in enumerate(value))
        elif option is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        elif isinstance(value, origin) and (origin is bool or not isinstance(value, bool)):
            return value
    names = ' or '.join(_type_name(option) for option in options)
    raise ConfigError(f'{path}: found {value!r} ({type(value).__name__}), expected {names}')


def _type_name(wanted: Any) -> str:
    return 'a list [a,b,...]' if typing.get_origin(wanted) is tuple else getattr(wanted, '__name__', str(wanted))


def _check_range(path: str, value: Any, info: SettingInfo) -> None:
    if isinstance(value, tuple):
        for i, element in enumerate(value):
            _check_range(f'{path}[{i}]', element, info)
        return
    if info.choices is not None and value not in info.choices:
        raise ConfigError(f'{path}: found {value!r}, expected one of {", ".join(repr(c) for c in info.choices)}')
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low = -float('inf') if info.minimum is None else info.minimum
        high = float('inf') if info.maximum is None else info.maximum
        if not low <= value <= high:  # written so that NaN is refused
            end = 'on' if high == float('inf') else f'to {high:g}'
            raise ConfigError(f'{path}: found {value!r}, expected a number from {low:g} {end}')


def validate(settings: Any, path: str = '') -> None:
    """
    Check the types, ranges and choices of a dataclass of settings; call it in ``__post_init__``.

    :raises ConfigError: naming the setting, what was found and what was expected.
    """
    for name, field in _fields(type(settings)).items():
        info = field.metadata.get('setting')
        if info is not None:
            value = _check_type(path + name, getattr(settings, name), _resolved_type(type(settings), name))
            object.__setattr__(settings, name, value)
            _check_range(path + name, value, info)


class Settings:
    """
    Base of a dataclass of settings that are checked when it is made, and need no more than that.
    """

    __slots__ = ()

    def __post_init__(self) -> None:
        validate(self)


def unknown_name(key: str, name: object, known: Iterable[str], more: str = '') -> ConfigError:
    """
    The error of a name that is none of the known ones, with the nearest of them.

    :param more: what else would do, for instance " or a .yaml file".
    """
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f'did you mean {near[0]}?' if near else f'expected one of {", ".join(names)}{more}'
    return ConfigError(f'{key}: found {name!r}, {hint}')


def build(cls: type[T], values: Mapping[str, Any], path: str = '') -> T:
    """
    Make a dataclass of settings from nested mappings; what is not named keeps its default.

    :raises ConfigError: if a key is unknown (with the nearest known one) or a value does not fit.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f'{path.rstrip(".") or cls.__name__}: found {values!r}, expected keys and values')
    known = _fields(cls)
    made: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f', did you mean {path}{near[0]}?' if near else f', expected one of {", ".join(sorted(known))}'
            raise ConfigError(f'unknown setting {path}{key}{hint}')
        wanted = _resolved_type(cls, key)
        nested = dataclasses.is_dataclass(wanted) and isinstance(wanted, type)
        made[key] = build(wanted, value, f'{path}{key}.') if nested else value
    try:
        return cls(**made)
    except ConfigError as error:
        raise ConfigError(f'{path}{error}') from error


def flatten(settings: Any, prefix: str = '') -> Iterator[tuple[str, Any, SettingInfo]]:
    """
    Every leaf of a dataclass of settings: its dotted path, its value and what is known of it.
    """
    for name, field in _fields(type(settings)).items():
        value = getattr(settings, name)
        info = field.metadata.get('setting')
        if info is not None:
            yield prefix + name, value, info
        else:
            yield from flatten(value, f'{prefix}{name}.')


def nest(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """
    Nested mappings of dotted keys: ``{'a.b': 1}`` becomes ``{'a': {'b': 1}}``.

    :raises ConfigError: if a key is both a value and a section.
    """
    nested: dict[str, Any] = {}
    for path, value in dotted.items():
        *parents, leaf = path.split('.')
        level = nested
        for parent in parents:
            level = level.setdefault(parent, {})
            if not isinstance(level, dict):
                raise ConfigError(f'{path}: found a value at {parent!r}, expected a section')
        if isinstance(level.get(leaf), dict):
            raise ConfigError(f'{path}: found a section, expected a value')
        level[leaf] = value
    return nested


def parse_overrides(texts: typing.Sequence[str]) -> dict[str, Any]:
    """
    Nested mappings of command-line overrides ``section.key=value``; values are read as YAML scalars.

    :raises ConfigError: if a text has no ``=`` or its value is not YAML.
    """
    dotted = {}
    for text in texts:
        key, sign, value = text.partition('=')
        if not sign or not key.strip():
            raise ConfigError(f'override: found {text!r}, expected key=value, for instance matching.ratio=0.8')
        dotted[key.strip()] = _parse(value, f'override {text!r}')
    return nest(dotted)


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """
    Nested mappings laid over each other; the second one wins.
    """
    merged = dict(first)
    for key, value in second.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f'{where}: is not YAML: {" ".join(str(error).split())}') from error


def load_yaml(path: Path) -> dict[str, Any]:
    """
    Read a YAML file of keys and values with the safe loader: nothing in it is executed.

    :raises ConfigError: if the file cannot be read, is not YAML, or does not hold keys and values.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'{path}: cannot be read: {getattr(error, "strerror", None) or error}') from error
    if text.startswith('%YAML:'):  # OpenCV's first line (EuRoC, Kalibr): a directive to nobody else
        text = text.partition('\n')[2]
    values = _parse(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(f'{path}: found {type(values).__name__}, expected keys and values')
    return values


def format_yaml(settings: Any) -> str:
    """
    A dataclass of settings as YAML text that :func:`build` reads back to an equal one.
    """
    dotted = {path: list(v) if isinstance(v, tuple) else v for path, v, _ in flatten(settings)}
    return str(yaml.safe_dump(nest(dotted), sort_keys=False, default_flow_style=False))
