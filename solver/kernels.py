"""Kernels: functions of arrays, compiled once for each structure of their arguments.

`@kernel` is `jax.jit` with one convention: what is positional is a tree of arrays, what is keyword-only is
static. A program that starts often may say with `compile_with` who compiles its kernels, and so keep them
from one process to the next; tracing and lowering them takes JAX longer than most solves.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar

import jax
from jax.core import Tracer

P = ParamSpec("P")
R = TypeVar("R")


Compiler: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any]], Callable[..., Any]]
"""Compiles a jitted function for positional arguments like these and static ones; what it returns is called
with the positional ones alone."""

_compiler: Compiler | None = None


def compile_with(compiler: Compiler | None) -> None:
    """From now on this compiler makes the kernels of this process; None: JAX, when they are first called."""
    global _compiler
    _compiler = compiler


class Kernel(Generic[P, R]):
    """A compiled function; see the top of this file. Inside another kernel it is traced like any function."""

    def __init__(self, function: Callable[P, R]) -> None:
        parameters = inspect.signature(function).parameters.values()
        static = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
        self._jitted: Any = jax.jit(function, static_argnames=static)
        self._compiled: dict[Any, Callable[..., R]] = {}
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: P.args, **static: P.kwargs) -> R:
        leaves, structure = jax.tree.flatten(arguments)
        if _compiler is None or any(isinstance(leaf, Tracer) for leaf in leaves):
            return self._jitted(*arguments, **static)
        key = _compiler, structure, tuple(map(jax.typeof, leaves)), tuple(sorted(static.items()))
        if key not in self._compiled:
            self._compiled[key] = _compiler(self._jitted, arguments, static)
        return self._compiled[key](*arguments)


def kernel(function: Callable[P, R]) -> Kernel[P, R]:
    """Make a kernel of a function whose positional arguments are trees of arrays."""
    return Kernel(function)
