# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Installation of the part that needs no ROS, with pip; what package.xml says already is read from there.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
SHARE = 'share/kp2d_ros'

EXTRAS = {
    'torch': ['torch>=2.4', 'safetensors>=0.4'],
    'onnx': ['onnxruntime>=1.17'],
    'export': ['torch>=2.4', 'safetensors>=0.4', 'onnx>=1.17', 'onnxscript>=0.5', 'onnxruntime>=1.17'],
    'bags': ['rosbags>=0.11.9,<0.12'],
    'evaluation': ['evo>=1.28', 'jinja2>=3.0', 'matplotlib>=3.6', 'scipy>=1.8'],
}


def shipped_files() -> list[tuple[str, list[str]]]:
    """
    What ``kp2d_ros.core.resources`` looks for: package.xml and ``config/``, folder by folder.
    """
    files = [path.relative_to(ROOT) for path in sorted((ROOT / 'config').rglob('*')) if path.is_file()]
    folders = sorted({path.parent for path in files})
    shipped = [(f'{SHARE}/{folder}', [str(path) for path in files if path.parent == folder]) for folder in folders]
    return [(SHARE, ['package.xml']), *shipped]


def package_text(tag: str) -> str:
    """
    What package.xml says under a tag.

    :raises ValueError: if it says nothing.
    """
    text = ElementTree.parse(ROOT / 'package.xml').findtext(tag)
    if not text:
        raise ValueError(f'package.xml: found no <{tag}>, expected one with text')
    return text.strip()


if __name__ == '__main__':
    setup(
        name=package_text('name'),
        version=package_text('version'),
        description=package_text('description'),
        long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
        long_description_content_type='text/markdown',
        maintainer=package_text('maintainer'),
        license=package_text('license'),
        python_requires='>=3.10',
        # '.' stands there for the editable install: it puts this folder on the path instead of a table of modules,
        # so that the generated kp2d_ros.msg can be joined to the package.
        package_dir={'': '.'},
        packages=find_packages(include=['kp2d_ros', 'kp2d_ros.*'], exclude=['kp2d_ros.ros']),
        package_data={'kp2d_ros': ['py.typed', 'models/*', 'evaluation/*.jinja', 'evaluation/*/*.jinja']},
        data_files=shipped_files(),
        # Headless: nothing here opens a window, and opencv-python needs libGL, which a bare machine lacks.
        install_requires=['numpy>=1.21', 'opencv-python-headless>=4.5.4', 'PyYAML>=5.4', 'tqdm>=4.57'],
        extras_require={**EXTRAS, 'all': sorted({name for names in EXTRAS.values() for name in names})},
        entry_points={'console_scripts': ['kp2d = kp2d_ros.cli.main:main']},
    )
