"""Kernels: functions of arrays, compiled once for each structure of their arguments.

`@kernel` is `jax.jit` with one convention: what is positional is a tree of numbers, what is keyword-only is
static. A program that starts often may say with `compile_with` who compiles its kernels, and so keep them
from one process to the next; tracing and lowering them takes JAX longer than most solves.

To hand an array over costs some microseconds each way, however short it is. So the short ones travel together
in one vector of doubles (`Packing`): arguments that come from the host, and results that go there, those of
a kernel that is `fetched`.

On a CPU, XLA has two ways to generate code for fused operations. The newer one takes twice as long, and its
code is faster only where long chains of arithmetic are evaluated again and again: in kernels that are `hot`.
These use the widest vectors there are.
"""

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, ParamSpec, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

P = ParamSpec("P")
R = TypeVar("R")


Compiler: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any]], Callable[..., Any]]
"""Compiles a jitted function for positional arguments like these and static ones; what it returns is called
with the positional ones alone."""

_compiler: Compiler | None = None
_QUICK = {"xla_cpu_use_fusion_emitters": False}
_HOT = {"xla_cpu_prefer_vector_width": 512}
_SHORT = 4096  # numbers in an array
_DTYPES = ("float64", "int64", "int32", "bool")  # doubles hold them all, integers of counts exactly


def compile_with(compiler: Compiler | None) -> None:
    """From now on this compiler makes the kernels of this process; None: JAX, when they are first called."""
    global _compiler
    _compiler = compiler


class Packing(NamedTuple):
    """How the leaves of a tree travel: the short ones one after another in a vector, the others apart."""

    structure: Any  # of the tree
    shapes: tuple[tuple[int, ...] | None, ...]  # of the leaves in the vector; None: apart
    dtypes: tuple[str, ...]  # of the leaves in the vector; doubles hold short integers and truth values too

    def __reduce__(self) -> Any:
        skeleton = jax.tree.unflatten(self.structure, range(self.structure.num_leaves))
        return _packing, (skeleton, self.shapes, self.dtypes)  # a structure itself cannot be pickled

    def sort(self, leaves: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """The leaves that go into the vector, and the others."""
        together = [leaf for leaf, shape in zip(leaves, self.shapes, strict=True) if shape is not None]
        return together, [leaf for leaf, shape in zip(leaves, self.shapes, strict=True) if shape is None]

    def unpack(self, vector: Any, apart: Iterable[Any]) -> Any:
        """The tree; doubles are views of the vector."""
        return jax.tree.unflatten(self.structure, list(self._leaves(vector, iter(apart))))

    def _leaves(self, vector: Any, apart: Iterator[Any]) -> Iterator[Any]:
        begin, dtypes = 0, iter(self.dtypes)
        for shape in self.shapes:
            if shape is None:
                yield next(apart)
                continue
            end, dtype = begin + math.prod(shape), next(dtypes)
            leaf = vector[begin:end].reshape(shape)
            yield leaf if dtype == "float64" else leaf.astype(dtype)
            begin = end


def _packing(skeleton: Any, shapes: tuple[tuple[int, ...] | None, ...], dtypes: tuple[str, ...]) -> Packing:
    return Packing(jax.tree.structure(skeleton), shapes, dtypes)


@jax.tree_util.register_pytree_node_class
class _Packed(NamedTuple):
    """A tree on its way."""

    vector: Any  # doubles
    apart: list[Any]
    packing: Packing

    def tree_flatten(self) -> tuple[tuple[Any, ...], Packing]:
        return (self.vector, self.apart), self.packing

    @classmethod
    def tree_unflatten(cls, packing: Packing, children: Sequence[Any]) -> "_Packed":
        return cls(*children, packing)


def _pack_arguments(arguments: tuple[Any, ...]) -> _Packed | None:
    """None where some are traced."""
    leaves, structure = jax.tree.flatten(arguments)
    shapes: list[tuple[int, ...] | None] = []
    for leaf in leaves:
        if isinstance(leaf, float):  # Python's and NumPy's
            shapes.append(())
        elif isinstance(leaf, np.ndarray):
            shapes.append(leaf.shape if leaf.dtype == np.float64 and leaf.size <= _SHORT else None)
        elif isinstance(leaf, Tracer):
            return None
        else:
            shapes.append(None)
    packing = Packing(structure, tuple(shapes), ("float64",) * (len(shapes) - shapes.count(None)))
    together, apart = packing.sort(leaves)
    return _Packed(_in_a_row(together), apart, packing)


def _in_a_row(numbers: Sequence[float | np.ndarray]) -> np.ndarray:
    """One vector; single numbers are gathered first, as each array costs a microsecond."""
    parts: list[Any] = [[]]
    for number in numbers:
        if isinstance(number, float):
            parts[-1].append(number)
        else:
            parts += [number.ravel(), []]
    return np.concatenate(parts)


def _pack_results(tree: Any) -> _Packed:
    """Inside a kernel."""
    leaves, structure = jax.tree.flatten(tree)
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    short = [leaf.size <= _SHORT and str(leaf.dtype) in _DTYPES for leaf in leaves]
    shapes = tuple(leaf.shape if fits else None for leaf, fits in zip(leaves, short, strict=True))
    dtypes = tuple(str(leaf.dtype) for leaf, fits in zip(leaves, short, strict=True) if fits)
    packing = Packing(structure, shapes, dtypes)
    together, apart = packing.sort(leaves)
    vector = jnp.concatenate([jnp.ravel(leaf).astype(jnp.float64) for leaf in [*together, jnp.zeros(0)]])
    return _Packed(vector, apart, packing)


class Kernel(Generic[P, R]):
    """A compiled function; see the top of this file. Inside another kernel it is traced like any function."""

    def __init__(self, function: Callable[P, R], hot: bool, fetched: bool) -> None:
        self._function, self._hot, self._fetched = function, hot, fetched
        self._compiled: dict[Any, Callable[..., Any]] = {}
        functools.update_wrapper(self, function)

    @functools.cached_property
    def _jitted(self) -> Any:
        parameters = inspect.signature(self._function).parameters.values()
        static = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
        options = (_HOT if self._hot else _QUICK) if jax.default_backend() == "cpu" else None

        @functools.wraps(self._function)
        def packed(arguments: _Packed, **static: Any) -> Any:
            results = self._function(*arguments.packing.unpack(arguments.vector, arguments.apart), **static)
            return _pack_results(results) if self._fetched else results

        del packed.__wrapped__  # whose signature is another
        return jax.jit(packed, static_argnames=static, compiler_options=options)

    def __call__(self, *arguments: P.args, **static: P.kwargs) -> R:
        packed = _pack_arguments(arguments)
        if packed is None:
            return self._function(*arguments, **static)
        results = self._run(packed, static)
        if not self._fetched:
            return results
        return results.packing.unpack(np.asarray(results.vector), map(np.asarray, results.apart))

    def _run(self, packed: _Packed, static: dict[str, Any]) -> Any:
        if _compiler is None:
            return self._jitted(packed, **static)
        types = tuple(map(jax.typeof, packed.apart))
        key = _compiler, packed.packing, types, tuple(sorted(static.items()))
        if key not in self._compiled:
            self._compiled[key] = _compiler(self._jitted, (packed,), static)
        return self._compiled[key](packed)


def kernel(*, hot: bool = False, fetched: bool = False) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Make a kernel of a function whose positional arguments are trees of numbers.

    Args:
        hot: compile it with more care; see the top of this file.
        fetched: its results are NumPy's, for use on the host.
    """
    return lambda function: Kernel(function, hot, fetched)
