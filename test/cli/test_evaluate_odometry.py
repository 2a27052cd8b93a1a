# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kp2d_ros.cli.evaluate_odometry import main
from kp2d_ros.cli.replay import main as replay
from kp2d_ros.core.cameras import CameraModel
from kp2d_ros.core.files import claim_folder
from kp2d_ros.core.records import Frame
from kp2d_ros.core.trajectories import Trajectory, format_tum
from kp2d_ros.evaluation.odometry.subject import make_subject
from kp2d_ros.recordings.bag_writer import BagConfig, write_bag
from kp2d_ros.recordings.sources import open_sequence
from kp2d_ros.simulation.scene import SceneConfig, SimulatedSequence

pytest.importorskip('matplotlib', reason='matplotlib is not installed (extra: evaluation)')

TRUTH = ['--ground-truth-topic', '/ground_truth']


class Recorded:
    """
    A part of a rendered sequence, kept in memory, with a ground truth of choice.
    """

    name = 'walk'

    def __init__(self, frames: list[Frame], camera: CameraModel, truth: Trajectory | None) -> None:
        self._frames = frames
        self.camera = camera
        self.ground_truth = truth

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)


@pytest.fixture(scope='module')
def walk() -> Recorded:
    sequence = SimulatedSequence(SceneConfig(frames=7, width=240, height=180, samples=1, speed=0.8))
    return Recorded(list(sequence), sequence.camera, sequence.ground_truth)


@pytest.fixture(scope='module')
def bag(walk: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('bags') / 'walk'
    write_bag(path, walk)
    return path


Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """
    Runs the command, which has to end with status 1 and one line, and gives the line.
    """

    def run(*words: str | Path) -> str:
        assert main([*map(str, words), '--out', str(tmp_path / 'out'), '--quiet']) == 1
        line = capsys.readouterr().err
        assert line.startswith('error: ') and line.count('\n') == 1
        assert not (tmp_path / 'out').exists()
        return line

    return run


def test_leaves_the_reports_and_every_run(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'out'
    words = [str(bag), *TRUTH, '--out', str(out), '--quiet', '--segment-lengths', '0.2,0.3']
    assert main([*words, '--methods', 'orb,sift']) == 0
    said = capsys.readouterr().out
    assert 'sift is best by drift along the path' in said and f'{out}/report.html' in said
    for method in ('orb', 'sift'):
        assert {file.name for file in (out / 'walk' / method).iterdir()} >= {'run.json', 'trajectory.txt'}
    report = json.loads((out / 'report.json').read_text())
    assert [(run['sequence'], run['method'], run['frames']) for run in report['runs']] == [
        ('walk', 'orb', 7),
        ('walk', 'sift', 7),
    ]
    figures = report['runs'][1]['figures']
    assert figures['rotation_deg'] < 0.5 and figures['direction_deg'] < 10 and figures['ate_percent'] < 10
    assert figures['lost_percent'] == 0 and figures['t_rel_percent'] is not None
    page = (out / 'report.html').read_text(encoding='utf-8')
    assert 'sift is best by drift' in page and 'src="data:image/jpeg' in page

    # The same as one run of the frontend alone.
    assert replay([str(bag), '--method', 'orb', *TRUTH, '--out', str(tmp_path / 'replay'), '--quiet']) == 0
    alone = (tmp_path / 'replay' / 'trajectory.txt').read_bytes()
    assert (out / 'walk' / 'orb' / 'trajectory.txt').read_bytes() == alone
    scores = json.loads((tmp_path / 'replay' / 'run.json').read_text())['scores']
    assert report['runs'][0]['trajectory']['ate']['rms'] == pytest.approx(scores['trajectory']['ate']['rms'], abs=1e-6)
    assert figures_of(report, 'orb')['rotation_deg'] == pytest.approx(
        scores['pairs']['rotation_deg']['median'], abs=1e-6
    )


@pytest.mark.usefixtures('quick_pictures')
def test_goes_on_from_the_runs_that_are_there(bag: Path, tmp_path: Path) -> None:
    words = [str(bag), '--max-frames', '3', '--out', str(tmp_path), '--quiet']
    assert main([*words, '--methods', 'orb']) == 0
    first = (tmp_path / 'walk' / 'orb' / 'run.json').stat().st_mtime_ns
    assert main([*words, '--methods', 'orb,sift']) == 0
    assert (tmp_path / 'walk' / 'orb' / 'run.json').stat().st_mtime_ns == first
    assert [run['method'] for run in json.loads((tmp_path / 'report.json').read_text())['runs']] == ['orb', 'sift']


def figures_of(report: dict[str, Any], method: str) -> Any:
    return next(run['figures'] for run in report['runs'] if run['method'] == method)


@pytest.mark.usefixtures('quick_pictures')
def test_two_seeds_are_two_runs_and_truth_may_come_from_a_file(walk: Recorded, bag: Path, tmp_path: Path) -> None:
    assert walk.ground_truth is not None
    truth, out = tmp_path / 'truth.txt', tmp_path / 'out'
    truth.write_text(format_tum(walk.ground_truth))
    words = [str(bag), '--methods', 'orb', '--seeds', '2', '--max-frames', '3', '--out', str(out), '--quiet']
    backwards = '--camera-pose=0,0,0,0,1,0,0'  # by half a turn about y
    assert main([*words, '--ground-truth', str(truth), backwards]) == 0
    report = json.loads((out / 'report.json').read_text())
    assert report['seeds'] == [1, 2]
    assert report['by_sequence']['walk']['orb']['rotation_deg']['runs'] == 2
    assert (out / 'walk' / 'orb' / 'seed_2' / 'run.json').is_file()
    assert 'Spread over seeds' in (out / 'report.html').read_text(encoding='utf-8')
    assert figures_of(report, 'orb')['direction_deg'] > 90
    assert report['runs'][0]['frames_with_truth'] == 3


@pytest.mark.usefixtures('quick_pictures')
def test_a_bag_without_truth_is_scored_by_what_needs_none(
    walk: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = tmp_path / 'walk'
    write_bag(bag, Recorded(list(walk)[:3], walk.camera, None))
    assert main([str(bag), '--methods', 'orb', '--max-frames', '3', '--out', str(tmp_path), '--quiet']) == 0
    assert 'walk: scored by what needs no ground truth: the source has no ground truth' in capsys.readouterr().out
    figures = json.loads((tmp_path / 'report.json').read_text())['runs'][0]['figures']
    assert figures['rotation_deg'] is None and figures['inlier_percent'] > 50


def test_the_truth_of_a_bag_is_that_of_the_camera(walk: Recorded, tmp_path: Path) -> None:
    short = Recorded(list(walk)[:3], walk.camera, walk.ground_truth)
    write_bag(tmp_path / 'bag', short, BagConfig(ground_truth_topic='/truth'))
    sequence = open_sequence(tmp_path / 'bag', ground_truth_topic='/truth')
    subject = make_subject(tmp_path / 'bag', sequence, None, None, tmp_path)
    assert subject.truth is not None and walk.ground_truth is not None
    np.testing.assert_allclose(subject.truth.world_from_camera, walk.ground_truth.world_from_camera, atol=1e-9)


def test_a_folder_that_another_run_writes_into_is_refused_before_the_work(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with claim_folder(tmp_path):
        assert main([str(bag), '--methods', 'orb', '--out', str(tmp_path), '--quiet']) == 1
    assert 'another run is writing into this folder' in capsys.readouterr().err
    (tmp_path / 'file').write_text('')
    assert main([str(bag), '--methods', 'orb', '--out', str(tmp_path / 'file'), '--quiet']) == 1
    assert 'file: cannot be written: File exists' in capsys.readouterr().err
    assert not (tmp_path / 'walk').exists()


def test_an_interrupted_evaluation_says_how_it_goes_on(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr('kp2d_ros.cli.evaluate_odometry.run_or_read', interrupt)
    assert main([str(bag), '--methods', 'orb', '--out', str(tmp_path), '--quiet']) == 130
    assert 'finished runs are kept; the same command goes on from them' in capsys.readouterr().err


@pytest.mark.parametrize('words', [['--seeds', '0'], ['--max-frames', '-3'], ['--max-frames', '0']])
def test_counts_below_one_are_refused_by_the_parser(words: list[str], bag: Path) -> None:
    with pytest.raises(SystemExit):
        main([str(bag), *words])


def test_clocks_that_do_not_overlap_are_refused(walk: Recorded, tmp_path: Path, refused: Refused) -> None:
    truth = walk.ground_truth
    assert truth is not None
    later = Trajectory(truth.stamps_ns + 3600 * 10**9, truth.world_from_camera)
    write_bag(tmp_path / 'late', Recorded(list(walk), walk.camera, later))
    assert 'the clocks do not overlap: found images from' in refused(tmp_path / 'late', '--methods', 'orb', *TRUTH)


def test_a_truth_topic_of_another_type_is_refused(bag: Path, refused: Refused) -> None:
    line = refused(bag, '--ground-truth-topic', '/camera/camera_info')
    assert '/camera/camera_info carries sensor_msgs/msg/CameraInfo, which is no pose, expected one of' in line
    assert 'found the pose topics /ground_truth, expected /elsewhere' in refused(
        bag, '--ground-truth-topic', 'elsewhere'
    )


def test_a_bag_with_one_image_is_refused(walk: Recorded, tmp_path: Path, refused: Refused) -> None:
    write_bag(tmp_path / 'one', Recorded(list(walk)[:1], walk.camera, walk.ground_truth))
    assert 'found 1 image, expected at least two' in refused(tmp_path / 'one', '--methods', 'orb', *TRUTH)


def test_images_without_calibration_are_refused(walk: Recorded, tmp_path: Path, refused: Refused) -> None:
    frames = [replace(frame, camera=None) for frame in walk]
    write_bag(tmp_path / 'raw', Recorded(frames, walk.camera, walk.ground_truth))
    assert 'found no calibration of the camera' in refused(tmp_path / 'raw', '--methods', 'orb')


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['nowhere'], 'nowhere: does not exist'),
        (['BAG', '--methods', 'orb,surf'], "found 'surf', which is no file"),
        (['BAG', '--methods', 'orb,orb'], 'expected some methods, each once'),
        (['BAG', 'matching.ration=0.8'], 'did you mean matching.ratio?'),
        (['BAG', '--ground-truth', 'truth.txt'], 'truth.txt: cannot be read'),
        (['BAG', 'BAG', '--ground-truth', 'truth.txt'], 'found 1 files for 2 sources'),
        (['BAG', '--segment-lengths', '100,many'], "found '100,many', expected numbers"),
        (['BAG', '--segment-lengths', '0'], 'expected lengths above 0'),
        (['BAG', '--camera-pose', '1,2,3'], 'found 3 numbers, expected x,y,z,qx,qy,qz,qw'),
        (['BAG', '--max-frames', '1'], 'a motion is between two images'),
        (['FILE'], 'cannot be read as a bag'),
    ],
)
def test_what_cannot_be_used_is_one_line(
    words: list[str], message: str, bag: Path, tmp_path: Path, refused: Refused
) -> None:
    broken = tmp_path / 'broken.mcap'
    broken.write_bytes(np.random.default_rng(0).bytes(100))
    places = {'BAG': bag, 'FILE': broken}
    assert message in refused(
        *(places.get(word, word) for word in words), *([] if '--methods' in words else ['--methods', 'orb'])
    )
