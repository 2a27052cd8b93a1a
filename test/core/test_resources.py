# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from kp2d_ros.core import resources
from kp2d_ros.core.errors import DataError


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    A prefix into which pip or colcon installed the package; the share folder of it.
    """
    package = tmp_path / 'lib' / 'python3.11' / 'site-packages' / 'kp2d_ros' / 'core'
    share = tmp_path / 'share' / 'kp2d_ros'
    package.mkdir(parents=True)
    share.mkdir(parents=True)
    (share / 'package.xml').write_text('<package><version>4.5.6</version></package>')
    monkeypatch.setattr(resources, '__file__', str(package / 'resources.py'))
    return share


def test_finds_a_file_of_the_source_tree() -> None:
    assert resources.find_shipped_file('package.xml').is_file()


def test_finds_a_file_of_an_installation(installed: Path) -> None:
    (installed / 'config').mkdir()
    (installed / 'config' / 'frontend.yaml').touch()
    assert resources.find_shipped_file('config/frontend.yaml') == installed / 'config' / 'frontend.yaml'


def test_a_file_that_is_not_shipped_is_refused(installed: Path) -> None:
    with pytest.raises(DataError, match=r'config/none\.yaml: not found beside the package in .*site-packages/kp2d_ros'):
        resources.find_shipped_file('config/none.yaml')


def test_the_version_is_that_of_package_xml(installed: Path) -> None:
    assert resources.read_version() == '4.5.6'


def test_the_version_of_the_source_tree_is_the_one_of_its_package_xml() -> None:
    root = Path(__file__).parents[2]
    assert resources.read_version() == ElementTree.parse(root / 'package.xml').findtext('version')


@pytest.mark.parametrize(('text', 'message'), [('<package>', 'cannot be read'), ('<package/>', 'found no version')])
def test_a_package_xml_without_a_version_is_refused(installed: Path, text: str, message: str) -> None:
    (installed / 'package.xml').write_text(text)
    with pytest.raises(DataError, match=message):
        resources.read_version()
