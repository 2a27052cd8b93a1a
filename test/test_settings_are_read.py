# SPDX-FileCopyrightText: 2026 kp2d_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""
Every setting that a user may give is read by the code: as an attribute of its own dataclass, not of any other.

The types are followed through the source: annotated parameters and attributes, sections, assignments and calls.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / 'kp2d_ros'


def class_of(annotation: ast.expr | None, known: set[str]) -> str | None:
    """
    The class of the package that an annotation names, if it names one.
    """
    names = (node for node in ast.walk(annotation) if isinstance(node, ast.Name)) if annotation is not None else ()
    return next((name.id for name in names if name.id in known), None)


def last_name(node: ast.expr) -> str:
    """
    ``c`` of ``a.b.c`` and of ``c``; empty for other expressions.
    """
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ''


def is_settings(node: ast.ClassDef) -> bool:
    calls = [s.value for s in node.body if isinstance(s, ast.AnnAssign) and isinstance(s.value, ast.Call)]
    return any(isinstance(c.func, ast.Name) and c.func.id in ('setting', 'section') for c in calls)


class Source:
    """
    What the trees say of classes: their fields, who holds one, and what gives one.
    """

    def __init__(self, trees: list[ast.Module]) -> None:
        classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        self.known = {node.name for node in classes}
        self.settings = {node.name for node in classes if is_settings(node)}
        self.bases = {node.name: [last_name(base) for base in node.bases] for node in classes}
        self.fields = {
            node.name: {
                s.target.id: class_of(s.annotation, self.known)
                for s in node.body
                if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
            }
            for node in classes
        }
        self.gives: dict[str, str] = {}  # functions, properties and attributes by their names
        for tree in trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef) and (found := class_of(node.returns, self.known)):
                    self.gives[node.name] = found
                if isinstance(node, ast.AnnAssign) and (found := class_of(node.annotation, self.known)):
                    self.gives[last_name(node.target)] = found
        self.read: set[tuple[str, str]] = set()

    def owner(self, name: str, field: str) -> str | None:
        """
        The class, or the one of its bases, that declares a field.
        """
        if field in self.fields.get(name, {}):
            return name
        found = (self.owner(base, field) for base in self.bases.get(name, []))
        return next((owner for owner in found if owner is not None), None)

    def type_of(self, node: ast.AST, scope: dict[str, str]) -> str | None:
        """
        The class that an expression gives an object of, if it can be told; fields on the way are noted as read.
        """
        if isinstance(node, ast.Name):
            return scope.get(node.id)
        if isinstance(node, ast.Attribute):
            base = self.type_of(node.value, scope)
            owner = self.owner(base, node.attr) if base in self.known else None
            if base is not None and owner is not None:
                self.read.add((owner, node.attr))
                return self.fields[owner][node.attr]
            return self.gives.get(node.attr)
        if isinstance(node, ast.Call):
            names = [last_name(node.func), *(last_name(arg) for arg in node.args[:1])]
            made = next((name for name in names if name in self.known), None) or self.gives.get(names[0])
            return made or (self.type_of(node.args[0], scope) if node.args else None)  # replace(config, ...)
        if isinstance(node, ast.BoolOp | ast.IfExp):
            parts = node.values if isinstance(node, ast.BoolOp) else [node.body, node.orelse]
            return next((found for part in parts if (found := self.type_of(part, scope))), None)
        return None

    def visit(self, node: ast.AST, scope: dict[str, str]) -> None:
        """
        Follow the types through a piece of code, in its order.
        """
        if isinstance(node, ast.ClassDef):
            scope = {**scope, 'self': node.name, 'cls': node.name}
        elif isinstance(node, ast.FunctionDef | ast.Lambda):
            if isinstance(node, ast.FunctionDef) and node.name == '__post_init__':
                return  # a check of the value is no use of it
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            found = {a.arg: class_of(a.annotation, self.known) for a in arguments}
            scope = {**scope, **{name: kind for name, kind in found.items() if kind}}
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self.assign(target, node.value, scope)
        elif isinstance(node, ast.Attribute):
            self.type_of(node, scope)
        for child in ast.iter_child_nodes(node):
            self.visit(child, scope)

    def assign(self, target: ast.expr, value: ast.expr, scope: dict[str, str]) -> None:
        """
        Remember what a name or attribute holds from here on.
        """
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, its_value in zip(target.elts, value.elts, strict=False):
                self.assign(one, its_value, scope)
        elif kind := self.type_of(value, scope):
            (scope if isinstance(target, ast.Name) else self.gives)[last_name(target)] = kind

    def unread(self) -> Iterator[str]:
        """
        ``Class.field`` of every setting or section that nothing read.
        """
        for name in sorted(self.settings):
            yield from (f'{name}.{field}' for field in self.fields[name] if (name, field) not in self.read)


def unread_settings(texts: list[str]) -> list[str]:
    trees = [ast.parse(text) for text in texts]
    source = Source(trees)
    for tree in trees * 2:  # an attribute may be used in a file that comes before the one that fills it
        source.visit(tree, {})
    return list(source.unread())


def test_every_setting_is_read_somewhere() -> None:
    texts = [path.read_text(encoding='utf-8') for path in sorted(PACKAGE.rglob('*.py'))]
    assert sum('= setting(' in text for text in texts) > 10
    assert not unread_settings(texts)


def test_a_setting_is_not_read_by_reading_one_of_the_same_name_elsewhere() -> None:
    settings = """
class Inner:
    size: int = setting(1, 'read through the section')
    depth: int = setting(1, 'read by nobody')
class Outer:
    inner: Inner = section(Inner)
    size: int = setting(1, 'read by nobody, though there is an Inner.size')
    width: int = setting(1, 'only checked')
    def __post_init__(self) -> None:
        check(self.width)
"""
    code = """
def use(config: Outer, other: Tree) -> int:
    inner = config.inner
    return inner.size + other.depth
"""
    assert unread_settings([settings, code]) == ['Inner.depth', 'Outer.size', 'Outer.width']
