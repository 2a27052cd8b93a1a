# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Photographs from folders, tar files and bags: what is used, what is skipped, what is refused.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import ConfigError, DataError
from kp2d_ros.core.records import Frame
from kp2d_ros.pairs.photo_sources import FitImage, as_rgb, keep_frames, open_tar
from kp2d_ros.pairs.photos import PhotosConfig, open_photos
from kp2d_ros.recordings.image_decoding import decode_file
from kp2d_ros.recordings.sources import open_sequence

SMALL = PhotosConfig(min_side_px=8)


def picture(rng: np.random.Generator, height: int = 24, width: int = 32) -> NDArray[Any]:
    return cv2.resize(rng.integers(0, 256, (4, 5, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


def encoded(image: Any, suffix: str = '.png') -> Any:
    return cv2.imencode(suffix, image[:, :, ::-1])[1].tobytes()


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """
    Four good images, two of them in a sub-folder.
    """
    (tmp_path / 'photos' / 'more').mkdir(parents=True)
    for name in ('b.png', 'a.jpg', 'more/c.webp', 'more/d.PNG'):
        (tmp_path / 'photos' / name).write_bytes(encoded(picture(rng), name[name.index('.') :].lower()))
    return tmp_path / 'photos'


def write_tar(path: Path, members: Any) -> Path:
    with tarfile.open(path, 'w') as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def names_in(photos: Any) -> list[Any]:
    return [name.rpartition('/')[2] for name in photos.names]


def test_reads_a_folder_and_its_sub_folders(folder: Any) -> None:
    photos = open_photos([folder], SMALL, 12, 16)
    assert names_in(photos) == ['a.jpg', 'b.png', 'c.webp', 'd.PNG']
    images = photos.read(np.arange(4))
    assert images.shape == (4, 3, 12, 16) and images.dtype == np.uint8
    original = cv2.imread(str(folder / 'b.png'))[:, :, ::-1]
    np.testing.assert_array_equal(
        images[1], cv2.resize(original, (16, 12), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
    )


def test_leaves_sub_folders_out_if_told_to(folder: Any) -> None:
    assert names_in(open_photos([folder], replace(SMALL, recursive=False), 12, 16)) == ['a.jpg', 'b.png']


def test_tar_gives_the_images_of_its_folder(folder: Any, tmp_path: Path) -> None:
    files = sorted(f for f in folder.rglob('*') if f.is_file())
    tar = write_tar(tmp_path / 'p.tar', [(f.name, f.read_bytes()) for f in files])
    from_tar, from_folder = open_photos([tar], SMALL, 12, 16), open_photos([folder], SMALL, 12, 16)
    np.testing.assert_array_equal(from_tar.read(np.arange(4)), from_folder.read(np.arange(4)))


def test_hostile_members_of_a_tar_are_labels_at_most(tmp_path: Path, rng: np.random.Generator) -> None:
    good = encoded(picture(rng))
    path = tmp_path / 'p.tar'
    with tarfile.open(path, 'w') as tar:
        for name in ('../../evil.png', '/etc/evil.png'):
            info = tarfile.TarInfo(name)
            info.size = len(good)
            tar.addfile(info, io.BytesIO(good))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo(f'{kind!r}.png')
            info.type, info.linkname = kind, '/etc/passwd'
            tar.addfile(info)
    before = sorted(tmp_path.rglob('*'))
    photos = open_photos([path], SMALL, 12, 16)
    assert len(photos) == 2 and photos.read(np.arange(2)).any()
    assert sorted(tmp_path.rglob('*')) == before


def test_tar_members_larger_than_allowed_are_counted_not_read(tmp_path: Path, rng: np.random.Generator) -> None:
    good = encoded(picture(rng))
    path = write_tar(tmp_path / 'p.tar', [('good.png', good), ('huge.png', bytes(100_000))])
    photos = open_photos([path], replace(SMALL, max_file_mb=0.05), 12, 16)
    assert len(photos) == 1
    assert photos.skipped.count == 1 and "'huge.png': 100000 bytes" in str(photos.skipped)


def test_refuses_a_tar_that_is_cut_short_or_packed(tmp_path: Path, rng: np.random.Generator) -> None:
    whole = write_tar(tmp_path / 'p.tar', [(f'{i}.png', encoded(picture(rng))) for i in range(3)]).read_bytes()
    (tmp_path / 'cut.tar').write_bytes(whole[:700])
    with pytest.raises(DataError, match=r'cut\.tar: cannot be read as an uncompressed tar file'):
        open_tar(tmp_path / 'cut.tar', 1 << 20)
    with tarfile.open(tmp_path / 'p.tar.gz', 'w:gz') as tar:
        tar.add(tmp_path / 'p.tar', 'x.png')
    with pytest.raises(DataError, match='cannot be read as an uncompressed tar file'):
        open_photos([tmp_path / 'p.tar.gz'], SMALL, 12, 16)


def test_every_kind_of_pixels_becomes_rgb(rng: np.random.Generator) -> None:
    pillow = pytest.importorskip('PIL.Image')
    rgb = pillow.fromarray(picture(rng))

    def content(image: Any, kind: Any, **options: Any) -> Any:
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    deep = rng.integers(0, 2**16, (24, 32), np.uint16)
    cases = {
        'gray': content(rgb.convert('L'), 'PNG'),
        'palette': content(rgb.convert('P'), 'PNG'),
        'alpha': content(rgb.convert('RGBA'), 'PNG'),
        'gray with alpha': content(rgb.convert('LA'), 'PNG'),
        'one bit': content(rgb.convert('1'), 'PNG'),
        'CMYK': content(rgb.convert('CMYK'), 'JPEG', quality=95),
        'gray JPEG': content(rgb.convert('L'), 'JPEG', quality=95),
        'WebP with alpha': content(rgb.convert('RGBA'), 'WEBP', lossless=True),
        '16 bit': cv2.imencode('.png', deep)[1].tobytes(),
        '16 bit TIFF': cv2.imencode('.tiff', deep)[1].tobytes(),
    }
    for name, data in cases.items():
        image = as_rgb(decode_file(data))
        assert image.shape == (24, 32, 3) and image.dtype == np.uint8, name
    np.testing.assert_array_equal(decode_file(cases['alpha']), np.asarray(rgb))
    np.testing.assert_array_equal(decode_file(cases['palette']), np.asarray(rgb.convert('P').convert('RGB')))
    np.testing.assert_allclose(decode_file(cases['16 bit']), deep / 257, atol=1)
    assert np.abs(decode_file(cases['CMYK']).astype(int) - np.asarray(rgb)).mean() < 12


def test_corrupt_and_tiny_images_are_skipped_and_counted(folder: Any, rng: np.random.Generator) -> None:
    (folder / 'broken.jpg').write_bytes(encoded(picture(rng), '.jpg')[:-40])
    (folder / 'cut.webp').write_bytes(encoded(picture(rng), '.webp')[:60])
    (folder / 'empty.png').write_bytes(b'')
    (folder / 'text.png').write_bytes(b'not an image')
    (folder / 'tiny.png').write_bytes(encoded(picture(rng, 6, 40)))
    (folder / 'notes.txt').write_text('nothing that looks like an image')
    photos = open_photos([folder], SMALL, 12, 16)
    assert names_in(photos) == ['a.jpg', 'b.png', 'c.webp', 'd.PNG']
    assert photos.skipped.count == 5
    assert 'found 40x6 pixels, expected sides of at least 8' in str(photos.skipped)
    assert len(photos.skipped.first) == 5


def test_names_only_the_first_of_many_skipped_images(folder: Any) -> None:
    for i in range(9):
        (folder / f'empty{i}.png').write_bytes(b'')
    text = str(open_photos([folder], SMALL, 12, 16).skipped)
    assert text.startswith('9 images skipped: ') and text.endswith('; and 4 more')


def test_refuses_paths_without_a_usable_image(folder: Any, tmp_path: Path) -> None:
    (tmp_path / 'none').mkdir()
    (tmp_path / 'bad').mkdir()
    (tmp_path / 'bad' / 'x.png').write_bytes(b'')
    (tmp_path / 'file.txt').write_text('x')
    for name, message in {
        'missing': 'does not exist',
        'none': 'found no image, expected files of .bmp',
        'bad': 'none of its images can be used; 1 images skipped',
        'file.txt': 'found a file that is no tar file or bag',
    }.items():
        with pytest.raises(DataError, match=message):
            open_photos([folder, tmp_path / name], SMALL, 12, 16)
    with pytest.raises(DataError, match='data: found no path'):
        open_photos([], SMALL, 12, 16)


def test_little_memory_gives_the_same_images(folder: Any) -> None:
    all_kept = open_photos([folder], SMALL, 480, 640)
    one_kept = open_photos([folder], replace(SMALL, memory_limit_mb=1), 480, 640)  # an image takes 0.9 MB
    indices = np.array([3, 0, 3, 3, 1])
    np.testing.assert_array_equal(one_kept.read(indices), all_kept.read(indices))


def test_an_image_that_vanishes_is_named(folder: Any) -> None:
    photos = open_photos([folder], replace(SMALL, memory_limit_mb=1), 480, 640)
    photos.read(np.array([1]))  # so that this one is in memory, whichever was opened last
    (folder / 'a.jpg').unlink()
    with pytest.raises(DataError, match=r'a\.jpg: could be read before, now: cannot be read'):
        photos.read(np.array([0]))


def test_keeps_the_aspect_by_cutting_out_the_centre(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    fitted = FitImage(20, 20, keep_aspect=True)(wide)
    assert fitted.shape == (20, 20, 3) and np.all(fitted == 200)
    assert FitImage(20, 20, keep_aspect=False)(wide).min() == 0


def test_fingerprint_says_which_photographs_not_where(folder: Any, tmp_path: Path) -> None:
    fingerprint = open_photos([folder], SMALL, 12, 16).fingerprint
    moved = folder.rename(tmp_path / 'elsewhere')
    assert open_photos([moved], SMALL, 12, 16).fingerprint == fingerprint
    (moved / 'b.png').unlink()
    assert open_photos([moved], SMALL, 12, 16).fingerprint != fingerprint


def test_held_out_photographs_are_not_in_the_other_part(folder: Any) -> None:
    photos = open_photos([folder], SMALL, 12, 16)
    training, validation = photos.hold_out(1, seed=0)
    assert (len(training), len(validation)) == (3, 1)
    assert sorted(training.names + validation.names) == sorted(photos.names)
    assert photos.hold_out(1, seed=0)[1].names == validation.names
    with pytest.raises(DataError, match='held out: found 4 of 4, expected 1 to 3'):
        photos.hold_out(4, seed=0)


class Recording:
    """
    A sequence of ten gray images, the i-th of brightness i.
    """

    name = 'recording'
    camera = None
    ground_truth = None

    def __len__(self) -> int:
        return 10

    def __iter__(self) -> Iterator[Frame]:
        for i in range(10):
            yield Frame(i, 10**9 + i, np.full((24, 32), i, np.uint8))


def test_recordings_give_every_nth_image() -> None:
    source = keep_frames(None, Recording(), FitImage(12, 16, keep_aspect=False), 4, 10**6)
    assert [int(source.read(i)[0, 0, 0]) for i in range(len(source.entries))] == [0, 4, 8]
    assert source.read(0).shape == (12, 16, 3)


def test_recordings_larger_than_the_memory_limit_are_refused() -> None:
    with pytest.raises(DataError, match=r'expected fewer of them \(photos.bag_every, now 1\)'):
        keep_frames('bag', Recording(), FitImage(12, 16, keep_aspect=False), 1, 3 * 12 * 16 * 5)


def test_a_damaged_recording_gives_what_comes_before() -> None:
    def frames() -> Iterator[Any]:
        yield from list(Recording())[:5]
        raise DataError('message 5: cut short')

    source = keep_frames('bag', frames(), FitImage(12, 16, keep_aspect=False), 2, 10**6)
    assert len(source.entries) == 3
    assert source.refused == ('the rest: message 5: cut short',)


def test_reads_bags_and_holds_out_their_end(folder: Any, tmp_path: Path) -> None:
    pytest.importorskip('rosbags')
    from kp2d_ros.recordings.bag_writer import write_bag

    write_bag(tmp_path / 'bag', Recording())
    photos = open_photos([folder, tmp_path / 'bag'], replace(SMALL, bag_every=2), 12, 16)
    assert len(photos) == 4 + 5 and photos.source.tolist() == [0] * 4 + [1] * 5
    assert photos.read(np.arange(4, 9))[:, 0, 0, 0].tolist() == [0, 2, 4, 6, 8]
    bag_only = photos.take(np.arange(4, 9))
    assert bag_only.hold_out(2, seed=1)[1].read(np.arange(2))[:, 0, 0, 0].tolist() == [6, 8]


@pytest.mark.parametrize('keep', ['a folder', 'the only bag file in a folder', 'a bag file'])
def test_what_replays_as_a_bag_trains_as_one(tmp_path: Path, keep: str) -> None:
    pytest.importorskip('rosbags')
    from kp2d_ros.recordings.bag_writer import write_bag

    path = tmp_path / 'bag'
    write_bag(path, Recording())
    if keep == 'the only bag file in a folder':
        (path / 'metadata.yaml').unlink()
    photos = open_photos([path / 'bag.mcap' if keep == 'a bag file' else path], SMALL, 12, 16)
    assert len(photos) == len(open_sequence(path)) / SMALL.bag_every


def test_refuses_weights_that_do_not_fit(folder: Any) -> None:
    with pytest.raises(ConfigError, match=r'weights: found 2, expected one for each of the 1 data paths'):
        open_photos([folder], replace(SMALL, weights=(1, 2)), 12, 16)
    with pytest.raises(ConfigError, match='expected numbers from 0 on, not all 0'):
        PhotosConfig(weights=(0.0, 0.0))
