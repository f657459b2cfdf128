"""Kernels: functions of arrays, compiled once for each structure of their arguments.

`@kernel` is `jax.jit` with one convention: what is positional is a tree of arrays, what is keyword-only is
static. A program that starts often may say with `compile_with` who compiles its kernels, and so keep them
from one process to the next; tracing and lowering them takes JAX longer than most solves.

On a CPU, XLA has two ways to generate code for fused operations. The newer one takes twice as long, and its
code is faster only where long chains of arithmetic are evaluated again and again: `@hot_kernel`.
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
_QUICK = {"xla_cpu_use_fusion_emitters": False}


def compile_with(compiler: Compiler | None) -> None:
    """From now on this compiler makes the kernels of this process; None: JAX, when they are first called."""
    global _compiler
    _compiler = compiler


class Kernel(Generic[P, R]):
    """A compiled function; see the top of this file. Inside another kernel it is traced like any function."""

    def __init__(self, function: Callable[P, R], hot: bool) -> None:
        self._function, self._hot = function, hot
        self._compiled: dict[Any, Callable[..., R]] = {}
        functools.update_wrapper(self, function)

    @functools.cached_property
    def _jitted(self) -> Any:
        parameters = inspect.signature(self._function).parameters.values()
        static = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
        quick = not self._hot and jax.default_backend() == "cpu"
        return jax.jit(self._function, static_argnames=static, compiler_options=_QUICK if quick else None)

    def __call__(self, *arguments: P.args, **static: P.kwargs) -> R:
        leaves, structure = jax.tree.flatten(arguments)
        if any(isinstance(leaf, Tracer) for leaf in leaves):
            return self._function(*arguments, **static)
        if _compiler is None:
            return self._jitted(*arguments, **static)
        key = _compiler, structure, tuple(map(jax.typeof, leaves)), tuple(sorted(static.items()))
        if key not in self._compiled:
            self._compiled[key] = _compiler(self._jitted, arguments, static)
        return self._compiled[key](*arguments)


def kernel(function: Callable[P, R]) -> Kernel[P, R]:
    """Make a kernel of a function whose positional arguments are trees of arrays."""
    return Kernel(function, hot=False)


def hot_kernel(function: Callable[P, R]) -> Kernel[P, R]:
    """The same, compiled with more care: see the top of this file."""
    return Kernel(function, hot=True)
