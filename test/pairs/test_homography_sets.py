# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.pairs.homography_sets import (
    SyntheticConfig,
    open_homography_set,
    open_hpatches,
    open_synthetic,
    set_fingerprint,
)

SIZE = (96, 64)


@pytest.fixture
def photographs(tmp_path: Path, rng: np.random.Generator) -> Path:
    folder = tmp_path / 'photographs'
    for name in ('a/one.png', 'b/one.png', 'b/two.png'):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), cv2.resize(noise, (240, 160), interpolation=cv2.INTER_CUBIC))
    return folder


def test_reads_the_pairs_of_every_sequence(hpatches: Path) -> None:
    images = open_hpatches(hpatches)
    assert [pair.sequence for pair in images.pairs] == ['i_flat'] * 5 + ['v_shift'] * 5
    last = images.pairs[-1]
    assert (last.source, last.target) == ('v_shift/1.ppm', 'v_shift/6.ppm')
    assert last.target_from_source.tolist() == [[1, 0, -20], [0, 1, 0], [0, 0, 1]]
    first, sixth = images.read(last.source), images.read(last.target)
    assert first.image.shape == (96, 144, 3) and first.valid is None
    assert np.array_equal(first.image[:, 20:], sixth.image[:, :-20])


def test_images_are_rgb(hpatches: Path) -> None:
    stored = cv2.imread(str(hpatches / 'i_flat/1.png'))
    assert np.array_equal(open_hpatches(hpatches).read('i_flat/1.png').image, stored[:, :, ::-1])


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('1 0 0\n0 1 0\n', 'found 2 lines, expected a homography'),
        ('1 0 0\n0 1\n0 0 1\n', 'line 2: found .* expected 3'),
        ('1 0 0\n0 nan 0\n0 0 1\n', 'line 2: .* finite'),
        ('1 0 0\n0 x 0\n0 0 1\n', 'line 2'),
        ('1 0 0\n2 0 0\n0 0 1\n', 'cannot be inverted'),
    ],
)
def test_a_wrong_matrix_is_named(hpatches: Path, text: str, words: str) -> None:
    (hpatches / 'v_shift/H_1_4').write_text(text)
    with pytest.raises(DataError, match=f'H_1_4.*{words}'):
        open_hpatches(hpatches)


def test_what_is_missing_is_named(hpatches: Path) -> None:
    (hpatches / 'v_shift/H_1_3').unlink()
    with pytest.raises(DataError, match='v_shift/H_1_3: is missing'):
        open_homography_set(hpatches, SIZE, SyntheticConfig())
    (hpatches / 'i_flat/2.png').unlink()
    with pytest.raises(DataError, match=r'i_flat: found no image for number 2, expected one of 2\.ppm, 2\.png'):
        open_homography_set(hpatches, SIZE, SyntheticConfig())


def test_two_images_of_one_number_are_refused(hpatches: Path) -> None:
    (hpatches / 'i_flat/2.ppm').write_bytes((hpatches / 'v_shift/2.ppm').read_bytes())
    with pytest.raises(DataError, match=r'found 2\.ppm and 2\.png for number 2'):
        open_hpatches(hpatches)


def test_an_image_that_cannot_be_read_is_named(hpatches: Path) -> None:
    images = open_hpatches(hpatches)
    (hpatches / 'i_flat/3.png').write_bytes(b'no picture')
    with pytest.raises(DataError, match=r'i_flat/3\.png: image file: cannot be decoded'):
        images.read('i_flat/3.png')
    with pytest.raises(DataError, match=r'i_flat/9\.png: cannot be read'):
        images.read('i_flat/9.png')


def test_a_single_sequence_is_told_apart_from_a_set(hpatches: Path) -> None:
    with pytest.raises(DataError, match=r'no sequence.*this folder is a sequence itself'):
        open_homography_set(hpatches / 'v_shift', SIZE, SyntheticConfig())


def test_a_folder_without_images_says_what_it_could_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'found no image.*nor has it sequences of HPatches'):
        open_homography_set(tmp_path, SIZE, SyntheticConfig())
    with pytest.raises(DataError, match='missing: does not exist'):
        open_homography_set(tmp_path / 'missing', SIZE, SyntheticConfig())


@pytest.mark.parametrize('preset', ['official_code', 'wide'])
def test_synthetic_views_agree_with_their_homography(photographs: Any, preset: str) -> None:
    images = open_synthetic(photographs, SIZE, SyntheticConfig(preset=preset, pairs=2, seed=3))
    assert [pair.sequence for pair in images.pairs] == ['one.png'] * 2 + ['one.png (2)'] * 2 + ['two.png'] * 2
    agreements = []
    for pair in images.pairs:
        source, target = images.read(pair.source), images.read(pair.target)
        assert source.image.shape == target.image.shape == (64, 96, 3)
        # T as S sees it: by OpenCV, apart from what made the pair.
        seen = cv2.warpPerspective(target.image, pair.target_from_source, SIZE, flags=cv2.WARP_INVERSE_MAP)
        shown = np.ones((64, 96), np.uint8) if target.valid is None else target.valid.astype(np.uint8)
        both = cv2.warpPerspective(shown, pair.target_from_source, SIZE, flags=cv2.WARP_INVERSE_MAP) > 0
        both &= True if source.valid is None else source.valid
        grays = [
            cv2.cvtColor(cv2.GaussianBlur(image, (9, 9), 2), cv2.COLOR_RGB2GRAY)[both] for image in (source.image, seen)
        ]
        agreements.append(abs(np.corrcoef(*grays)[0, 1]))
    assert np.median(agreements) > 0.9


def test_synthetic_pairs_are_the_same_each_time_and_others_for_another_seed(photographs: Any) -> None:
    config = SyntheticConfig(pairs=1, photographs=2)
    first, second = (open_synthetic(photographs, SIZE, config) for _ in range(2))
    assert len(first.pairs) == 2 and first.name == second.name
    for one, other in zip(first.pairs, second.pairs, strict=True):
        assert np.array_equal(one.target_from_source, other.target_from_source)
        assert np.array_equal(first.read(one.target).image, second.read(other.target).image)
    moved = open_synthetic(photographs, SIZE, SyntheticConfig(pairs=1, photographs=2, seed=1))
    assert not np.allclose(first.pairs[0].target_from_source, moved.pairs[0].target_from_source)


def test_the_fingerprint_follows_images_and_matrices(hpatches: Path) -> None:
    pairs = open_hpatches(hpatches).pairs
    hashes = {name: name for pair in pairs for name in (pair.source, pair.target)}
    fingerprint = set_fingerprint(pairs, hashes)
    assert fingerprint == set_fingerprint(pairs, hashes) and len(fingerprint) == 64
    assert fingerprint != set_fingerprint(pairs, {**hashes, 'i_flat/2.png': 'other'})
    assert fingerprint != set_fingerprint(pairs[1:], hashes)


def test_a_preset_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match='preset'):
        SyntheticConfig(preset='narrow')
