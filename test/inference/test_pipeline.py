# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Tests of the way from settings to a running frontend.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kp2d_ros.core.errors import BackendError, ConfigError
from kp2d_ros.core.records import Frame
from kp2d_ros.core.settings import flatten, format_yaml
from kp2d_ros.inference.classical import ClassicalExtractor
from kp2d_ros.inference.extractor import ExtractorConfig, Kp2dExtractor
from kp2d_ros.inference.pipeline import (
    PipelineConfig,
    build_extractor,
    build_frontend,
    load_pipeline_config,
)
from kp2d_ros.networks.checkpoint import save_checkpoint


def test_defaults_need_no_file() -> None:
    assert load_pipeline_config() == PipelineConfig()


def test_settings_have_the_dotted_names_of_the_frontend_and_the_extractor() -> None:
    names = {path for path, _, _ in flatten(PipelineConfig())}
    assert {'extractor.max_keypoints', 'matching.max_distance', 'ransac.threshold_px'} <= names


def test_overrides_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / 'pipeline.yaml'
    path.write_text('extractor:\n  name: orb\n  max_keypoints: 300\n')
    config = load_pipeline_config(path, ['extractor.max_keypoints=200', 'ransac.threshold_px=0.7'])
    assert (config.extractor.name, config.extractor.max_keypoints) == ('orb', 200)
    assert config.ransac.threshold_px == 0.7


def test_reads_back_its_own_yaml(tmp_path: Path) -> None:
    config = load_pipeline_config(None, ['extractor.name=orb', 'extractor.spread_grid=4'])
    path = tmp_path / 'pipeline.yaml'
    path.write_text(format_yaml(config))
    assert load_pipeline_config(path) == config


def test_takes_its_part_of_a_file_of_ros_parameters(tmp_path: Path) -> None:
    path = tmp_path / 'frontend.yaml'
    path.write_text(
        '/**:\n  ros__parameters:\n    autostart: true\n    extractor:\n      name: orb\n'
        '    extractor.max_keypoints: 123\n    use_sim_time: false\n'
    )
    config = load_pipeline_config(path)
    assert (config.extractor.name, config.extractor.max_keypoints) == ('orb', 123)


def test_a_misspelt_section_in_a_file_of_ros_parameters_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / 'frontend.yaml'
    path.write_text('/**:\n  ros__parameters:\n    extracter.name: orb\n')
    with pytest.raises(ConfigError, match=r'unknown setting extracter\.name, did you mean extractor'):
        load_pipeline_config(path)


def test_a_misspelt_setting_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r'unknown setting extractor.max_keypoint, did you mean extractor.max_keypo'):
        load_pipeline_config(None, ['extractor.max_keypoint=3'])


def test_a_value_out_of_range_is_named_with_its_path() -> None:
    with pytest.raises(ConfigError, match=r'extractor.max_keypoints: found 0'):
        load_pipeline_config(None, ['extractor.max_keypoints=0'])


def test_builds_each_extractor_by_its_name(checkpoint_file: Any) -> None:
    assert isinstance(build_extractor(ExtractorConfig(name='sift')), ClassicalExtractor)
    assert build_extractor(ExtractorConfig(name='orb')).info.model_id == 'orb'
    learned = build_extractor(ExtractorConfig(name='kp2d', model=str(checkpoint_file), device='cpu'))
    assert isinstance(learned, Kp2dExtractor)
    assert learned.info.model_id.startswith('tiny:')


def test_a_frontend_takes_its_keypoints_from_the_extractor(texture: Callable[..., NDArray[Any]]) -> None:
    config = load_pipeline_config(None, ['extractor.max_keypoints=40'])
    frontend = build_frontend(config, build_extractor(config.extractor))
    result = frontend.process(Frame(0, 0, texture(160, 120)))
    assert len(result.keypoints) == 40


def test_an_untrained_network_is_refused_unless_it_is_wanted(
    checkpoint: Any, tmp_path: Path, texture: Callable[..., NDArray[Any]]
) -> None:
    path = tmp_path / 'step_0.safetensors'
    info = dataclasses.replace(checkpoint.info, is_trained=False)
    save_checkpoint(path, dataclasses.replace(checkpoint, info=info))
    with pytest.raises(BackendError, match=r'tiny:.* was never trained'):
        build_extractor(ExtractorConfig(model=str(path), device='cpu'))
    for model in (f'untrained:{path}', 'untrained:compact-s'):
        extractor = build_extractor(ExtractorConfig(model=model, device='cpu'))
        assert len(extractor.extract(texture(64, 48))) > 0


def test_a_missing_runtime_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch, checkpoint_file: Any
) -> None:
    monkeypatch.setitem(sys.modules, 'torch', None)
    monkeypatch.delitem(sys.modules, 'kp2d_ros.inference.torch_backend', raising=False)
    with pytest.raises(BackendError, match=r'needs the Python package torch, .*; try: pip install .*torch'):
        build_extractor(ExtractorConfig(name='kp2d', model=str(checkpoint_file)))


def test_sift_needs_neither_torch_nor_onnxruntime() -> None:
    code = (
        'import sys, numpy as np\n'
        'from kp2d_ros.inference.pipeline import load_pipeline_config, build_extractor\n'
        "config = load_pipeline_config(None, ['extractor.name=sift'])\n"
        'build_extractor(config.extractor).extract(np.zeros((64, 64), np.uint8))\n'
        "print(sorted({'torch', 'onnxruntime', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_an_exported_network_needs_no_torch(exported: Any) -> None:
    code = (
        'import sys, numpy as np\n'
        'from kp2d_ros.inference.pipeline import ExtractorConfig, build_extractor\n'
        f"extractor = build_extractor(ExtractorConfig(name='kp2d', model={str(exported.path)!r}, device='cpu'))\n"
        'image = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)\n'
        "print(len(extractor.extract(image)) > 0, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'True False'


def test_every_runtime_finds_the_same_keypoints(
    checkpoint_file: Any, exported: Any, texture: Callable[..., NDArray[Any]]
) -> None:
    image = texture(160, 120)
    settings = {'name': 'kp2d', 'device': 'cpu', 'max_keypoints': 80}
    first, second = (
        build_extractor(ExtractorConfig(model=str(model), **settings)).extract(image)
        for model in (checkpoint_file, exported.path)
    )
    assert np.allclose(first.xy, second.xy, atol=1e-3)
    assert np.allclose(first.scores, second.scores, atol=1e-5)
    assert np.allclose(first.descriptors, second.descriptors, atol=1e-4)
