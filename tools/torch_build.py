# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Which build of PyTorch pip would fetch, before it does: CUDA is gigabytes, and of no use without an NVIDIA card.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from machine import SetupError

# Measured with the pinned files on x86-64 and a build for CPUs: what pip fetches, and what lies on disk then.
DEVELOP_SIZE = '240 MB to fetch, 1 GB on disk'
# The driver of a card, of a Jetson, and of Windows' Linux.
DEVICES = ('/dev/nvidiactl', '/dev/nvhost-gpu', '/dev/nvgpu', '/dev/dxg')
# What only a build for CUDA brings along.
CUDA_PACKAGE = re.compile(r'(nvidia|cuda|triton)([-_]|$)')


@dataclass(frozen=True)
class TorchBuild:
    """
    A build of PyTorch that pip finds: what to ask pip for, its version, and whether it is for CUDA.
    """

    requirement: str
    version: str
    is_cuda: bool


def has_nvidia_card() -> bool:
    """
    Whether a driver of NVIDIA runs on this machine.
    """
    return shutil.which('nvidia-smi') is not None or any(map(os.path.exists, DEVICES))


def index_options(environment: Mapping[str, str]) -> list[str]:
    """
    The options that point pip to the index that TORCH_INDEX_URL names, beside its usual one.
    """
    url = environment.get('TORCH_INDEX_URL', '')
    return ['--extra-index-url', url] if url else []


def build_in(report: str, requirement: str) -> TorchBuild:
    """
    The build that a report of pip (``pip install --dry-run --report -``) names.

    :raises ValueError: if the report has no PyTorch.
    """
    planned = [item['metadata'] for item in json.loads(report)['install']]
    versions = [str(package['version']) for package in planned if package['name'].lower() == 'torch']
    if not versions:
        raise ValueError(
            f'{requirement}: found {len(planned)} packages in the report of pip, expected torch among them'
        )
    is_cuda = any(CUDA_PACKAGE.match(package['name'].lower()) for package in planned) or '+cu' in versions[0]
    return TorchBuild(requirement, versions[0], is_cuda)


def find_build(pip: Sequence[str], requirement: str, environment: Mapping[str, str], card: bool) -> TorchBuild | None:
    """
    The build that pip would fetch: without a card the one for CPUs, if there is one; None if pip finds none at all.

    :param pip: the command that runs pip.
    """
    question = [
        *pip,
        'install',
        '--dry-run',
        '--quiet',
        '--ignore-installed',
        '--report',
        '-',
        *index_options(environment),
    ]
    for wanted in [requirement] if card else [f'{requirement}+cpu', requirement]:
        answer = subprocess.run([*question, wanted], env=environment, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return build_in(answer.stdout, wanted)
    return None


def with_torch_build(
    lines: list[str], pip: Sequence[str], environment: Mapping[str, str], installed: str = ''
) -> list[str]:
    """
    The requirements with the build of PyTorch for this machine; says what it costs, before anything is fetched.

    :param installed: how the requirement begins that needs nothing any more; empty if there is no PyTorch yet.

    :raises SetupError: if pip finds none, or only one for a card that this machine lacks.
    """
    requirement = next(line for line in lines if line.startswith('torch=='))
    if installed and requirement.startswith(installed):
        return [line for line in lines if line != requirement]
    card = has_nvidia_card()
    build = find_build(pip, requirement, environment, card)
    if build is None:
        raise SetupError(
            f'pip finds no {requirement} for this Python; TORCH_INDEX_URL points it to an index that has it'
        )
    if build.is_cuda and not card:
        raise SetupError(
            f'pip would fetch PyTorch {build.version} with CUDA, several GB, and this machine has no NVIDIA card; set '
            'TORCH_INDEX_URL to an index of CPU builds (pytorch.org, "Get started", compute platform CPU) and run this '
            f'again, or install the build that you want with: .venv/bin/pip install {requirement}'
        )
    size = 'several GB' if build.is_cuda else DEVELOP_SIZE
    print(f'setup: PyTorch {build.version} and the tools of the tests, {size}', flush=True)
    return [build.requirement if line == requirement else line for line in lines]
