# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kp2d_ros.core.errors import ConfigError
from kp2d_ros.core.settings import (
    Settings,
    build,
    flatten,
    format_yaml,
    load_yaml,
    merge,
    nest,
    parse_overrides,
    section,
    setting,
    unknown_name,
    validate,
)


@dataclass(frozen=True, slots=True)
class MatchingConfig:
    ratio: float = setting(0.9, 'ratio test', minimum=0.0, maximum=1.0, runtime=True)
    mutual: bool = setting(True, 'both ways')

    def __post_init__(self) -> None:
        validate(self)


@dataclass(frozen=True, slots=True)
class WholeConfig:
    name: str = setting('orb', 'extractor', choices=('orb', 'sift'))
    limit: int | None = setting(None, 'most points', minimum=1)
    sizes: tuple[int, ...] = setting((1, 2), 'levels')
    matching: MatchingConfig = section(MatchingConfig)

    def __post_init__(self) -> None:
        validate(self)


def test_what_is_not_named_keeps_its_default() -> None:
    made = build(WholeConfig, {'matching': {'ratio': 0.5}, 'sizes': [4, 5, 6]})
    assert made == WholeConfig(sizes=(4, 5, 6), matching=MatchingConfig(ratio=0.5))
    assert build(WholeConfig, {}) == WholeConfig()


def test_whole_numbers_do_for_floats_and_lists_for_tuples() -> None:
    made = build(WholeConfig, {'matching': {'ratio': 1}, 'sizes': []})
    assert isinstance(made.matching.ratio, float)
    assert made.sizes == ()


@pytest.mark.parametrize(
    ('values', 'complaint'),
    [
        ({'matching': {'ration': 0.5}}, 'unknown setting matching.ration, did you mean matching.ratio?'),
        ({'zzz': 1}, 'unknown setting zzz, expected one of limit, matching, name, sizes'),
        ({'matching': {'ratio': 1.5}}, 'matching.ratio: found 1.5, expected a number from 0 to 1'),
        ({'matching': {'ratio': float('nan')}}, 'matching.ratio: found nan'),
        ({'matching': {'ratio': '0.5'}}, "matching.ratio: found '0.5' (str), expected float"),
        ({'matching': {'ratio': True}}, 'matching.ratio: found True (bool), expected float'),
        ({'matching': {'mutual': 1}}, 'matching.mutual: found 1 (int), expected bool'),
        ({'matching': 3}, 'matching: found 3, expected keys and values'),
        ({'limit': 0}, 'limit: found 0, expected a number from 1 on'),
        ({'limit': 2.5}, 'limit: found 2.5 (float), expected int or NoneType'),
        ({'sizes': [1, 'two']}, "sizes[1]: found 'two' (str), expected int"),
        ({'sizes': 7}, 'sizes: found 7 (int)'),
        ({'name': 'surf'}, "name: found 'surf', expected one of 'orb', 'sift'"),
        ([1], 'WholeConfig: found [1], expected keys and values'),
    ],
)
def test_refuses_what_does_not_fit_and_names_its_place(values: dict[str, Any] | list[int], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(WholeConfig, values)
    assert complaint in str(caught.value)


def test_a_section_made_by_hand_is_checked_too() -> None:
    with pytest.raises(ConfigError, match=r'ratio: found -1'):
        MatchingConfig(ratio=-1)


def test_flattening_gives_every_leaf_with_what_is_known_of_it() -> None:
    leaves = {path: (value, info) for path, value, info in flatten(WholeConfig())}
    assert list(leaves) == ['name', 'limit', 'sizes', 'matching.ratio', 'matching.mutual']
    value, info = leaves['matching.ratio']
    assert (value, info.description, info.minimum, info.maximum, info.runtime) == (0.9, 'ratio test', 0.0, 1.0, True)
    assert not leaves['name'][1].runtime


def test_yaml_gives_equal_settings_back(tmp_path: Path) -> None:
    original = WholeConfig(name='sift', limit=7, sizes=(), matching=MatchingConfig(0.25, False))
    (tmp_path / 'a.yaml').write_text(format_yaml(original), encoding='utf-8')
    assert build(WholeConfig, load_yaml(tmp_path / 'a.yaml')) == original


@hypothesis.settings(max_examples=40, deadline=None)
@given(ratio=st.floats(0, 1), mutual=st.booleans(), limit=st.none() | st.integers(1), sizes=st.lists(st.integers()))
def test_yaml_gives_any_settings_back(
    tmp_path_factory: pytest.TempPathFactory, ratio: Any, mutual: Any, limit: Any, sizes: Any
) -> None:
    original = WholeConfig(limit=limit, sizes=tuple(sizes), matching=MatchingConfig(ratio, mutual))
    path = tmp_path_factory.getbasetemp() / 'any.yaml'
    path.write_text(format_yaml(original), encoding='utf-8')
    assert build(WholeConfig, load_yaml(path)) == original


@pytest.mark.parametrize(
    ('text', 'complaint'),
    [
        ('- 1\n- 2\n', 'found list, expected keys and values'),
        ('', 'found NoneType'),
        ('a: [1', 'is not YAML'),
        ('a: !!python/object/apply:os.system [echo]', 'is not YAML'),
    ],
)
def test_refuses_yaml_that_holds_no_settings_and_executes_nothing(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / 'a.yaml').write_text(text, encoding='utf-8')
    with pytest.raises(ConfigError, match=rf'a\.yaml: {complaint}'):
        load_yaml(tmp_path / 'a.yaml')


def test_names_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'a\.yaml: cannot be read'):
        load_yaml(tmp_path / 'a.yaml')
    (tmp_path / 'a.yaml').write_bytes(b'\xff\xfe\xff')
    with pytest.raises(ConfigError, match=r'a\.yaml: cannot be read'):
        load_yaml(tmp_path / 'a.yaml')


def test_passes_over_the_first_line_that_opencv_writes(tmp_path: Path) -> None:
    (tmp_path / 'a.yaml').write_text('%YAML:1.0\n---\na: 1\n', encoding='utf-8')
    assert load_yaml(tmp_path / 'a.yaml') == {'a': 1}


def test_dotted_keys_are_nested() -> None:
    assert nest({'a.b': 1, 'a.c.d': 2, 'e': 3}) == {'a': {'b': 1, 'c': {'d': 2}}, 'e': 3}
    for clash in ({'a': 1, 'a.b': 2}, {'a.b': 2, 'a': 1}):
        with pytest.raises(ConfigError, match='a'):
            nest(clash)


def test_overrides_are_read_as_yaml_values() -> None:
    texts = ['matching.ratio=0.8', 'name = sift', 'limit=null', 'sizes=[1, 2]', 'text=a=b']
    parsed = parse_overrides(texts)
    assert parsed == {'matching': {'ratio': 0.8}, 'name': 'sift', 'limit': None, 'sizes': [1, 2], 'text': 'a=b'}


@pytest.mark.parametrize('text', ['ratio', '=5', ' =5'])
def test_refuses_an_override_without_key_and_value(text: str) -> None:
    with pytest.raises(ConfigError, match='expected key=value'):
        parse_overrides([text])
    with pytest.raises(ConfigError, match=r"override 'a=\[': is not YAML"):
        parse_overrides(['a=['])


def test_the_second_mapping_wins_leaf_by_leaf() -> None:
    first, second = {'a': {'b': 1, 'c': 2}, 'd': 3}, {'a': {'b': 9}, 'd': {'e': 4}}
    assert merge(first, second) == {'a': {'b': 9, 'c': 2}, 'd': {'e': 4}}
    assert first == {'a': {'b': 1, 'c': 2}, 'd': 3}


def test_settings_without_a_check_of_their_own_are_checked_by_their_base() -> None:
    @dataclass(frozen=True, slots=True)
    class Plain(Settings):
        count: int = setting(1, 'of something', minimum=1)

    assert Plain(2).count == 2
    with pytest.raises(ConfigError, match='count: found 0, expected a number from 1'):
        Plain(0)


def test_an_unknown_name_is_told_with_the_nearest_or_with_all_of_them() -> None:
    assert str(unknown_name('method', 'sifft', ['orb', 'sift'])) == "method: found 'sifft', did you mean sift?"
    error = unknown_name('method', 'x', ['orb', 'sift'], ' or a file')
    assert str(error) == "method: found 'x', expected one of orb, sift or a file"
