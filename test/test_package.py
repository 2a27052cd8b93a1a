# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
What the files that describe the package say of it, and of each other.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
CMAKE = (ROOT / 'CMakeLists.txt').read_text(encoding='utf-8')
MANIFEST = ElementTree.parse(ROOT / 'package.xml').getroot()

# Imports that no dependency of their own name brings.
BROUGHT_BY = {'kp2d_ros': None, 'unique_identifier_msgs': 'lifecycle_msgs'}
NOT_ROS = {'cv2', 'numpy', 'yaml', 'rosbags', 'torch', 'onnxruntime'}


def load_setup() -> ModuleType:
    spec = importlib.util.spec_from_file_location('setup_of_kp2d_ros', ROOT / 'setup.py')
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def requirement_names(lines: list[str]) -> set[str]:
    """
    Names as pip compares them, without versions.
    """
    found = [re.match(r'[A-Za-z0-9._-]+', line) for line in lines if line and not line.startswith('#')]
    return {re.sub(r'[-_.]+', '-', match[0]).lower() for match in found if match}


def executables() -> dict[str, str]:
    """
    Name -> module of the executables in CMakeLists.txt.
    """
    block = re.search(r'set\(executables\n(.*?)\n\)', CMAKE, re.DOTALL)
    assert block
    return dict(line.strip().split('=') for line in block[1].splitlines())


def dependencies() -> set[str]:
    return {str(node.text) for node in MANIFEST if node.tag.endswith('depend')}


def test_package_xml_says_what_ros_needs_to_know() -> None:
    assert MANIFEST.get('format') == '3'
    assert MANIFEST.findtext('name') == 'kp2d_ros'
    assert re.fullmatch(r'\d+\.\d+\.\d+', MANIFEST.findtext('version', ''))
    assert MANIFEST.findtext('license') == 'Apache-2.0'
    assert MANIFEST.findtext('export/build_type') == 'ament_cmake'
    assert MANIFEST.findtext('member_of_group') == 'rosidl_interface_packages'


def test_no_dependency_is_named_twice() -> None:
    named = [(node.tag, node.text) for node in MANIFEST if node.tag.endswith('depend')]
    assert len({text for _, text in named}) == len(named)


def test_pip_takes_name_version_and_licence_from_package_xml() -> None:
    command = [sys.executable, 'setup.py', '--quiet', '--name', '--version', '--license', '--description']
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[-4:] == [MANIFEST.findtext(tag) for tag in ('name', 'version', 'license', 'description')]


def test_package_xml_without_a_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'package.xml').write_text('<package><name>kp2d_ros</name></package>')
    setup = load_setup()
    monkeypatch.setattr(setup, 'ROOT', tmp_path)
    assert setup.package_text('name') == 'kp2d_ros'
    with pytest.raises(ValueError, match='found no <version>'):
        setup.package_text('version')


def test_pip_ships_the_configuration_where_the_package_looks_for_it() -> None:
    shipped = {f'{folder}/{Path(file).name}': file for folder, files in load_setup().shipped_files() for file in files}
    assert shipped['share/kp2d_ros/package.xml'] == 'package.xml'
    for path in (ROOT / 'config').rglob('*.yaml'):
        assert shipped[f'share/kp2d_ros/{path.relative_to(ROOT)}'] == str(path.relative_to(ROOT))


def test_every_message_is_generated() -> None:
    listed = set(re.findall(r'^  (msg/\w+\.msg)$', CMAKE, re.MULTILINE))
    assert listed == {f'msg/{path.name}' for path in (ROOT / 'msg').iterdir()}


def test_packages_of_the_message_fields_are_dependencies() -> None:
    messages = '\n'.join(path.read_text(encoding='utf-8') for path in (ROOT / 'msg').iterdir())
    used = set(re.findall(r'^(\w+)/\w+', messages, re.MULTILINE))
    assert used
    listed = re.search(r'DEPENDENCIES (.*)', CMAKE)
    assert listed and used == set(listed[1].split())
    assert used <= dependencies()


def test_after_rosdep_the_default_extractor_has_a_runtime() -> None:
    assert 'python3-onnxruntime-pip' in dependencies()  # a key of rosdep; python3-onnxruntime is none
    python = {name for name in dependencies() if name.startswith('python3-')}
    known = {'python3-jinja2', 'python3-matplotlib', 'python3-numpy', 'python3-onnxruntime-pip', 'python3-opencv'}
    assert python <= known | {'python3-pytest', 'python3-scipy', 'python3-tqdm', 'python3-yaml'}


def test_cmake_finds_only_what_package_xml_names() -> None:
    found = set(re.findall(r'find_package\((\w+)', CMAKE)) - {'Python3'}
    assert found <= dependencies()


def test_executables_of_the_contract_are_installed() -> None:
    assert {'frontend', 'replay', 'export'} <= set(executables())


@pytest.mark.parametrize('module', [*executables().values(), 'kp2d_ros.cli.main'])
def test_executables_have_a_main(module: str) -> None:
    path = ROOT / f'{module.replace(".", "/")}.py'
    found = [node for node in ast.parse(path.read_text()).body if 'main' in _names(node)]
    assert len(found) == 1, 'main() is missing'
    if isinstance(found[0], ast.FunctionDef):
        arguments = found[0].args
        assert len(arguments.args) == len(arguments.defaults), 'main() must do without arguments'
    else:
        assert isinstance(found[0], ast.Assign)
        assert ast.unparse(found[0].value).startswith('partial(run_command, '), 'main must be the run of a command'


def _names(node: ast.stmt) -> list[str]:
    """
    What a statement of a module defines: a function, or one name that is assigned.
    """
    targets = [target.id for target in getattr(node, 'targets', []) if isinstance(target, ast.Name)]
    return [getattr(node, 'name', ''), *targets]


def test_the_launcher_passes_on_the_exit_status(tmp_path: Path) -> None:
    launcher = (ROOT / 'cmake' / 'launcher.in').read_text(encoding='utf-8')
    program = tmp_path / 'program'
    program.write_text(launcher.replace('@Python3_EXECUTABLE@', sys.executable).replace('@module@', 'target'))
    (tmp_path / 'target.py').write_text('def main(): return 7\n')
    program.chmod(0o755)
    assert subprocess.run([str(program)], check=False).returncode == 7


def test_ros_packages_that_are_imported_are_dependencies() -> None:
    imported = set()
    for path in [*(ROOT / 'kp2d_ros' / 'ros').rglob('*.py'), *(ROOT / 'launch').glob('*.py')]:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ''] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.partition('.')[0] for name in names}
    imported -= set(sys.stdlib_module_names) | NOT_ROS
    needed = {BROUGHT_BY.get(name, name) for name in imported} - {None}
    assert needed
    assert needed <= dependencies()


def requirement_lines(*files: str) -> list[str]:
    texts = [(ROOT / 'requirements' / file).read_text(encoding='utf-8') for file in files]
    return [line for text in texts for line in text.splitlines()]


@pytest.mark.parametrize('kind', ['pinned', 'with_ros'])
def test_what_pip_installs_is_in_both_environments(kind: str) -> None:
    setup = load_setup()
    source = (ROOT / 'setup.py').read_text(encoding='utf-8')
    required = re.search(r'install_requires=(\[.*?\])', source)
    assert required
    wanted = [*ast.literal_eval(required[1]), *(name for names in setup.EXTRAS.values() for name in names)]
    assert requirement_names(wanted) <= requirement_names(requirement_lines(f'{kind}.txt', f'{kind}_develop.txt'))


@pytest.mark.parametrize('kind', ['pinned', 'with_ros'])
def test_the_demo_needs_no_pytorch(kind: str) -> None:
    names = requirement_names(requirement_lines(f'{kind}.txt'))
    assert 'onnxruntime' in names
    assert not names & {'torch', 'safetensors', 'onnx'}


def test_nothing_is_pinned_in_both_files() -> None:
    both = requirement_names(requirement_lines('pinned.txt')) & requirement_names(
        requirement_lines('pinned_develop.txt')
    )
    assert not both


def test_every_version_is_pinned_where_there_is_no_ros() -> None:
    lines = requirement_lines('pinned.txt', 'pinned_develop.txt')
    loose = [line for line in lines if line and not line.startswith('#') and not re.fullmatch(r'[\w.-]+==[\w.]+', line)]
    assert not loose
