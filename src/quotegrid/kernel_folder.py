"""Compiled kernels in a folder, so that the next process need not trace, lower and compile them again.

JAX's own compilation cache saves compiling, but is asked only after a kernel has been traced and lowered,
which takes longer than most solves. Here a kernel is found by the structure of its arguments.

An entry is used only where all agrees that its code depends on: the sources of models, solver and analysis,
the versions of Python, NumPy and JAX, JAX's settings, the processor (all in the name of the folder), the
kernel and the structure of its arguments (in the name of the file, and compared in full). A file begins with
the SHA-256 of its rest: what is damaged or cannot be loaded is compiled and written again. Whoever may write
here may run code as the user, as with every cache of compiled code.
"""

import hashlib
import os
import pickle
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
import jaxlib.version
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from jax.experimental.serialize_executable import deserialize_and_load, serialize

import quotegrid.analysis
import quotegrid.models
import quotegrid.solver
from quotegrid.tables.atomic_file import write_atomically

_PACKAGES = (quotegrid.models, quotegrid.solver, quotegrid.analysis)  # that have kernels
_DIGEST = hashlib.sha256().digest_size
_UNUSED = 30 * 86400.0  # seconds after which the kernels of another version are deleted


class KernelFolder:
    """A compiler of kernels (`quotegrid.solver.kernels.Compiler`) that keeps them in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _fingerprint()
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True)
            _delete_unused(folder)
        os.utime(self._folder)

    def __call__(self, jitted: Any, arguments: tuple[Any, ...], static: dict[str, Any]) -> Callable[..., Any]:
        """The kernel for arguments like these, from the folder, or compiled and put there."""
        leaves, structure = jax.tree.flatten(arguments)
        sought = (jitted.__module__, jitted.__name__, static, structure, list(map(jax.typeof, leaves)))
        told = repr(sought)
        name = hashlib.sha256(told.encode()).hexdigest()[:32]
        path = self._folder / f"{jitted.__name__.strip('_')}-{name}"
        found = _read(path, told, arguments)
        return _compile(path, told, jitted, arguments, static) if found is None else found


def _read(path: Path, told: str, arguments: tuple[Any, ...]) -> Callable[..., Any] | None:
    """The kernel in a file; None where there is none, or none that can be used."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, entry = content[:_DIGEST], memoryview(content)[_DIGEST:]
    if hashlib.sha256(entry).digest() != digest:
        return None
    try:
        made_for, executable, takes, gives = pickle.loads(entry)
        return _load(executable, takes, gives, arguments) if made_for == told else None
    except Exception:  # whatever is wrong with it, it can be made again
        return None


def _load(executable: bytes, takes: Any, gives: Any, arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """An executable for arguments like these; `takes` and `gives` are trees of what it was made for."""
    structure = jax.tree.structure((arguments, {}))
    if jax.tree.structure((takes, {})) != structure:
        raise ValueError("made for arguments of another structure")
    return deserialize_and_load(executable, structure, jax.tree.structure(gives))


def _compile(
    path: Path, told: str, jitted: Any, arguments: tuple[Any, ...], static: dict[str, Any]
) -> Callable[..., Any]:
    """Compile a kernel and keep it, if it can be kept."""
    lowered = jitted.lower(*arguments, **static)
    with _without_caches():
        compiled = lowered.compile()
    # where the disk is full, or JAX cannot write out this kernel, the next process compiles again
    with suppress(Exception):
        executable, _, results = serialize(compiled)
        kernel = (executable, _skeleton(jax.tree.structure(arguments)), _skeleton(results))
        jax.block_until_ready(_load(*kernel, arguments)(*arguments))  # it is used only if it runs
        entry = pickle.dumps((told, *kernel))
        write_atomically(path, [hashlib.sha256(entry).digest(), entry])
    return compiled


@contextmanager
def _without_caches() -> Iterator[None]:
    """Keep JAX's own cache out of it: an executable that was found there cannot be written out again."""
    used = jax.config.values["jax_enable_compilation_cache"]
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # it asks for the setting only once
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", used)
        compilation_cache.reset_cache()


def _skeleton(structure: Any) -> Any:
    """A tree of that structure that can be pickled, which a structure cannot."""
    return jax.tree.unflatten(structure, range(structure.num_leaves))


def _fingerprint() -> str:
    """What machine code depends on beside the kernel and its arguments, in 16 letters."""
    packages = [Path(each) for package in _PACKAGES for each in package.__path__]
    sources = [file.read_bytes() for folder in packages for file in sorted(folder.glob("*.py"))]
    settings = sorted((key, value) for key, value in jax.config.values.items() if "cache" not in key)
    flags = [os.environ.get(name) for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")]
    versions = [platform.python_version(), np.__version__, jax.__version__, jaxlib.version.__version__]
    told = repr((sources, settings, flags, versions, _processor()))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _processor() -> str:
    """The processor and what it can do; the machine's name where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine() + platform.node()
    told = {line for line in lines if line.split("\t")[0] in ("flags", "Features", "model name")}
    return platform.machine() + "".join(sorted(told))


def _delete_unused(folder: Path) -> None:
    """Delete the kernels of versions that were not run for a month."""
    for each in folder.iterdir():
        if each.is_dir() and time.time() - each.stat().st_mtime > _UNUSED:
            shutil.rmtree(each, ignore_errors=True)
