# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Which PyTorch is fetched: the build for CPUs where there is one, CUDA only for a card, and nothing without a word.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

import machine
import torch_build

CPU = [('torch', '2.13.0+cpu'), ('sympy', '1.14.0')]
CUDA = [('torch', '2.13.0'), ('nvidia-cudnn-cu13', '9.1'), ('triton', '3.4')]
LINES = ['onnx>=1.17', 'torch==2.13.0', 'ruff']


def report(packages: list[tuple[str, str]]) -> str:
    return json.dumps({'install': [{'metadata': {'name': name, 'version': version}} for name, version in packages]})


def make_pip(folder: Path, answers: dict[str, list[tuple[str, str]]]) -> list[str]:
    """
    A pip that knows these requirements, and leaves what it was asked in ``asked.txt``.
    """
    texts = {requirement: report(packages) for requirement, packages in answers.items()}
    script = folder / 'pip.py'
    script.write_text(
        'import sys\n'
        f'open({str(folder / "asked.txt")!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")\n'
        f'answers = {texts!r}\n'
        'sys.exit(1) if sys.argv[-1] not in answers else print(answers[sys.argv[-1]])\n'
    )
    return [sys.executable, str(script)]


def set_card(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr(torch_build, 'has_nvidia_card', lambda: there)


def test_a_report_says_whether_a_build_is_for_cuda() -> None:
    assert torch_build.build_in(report(CPU), 'torch') == torch_build.TorchBuild('torch', '2.13.0+cpu', is_cuda=False)
    assert torch_build.build_in(report(CUDA), 'torch').is_cuda
    assert torch_build.build_in(report([('torch', '2.13.0+cu130')]), 'torch').is_cuda
    with pytest.raises(ValueError, match='found 1 packages in the report of pip, expected torch'):
        torch_build.build_in(report([('sympy', '1.14.0')]), 'torch')


def test_without_a_card_the_build_for_cpus_is_taken_and_its_size_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_card(monkeypatch, False)
    pip = make_pip(tmp_path, {'torch==2.13.0+cpu': CPU, 'torch==2.13.0': CUDA})
    lines = torch_build.with_torch_build(LINES, pip, os.environ)
    assert lines == ['onnx>=1.17', 'torch==2.13.0+cpu', 'ruff']
    assert capsys.readouterr().out.startswith('setup: PyTorch 2.13.0+cpu and the tools of the tests, 240 MB to fetch')


def test_cuda_is_refused_without_a_card_and_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_card(monkeypatch, False)
    pip = make_pip(tmp_path, {'torch==2.13.0': CUDA})
    with pytest.raises(machine.SetupError, match=r'2\.13\.0 with CUDA, several GB.* no NVIDIA card; set TORCH_INDEX'):
        torch_build.with_torch_build(LINES, pip, os.environ)


def test_a_build_without_a_label_is_taken_where_it_is_none_for_cuda(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_card(monkeypatch, False)
    pip = make_pip(tmp_path, {'torch==2.13.0': [('torch', '2.13.0')]})
    assert torch_build.with_torch_build(LINES, pip, os.environ) == LINES


def test_with_a_card_pip_decides(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_card(monkeypatch, True)
    pip = make_pip(tmp_path, {'torch==2.13.0+cpu': CPU, 'torch==2.13.0': CUDA})
    assert torch_build.with_torch_build(LINES, pip, os.environ) == LINES
    assert 'several GB' in capsys.readouterr().out


def test_the_index_of_the_variable_is_asked_beside_the_usual_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_card(monkeypatch, False)
    pip = make_pip(tmp_path, {'torch==2.13.0+cpu': CPU})
    torch_build.with_torch_build(LINES, pip, {**os.environ, 'TORCH_INDEX_URL': 'file:///somewhere'})
    asked = (tmp_path / 'asked.txt').read_text()
    assert '--dry-run' in asked and '--extra-index-url file:///somewhere torch==2.13.0+cpu' in asked
    assert torch_build.index_options({}) == []


def test_no_pytorch_at_all_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_card(monkeypatch, False)
    with pytest.raises(machine.SetupError, match=r'pip finds no torch==2\.13\.0 for this Python; TORCH_INDEX_URL'):
        torch_build.with_torch_build(LINES, make_pip(tmp_path, {}), os.environ)


def test_a_pytorch_that_is_there_is_not_asked_for(tmp_path: Path) -> None:
    pip = make_pip(tmp_path, {})
    for installed in ('torch==2.13.0', 'torch=='):
        assert torch_build.with_torch_build(LINES, pip, os.environ, installed) == ['onnx>=1.17', 'ruff']
    with pytest.raises(machine.SetupError, match='pip finds no'):
        torch_build.with_torch_build(LINES, pip, os.environ, 'torch==2.12.1')


def test_a_card_is_known_by_its_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.setattr(torch_build, 'DEVICES', (str(tmp_path / 'nvidiactl'),))
    assert not torch_build.has_nvidia_card()
    (tmp_path / 'nvidiactl').touch()
    assert torch_build.has_nvidia_card()
    (tmp_path / 'nvidiactl').unlink()
    program = tmp_path / 'nvidia-smi'
    program.touch()
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert torch_build.has_nvidia_card()
