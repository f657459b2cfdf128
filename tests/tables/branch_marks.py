"""Which branches a run takes: modules rewritten when they are imported, so that each branch leaves a mark.

    with marked_imports("quotegrid.tables."):
        from quotegrid.tables.quoter import Quoter
    forget()
    Quoter(...)
    bytes(MARKS)            one byte for each branch: 1 if it was taken; for a loop bits for how often

A branch is a body of a function, of `if`, `else`, `for`, `while`, `except`, `case`, either side of
`x if y else z`, each further part of `and` and `or`, each turn of a comprehension. A mark takes some 20 ns, a
hundredth of what tracing takes.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

MARKS = bytearray()
PLACES: list[str] = []  # file:line of each
_LOOPS: list[int] = []  # turns of each loop
_LOOP_MARKS: list[int] = []  # the place of its bits in MARKS
_BITS = [0, 1, 2, 2, 4, 4, 4, 4, *[8] * 8, *[16] * 16, *[32] * 32, *[64] * 64]  # by the number of turns


def forget() -> None:
    """Clear all marks."""
    MARKS[:] = bytes(len(MARKS))
    _LOOPS[:] = [0] * len(_LOOPS)


def marks() -> int:
    """The marks since `forget`, as the bits of one number."""
    for place, turns in zip(_LOOP_MARKS, _LOOPS, strict=True):
        if turns:
            MARKS[place] = _BITS[turns] if turns < len(_BITS) else 128
    return int.from_bytes(MARKS, "little")


class _Marker(ast.NodeTransformer):
    """Puts a mark at the beginning of each branch."""

    def __init__(self, file: str) -> None:
        self._file = file

    def _new(self, node: ast.AST) -> None:
        MARKS.append(0)
        PLACES.append(f"{self._file}:{getattr(node, 'lineno', 0)}")

    def _statement(self, node: ast.AST, loop: bool = False) -> ast.stmt:
        self._new(node)
        if not loop:
            return ast.parse(f"__marks__[{len(MARKS) - 1}] = 1").body[0]
        _LOOP_MARKS.append(len(MARKS) - 1)
        _LOOPS.append(0)
        return ast.parse(f"__loops__[{len(_LOOPS) - 1}] += 1").body[0]

    def _expression(self, marked: ast.expr) -> ast.expr:
        self._new(marked)
        # bytearray.__setitem__ gives None, which is false
        mark = ast.parse(f"__mark__({len(MARKS) - 1}, 1)", mode="eval").body
        return ast.BoolOp(ast.Or(), [mark, marked])

    def _bodies(self, node: Any) -> Any:
        self.generic_visit(node)
        documented = isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None
        first = node.body[-1] if isinstance(node, ast.match_case) else node
        node.body.insert(int(documented), self._statement(first, isinstance(node, ast.For | ast.While)))
        return node

    def _two_bodies(self, node: Any) -> Any:
        self._bodies(node)
        node.orelse.insert(0, self._statement(node.orelse[0] if node.orelse else node))
        return node

    visit_FunctionDef = visit_ExceptHandler = visit_match_case = _bodies
    visit_If = visit_For = visit_While = _two_bodies

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        self.generic_visit(node)
        node.body, node.orelse = self._expression(node.body), self._expression(node.orelse)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        self.generic_visit(node)
        node.values[1:] = map(self._expression, node.values[1:])
        return node

    def _element(self, node: Any) -> Any:
        self.generic_visit(node)
        node.elt = self._expression(node.elt)
        return node

    visit_GeneratorExp = visit_ListComp = visit_SetComp = _element

    def visit_DictComp(self, node: ast.DictComp) -> ast.expr:
        self.generic_visit(node)
        node.value = self._expression(node.value)
        return node


class _MarkedLoader(SourceFileLoader):
    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:
        tree = ast.fix_missing_locations(_Marker(path).visit(ast.parse(data, path)))
        return compile(tree, path, "exec", optimize=_optimize, dont_inherit=True)

    def get_code(self, fullname: str) -> CodeType:  # nothing is taken from or left in __pycache__
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(__marks__=MARKS, __loops__=_LOOPS, __mark__=MARKS.__setitem__)
        super().exec_module(module)


class _MarkedFinder:
    """Finds modules of one package as all others are found, and has them marked."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        if not name.startswith(self._prefix):
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _MarkedLoader(name, spec.loader.path)
        return spec


@contextmanager
def marked_imports(prefix: str) -> Iterator[None]:
    """Modules whose name begins with `prefix` leave marks if they are imported here for the first time."""
    finder: Any = _MarkedFinder(prefix)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
