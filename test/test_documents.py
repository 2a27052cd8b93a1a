# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the documents name is there: files, targets of make, commands and their options, settings, launch arguments.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import re
from pathlib import Path

import pytest

from kp2d_ros.cli.evaluate import SUBJECTS
from kp2d_ros.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob('*.md')), *sorted((ROOT / 'docs').glob('*.md'))]
FOLDERS = '|'.join(
    ['benchmarks', 'config', 'docs', 'examples', 'kp2d_ros', 'launch', 'msg', 'requirements', 'test', 'tools']
)
README_LINES = 160


def text_of(path: Path) -> str:
    return path.read_text(encoding='utf-8')


def commands_in(text: str) -> list[list[str]]:
    """
    The words behind ``kp2d`` in every block of code; lines that end in a backslash are joined.
    """
    code = '\n'.join(line.strip() for line in text.replace('\\\n', ' ').splitlines() if line.startswith('    '))
    return [line.split('#')[0].split() for line in re.findall(r'(?:^|/)kp2d ([a-z].*)$', code, re.MULTILINE)]


@functools.cache
def options_of(module: str) -> frozenset[str]:
    parser = argparse.ArgumentParser()
    importlib.import_module(module).add_arguments(parser)
    return frozenset(name for action in parser._actions for name in action.option_strings)


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_linked_and_named_files_exist(document: Path) -> None:
    text = text_of(document)
    linked = [target.split('#')[0] for target in re.findall(r'(?:\]\(|src=")([^)":]+)[)"]', text)]
    missing = [target for target in linked if target and not (document.parent / target).exists()]
    named = re.findall(rf'`((?:{FOLDERS})/[\w./-]*)`', text)
    missing += [path for path in named if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_headings_that_are_linked_exist(document: Path) -> None:
    for target, anchor in re.findall(r'\]\(([\w./-]*\.md)#([\w-]+)\)', text_of(document)):
        headings = re.findall(r'^#+ (.+)$', text_of(document.parent / target), re.MULTILINE)
        assert anchor in {re.sub(r'[^\w -]', '', heading).lower().replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_their_options_exist(document: Path) -> None:
    for words in commands_in(text_of(document)):
        if words[0] not in COMMANDS:
            assert words[0] == 'COMMAND', words
            continue
        module = f'kp2d_ros.cli.{words[0]}'
        if words[0] == 'evaluate':
            module = SUBJECTS[words[1]][0]
        unknown = {word.split('=')[0] for word in words if word.startswith('--')} - options_of(module) - {'--help'}
        assert not unknown, f'kp2d {" ".join(words)}'


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_targets_of_make_exist(document: Path) -> None:
    targets = set(re.findall(r'^([a-z-]+):', text_of(ROOT / 'Makefile'), re.MULTILINE))
    assert set(re.findall(r'(?:`|^    |ADDRESS )make ([a-z-]+)', text_of(document), re.MULTILINE)) <= targets


def test_launch_arguments_exist() -> None:
    files = (ROOT / 'launch' / 'frontend.launch.py', ROOT / 'kp2d_ros' / 'ros' / 'launch_arguments.py')
    arguments = set(re.findall(r"^    '(\w+)': [('P]", '\n'.join(map(text_of, files)), re.MULTILINE))
    assert arguments
    table = text_of(ROOT / 'docs' / 'node.md').split('| argument | |')[1].split('\n\n')[0]
    assert (
        set(re.findall(r'`(\w+)`', ' '.join(row.split('|')[1] for row in table.splitlines()[1:] if row))) == arguments
    )
    assert set(re.findall(r'(\w+):=', text_of(ROOT / 'README.md'))) <= arguments


def test_topics_of_the_node_exist() -> None:
    node = ' '.join(text_of(path) for path in sorted((ROOT / 'kp2d_ros' / 'ros').glob('*.py')))
    table = text_of(ROOT / 'docs' / 'node.md').split('| topic | type | |')[1].split('\n\n')[0]
    for topic in re.findall(r'`(/?[\w/]+)`', ' '.join(row.split('|')[1] for row in table.splitlines()[1:] if row)):
        assert f"'{topic}'" in node, topic


def test_the_readme_stays_a_page() -> None:
    lines = text_of(ROOT / 'README.md').splitlines()
    assert len(lines) <= README_LINES
    beginning = '\n'.join(lines[:30])
    for word in (
        'make demo',
        'make test',
        'sensors',
        'scale',
        'accuracy',
        'speed',
        'SIFT',
        'ORB',
        'Jazzy',
        'Apache-2.0',
        'weights',
    ):
        assert word in beginning, word


def test_no_hint_names_a_package_index_that_does_not_have_us() -> None:
    sources = [
        path for folder in ('kp2d_ros', 'launch', 'config', 'tools', 'docs') for path in (ROOT / folder).rglob('*')
    ]
    texts = {path: text_of(path) for path in [*sources, ROOT / 'README.md'] if path.suffix in {'.py', '.md', '.yaml'}}
    assert not [str(path) for path, text in texts.items() if re.search(r'pip install [^\n]*kp2d_ros\[', text)]
