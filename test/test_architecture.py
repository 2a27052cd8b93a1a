# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
The rules of the house that no linter knows: who may import whom and what, where printing and exiting belong, one
version number, and the size and names of files.
"""

from __future__ import annotations

import ast
import functools
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'kp2d_ros'

# A folder imports folders of lower levels and itself.
LEVELS = {
    'core': 0,
    'networks': 1,
    'recordings': 1,
    'simulation': 1,
    'odometry': 1,
    'metrics': 1,
    'doctor': 2,
    'pairs': 2,
    'inference': 2,
    'drawing': 3,
    'training': 4,
    'evaluation': 4,
    'ros': 5,
    'cli': 5,
}

# Which files may import what is neither Python nor ROS: folders end in a slash. What is not listed is not allowed.
LIBRARIES = {
    'numpy': ('',),
    'yaml': ('core/settings.py',),
    'cv2': tuple(f'{folder}/' for folder in LEVELS if folder not in {'core', 'networks', 'training', 'cli'}),
    'torch': (
        'networks/',
        'training/',
        'pairs/pair_maker.py',
        'pairs/photometric.py',
        'inference/export.py',
        'inference/inlier_model.py',
        'inference/torch_backend.py',
    ),
    'safetensors': ('networks/tensor_file.py',),
    'onnx': ('inference/export.py',),
    'onnxruntime': ('inference/onnx_backend.py',),
    'rosbags': ('recordings/bags.py', 'recordings/bag_limits.py', 'recordings/bag_writer.py'),
    'lz4': ('recordings/bag_limits.py',),
    'evo': ('metrics/trajectory.py',),
    'jinja2': ('evaluation/html_page.py',),
    'scipy': ('metrics/spread.py',),
    'matplotlib': ('drawing/figure.py',),
    'tqdm': ('cli/',),
}

ROS_FOLDER = 'ros/'
ROS_LIBRARIES = {
    'action_msgs', 'ament_index_python', 'builtin_interfaces', 'diagnostic_msgs', 'diagnostic_updater',
    'geometry_msgs', 'launch', 'launch_ros', 'lifecycle_msgs', 'message_filters', 'nav_msgs', 'rcl_interfaces', 'rclpy',
    'rosgraph_msgs', 'rosidl_runtime_py', 'sensor_msgs', 'std_msgs', 'std_srvs', 'tf2_ros', 'unique_identifier_msgs',
}  # fmt: skip

FORBIDDEN_NAMES = {'utils', 'util', 'helpers', 'helper', 'common', 'misc', 'base'}
LONGEST_FILE = 400
LONGEST_LAUNCH_FILE = 80


def sources(*folders: str) -> list[Path]:
    """
    Every Python file below these folders of the repository; at least one.
    """
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob('*.py'))]
    assert files, f'no Python file in {folders}'
    return files


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'), str(path))


def imported_modules(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """
    Line and full name of everything imported, also inside functions; ``from a import b`` gives ``a.b``.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = '.' * node.level + (node.module or '')
            yield from ((node.lineno, f'{start}.{alias.name}') for alias in node.names)


@functools.cache
def package_imports() -> list[tuple[str, str, str]]:
    """
    Place ("folder/file.py:line"), file and imported name, for the whole package.
    """
    found = []
    for path in sources('kp2d_ros'):
        file = path.relative_to(PACKAGE).as_posix()
        found += [(f'{file}:{line}', file, name) for line, name in imported_modules(parse(path))]
    return found


def is_ros(module: str) -> bool:
    return module.partition('.')[0] in ROS_LIBRARIES or module.startswith('kp2d_ros.msg')


def allowed_files(module: str) -> tuple[str, ...]:
    """
    Where a library may be imported; the longest entry of the table that fits decides.
    """
    if is_ros(module):
        return (ROS_FOLDER,)
    fitting = [name for name in LIBRARIES if f'{module}.'.startswith(f'{name}.')]
    return LIBRARIES[max(fitting, key=len)] if fitting else ()


def calls(tree: ast.Module, *names: str) -> list[int]:
    """
    Lines that call one of these names, written as in the source (``print``, ``sys.exit``); the part of a file that runs
    only as a script does not count.
    """
    library = [n for n in tree.body if not (isinstance(n, ast.If) and ast.unparse(n.test) == "__name__ == '__main__'")]
    nodes = [node for part in library for node in ast.walk(part)]
    return [n.lineno for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func) in names]


def test_folders_are_those_of_the_table() -> None:
    found = {path.name for path in PACKAGE.iterdir() if path.is_dir() and list(path.rglob('*.py'))}
    assert found == set(LEVELS)


def test_every_folder_is_a_package() -> None:
    missing = {path.parent for path in sources('kp2d_ros') if not (path.parent / '__init__.py').is_file()}
    assert not missing


def test_a_folder_imports_only_lower_levels() -> None:
    wrong = []
    for place, file, module in package_imports():
        importer, imported = file.split('/')[0], module.split('.')[1:2]
        if not module.startswith('kp2d_ros.') or is_ros(module) or imported == [importer]:
            continue
        if importer == '__init__.py':  # the front door names what others hold
            continue
        assert imported[0] in LEVELS, f'{place} imports {module}'
        if LEVELS[imported[0]] >= LEVELS[importer]:
            wrong.append(f'{place} imports {module}')
    assert not wrong


def test_imports_are_absolute() -> None:
    assert not [f'{place} imports {module}' for place, _, module in package_imports() if module.startswith('.')]


def test_libraries_are_imported_only_where_the_table_says() -> None:
    wrong = []
    for place, file, module in package_imports():
        if module.partition('.')[0] in sys.stdlib_module_names:
            continue
        if module.startswith('kp2d_ros') and not is_ros(module):
            continue
        if not file.startswith(allowed_files(module) or ('nowhere',)):
            wrong.append(f'{place} imports {module}')
    assert not wrong


@pytest.mark.parametrize('library', sorted(LIBRARIES))
def test_the_table_names_only_what_is_there(library: str) -> None:
    importing = {file for _, file, module in package_imports() if f'{module}.'.startswith(f'{library}.')}
    unused = [entry for entry in LIBRARIES[library] if not any(file.startswith(entry) for file in importing)]
    assert not unused


def test_only_commands_print() -> None:
    files = [path for path in sources('kp2d_ros') if path.relative_to(PACKAGE).parts[0] != 'cli']
    assert not [f'{path}:{line}' for path in files for line in calls(parse(path), 'print')]


def test_no_library_exits() -> None:
    files = [path for path in sources('kp2d_ros') if path.relative_to(PACKAGE).parts[0] != 'cli']
    exits = ('exit', 'quit', 'sys.exit', 'os._exit', 'SystemExit')
    assert not [f'{path}:{line}' for path in files for line in calls(parse(path), *exits)]


def test_no_assert_checks_input() -> None:
    found = [
        f'{path}:{node.lineno}'
        for path in sources('kp2d_ros')
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Assert)
    ]
    assert not found


def test_the_version_stands_only_in_package_xml() -> None:
    version = ElementTree.parse(ROOT / 'package.xml').findtext('version')
    assert version
    others = [ROOT / 'setup.py', ROOT / 'pyproject.toml', ROOT / 'CMakeLists.txt', ROOT / 'Makefile']
    texts = {path: path.read_text(encoding='utf-8') for path in [*sources('kp2d_ros', 'launch', 'tools'), *others]}
    assert not [str(path) for path, text in texts.items() if version in text or '__version__ =' in text]


def test_every_file_says_its_licence() -> None:
    named = [
        ROOT / name for name in ('setup.py', 'Makefile', 'CMakeLists.txt', 'pyproject.toml', '.ci/run', 'CITATION.cff')
    ]
    named += [*(ROOT / 'docs').glob('*.md'), *(ROOT / 'requirements').iterdir(), *(ROOT / 'examples').glob('*.py')]
    python = sources('kp2d_ros', 'test', 'tools', 'launch', 'benchmarks', 'examples')
    wrong = []
    for path in [
        *python,
        *(ROOT / 'msg').iterdir(),
        *(ROOT / 'config').rglob('*.yaml'),
        *PACKAGE.rglob('*.jinja'),
        *named,
    ]:
        start = path.read_text(encoding='utf-8')[:300]
        if 'SPDX-FileCopyrightText: ' not in start or 'SPDX-License-Identifier: Apache-2.0' not in start:
            wrong.append(str(path))
    assert not wrong


def test_no_file_is_too_long() -> None:
    limits = dict.fromkeys(sources('kp2d_ros', 'test', 'tools', 'benchmarks', 'examples'), LONGEST_FILE)
    limits.update(dict.fromkeys(sources('launch'), LONGEST_LAUNCH_FILE))
    lengths = {path: len(path.read_text(encoding='utf-8').splitlines()) for path in limits}
    assert not {str(path): lengths[path] for path, limit in limits.items() if lengths[path] > limit}


def test_no_module_has_a_name_that_says_nothing_or_belongs_to_python() -> None:
    names = {path: path.stem for path in sources('kp2d_ros')}
    names.update({path.parent: path.parent.name for path in sources('kp2d_ros')})
    taken = FORBIDDEN_NAMES | set(sys.stdlib_module_names)
    assert not [str(path) for path, name in names.items() if name in taken]


def test_the_generated_messages_have_their_folder_for_themselves() -> None:
    assert not (PACKAGE / 'msg').exists()


def test_tests_mirror_the_package() -> None:
    tests = [path.relative_to(ROOT / 'test') for path in sources('test') if path.name.startswith('test_')]
    strangers = (
        {path.parts[0] for path in tests if len(path.parts) > 1} - set(LEVELS) - {'tools', 'benchmarks', 'examples'}
    )
    assert not strangers
    assert not list((ROOT / 'test').rglob('__init__.py'))
