# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest

import kp2d_ros.cli.evaluate_keypoints as command
from kp2d_ros.cli.main import main
from kp2d_ros.core.files import claim_folder
from kp2d_ros.evaluation.keypoints.methods import Method
from kp2d_ros.evaluation.keypoints.run import EvaluationDesk

SMALL = ['width=144', 'height=96', 'top_k=40', 'orders=2', 'model.threads=1', '--quiet']


def evaluate(*words: object) -> int:
    return main(['evaluate', 'keypoints', *(str(word) for word in words)])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / 'out'


def test_evaluates_methods_and_writes_both_reports(
    hpatches: Path, out: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(hpatches, '--methods', 'opencv-orb,opencv-sift,untrained:compact-n', '--out', out, *SMALL) == 0
    shown = capsys.readouterr().out
    assert 'hpatches: 10 pairs' in shown and 'Homographies, the task itself:' in shown
    report = json.loads((out / 'report.json').read_text())
    assert [method['name'] for method in report['methods']] == ['opencv-orb', 'opencv-sift', 'untrained:compact-n']
    sift = report['methods'][1]
    assert set(sift['means']) == {'all', 'light', 'viewpoint'}
    assert sift['means']['light']['repeatability'] == sift['means']['light']['correct_1'] == 1.0
    assert report['settings']['top_k'] == 40 and report['versions']['kp2d_ros']
    page = (out / 'report.html').read_text()
    for words in ('Which is better', 'v_shift', 'untrained:compact-n', report['dataset']['fingerprint']):
        assert words in page
    assert page.count('<img ') == 5 + 2 * 3
    assert 'http://' not in page and 'https://' not in page and '<script' not in page


def test_a_second_run_takes_everything_from_the_cache(
    hpatches: Path, out: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (hpatches, '--methods', 'opencv-sift', '--out', out, *SMALL)
    assert evaluate(*words) == 0
    first = json.loads((out / 'report.json').read_text())
    assert evaluate(*words) == 0
    second = json.loads((out / 'report.json').read_text())
    assert 'came from the cache' in capsys.readouterr().out
    assert second['methods'][0]['images_from_cache'] >= 12
    assert first['methods'][0]['pairs'] == second['methods'][0]['pairs']


def test_without_a_cache_nothing_is_kept(hpatches: Path, out: Any) -> None:
    assert evaluate(hpatches, '--methods', 'opencv-sift', '--out', out, '--no-cache', *SMALL) == 0
    assert sorted(path.name for path in out.iterdir()) == ['report.html', 'report.json']


def test_pairs_are_made_of_photographs(
    hpatches: Path, tmp_path: Path, out: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    photographs = tmp_path / 'photographs'
    photographs.mkdir()
    for number in (1, 2):
        image = cv2.imread(str(hpatches / f'v_shift/{number}.ppm'))
        cv2.imwrite(str(photographs / f'{number}.png'), cv2.resize(image, None, fx=2, fy=2))
    words = ('--methods', 'opencv-sift', '--out', out, 'synthetic.pairs=2', *SMALL)
    assert evaluate(photographs, *words) == 0
    report = json.loads((out / 'report.json').read_text())
    assert report['dataset']['pairs'] == 4 and list(report['methods'][0]['sequences']) == ['1.png', '2.png']
    assert list(report['methods'][0]['means']) == ['all']
    assert evaluate(photographs, *words) == 0
    again = json.loads((out / 'report.json').read_text())
    assert again['dataset'] == report['dataset'] and again['methods'][0]['images_from_cache'] == 8


def test_the_size_has_a_short_form(hpatches: Path, out: Any) -> None:
    assert evaluate(hpatches, '--methods', 'opencv-orb', '--out', out, '--size', '96x80', 'top_k=20', '--quiet') == 0
    settings = json.loads((out / 'report.json').read_text())['settings']
    assert (settings['width'], settings['height'], settings['pool']) == (96, 80, 80)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--methods', 'surf'], "found 'surf', which is no file"),
        (['--methods', 'compact-s'], 'untrained:compact-s'),
        (['half_pixle=true'], 'unknown setting half_pixle, did you mean half_pixel?'),
        (['--size', 'large'], "--size: found 'large', expected for instance 640x480"),
        (['exclude=[i_flat,v_shift]'], 'every sequence is left out'),
        (['color_order=hsv'], 'color_order'),
    ],
)
def test_what_cannot_be_is_one_line(
    hpatches: Path, out: Any, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert evaluate(hpatches, '--out', out, '--quiet', *words) == 1
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    hpatches: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*arguments: object) -> None:
        raise AssertionError

    monkeypatch.setattr(command, 'evaluate_keypoints', work)
    (tmp_path / 'file').write_text('')
    assert evaluate(hpatches, '--out', tmp_path / 'file' / 'out', '--methods', 'sift', *SMALL) == 1
    assert 'file/out: cannot be written' in capsys.readouterr().err
    with claim_folder(tmp_path / 'out'):
        assert evaluate(hpatches, '--out', tmp_path / 'out', '--methods', 'sift', *SMALL) == 1
    assert 'another run is writing into this folder' in capsys.readouterr().err


def test_an_interrupted_run_says_what_it_keeps(
    hpatches: Path, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(desk: EvaluationDesk, methods: Sequence[Method], on_pair: object) -> None:
        desk.predict(methods[0], desk.pairs[0].source)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, 'evaluate_keypoints', interrupted)
    assert evaluate(hpatches, '--out', out, '--methods', 'sift', *SMALL) == 130
    assert 'out/cache keeps what was found: the same command goes on from there' in capsys.readouterr().err
    assert len(list(out.rglob('*.npz'))) == 1


def test_the_page_answers_first_and_explains_its_terms_where_they_are_used(hpatches: Path, out: Path) -> None:
    assert evaluate(hpatches, '--methods', 'opencv-orb,sift', '--out', out, *SMALL) == 0
    page = (out / 'report.html').read_text()
    answer, chart, table = (page.index(words) for words in ('Homographies, the task itself', '<img ', '<table>'))
    terms = page.index('<dt>C1</dt>')
    assert answer < chart < table < terms < page.index('</table>', table) + 2000
    assert 'has no localisation error and is left out of its mean' in page and 'Descriptors of a ResNet' in page


def test_a_dataset_that_is_not_there_is_one_line(tmp_path: Path, out: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(tmp_path / 'nothing', '--out', out) == 1
    assert 'nothing: does not exist, expected an HPatches folder' in capsys.readouterr().err


def test_without_a_subject_the_subjects_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        main(['evaluate', 'keypionts'])
    assert status.value.code == 2
    with pytest.raises(SystemExit) as status:
        main(['evaluate', '--help'])
    assert status.value.code == 0
    shown = capsys.readouterr().out
    assert 'keypoints  pairs of images under known homographies' in shown and 'odometry' in shown
