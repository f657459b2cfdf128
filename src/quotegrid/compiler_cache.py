"""What a program of its own, such as the command line or a notebook, asks of JAX: double precision, and
caches of compiled code.

They live in the user's cache folder, so a second `solve` of the same kind need not compile again: the
solver's kernels (`quotegrid.kernel_folder`), and the rest in JAX's compilation cache. JAX keeps only what is
slow and large unless told otherwise; ours is small.
"""

import os
import sys
from pathlib import Path

import jax

from quotegrid.kernel_folder import KernelFolder
from quotegrid.solver.kernels import compile_with


def user_cache_folder() -> Path:
    """Where programs keep what they can make again: `$XDG_CACHE_HOME`, or the platform's own folder."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(chosen):  # the XDG specification: relative paths are invalid and to be ignored
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path.home() / ".cache"


def set_up_jax() -> None:
    """Switch on double precision and the caches, before the first compile of this process.

    A cache folder that the user chose through JAX's own `JAX_COMPILATION_CACHE_DIR` is kept; where no folder
    can be written, everything is compiled anew.
    """
    jax.config.update("jax_enable_x64", True)
    # code without the places in our sources that it came from is much smaller, and loaded sooner
    jax.config.update("jax_traceback_in_locations_limit", 0)
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR", "")
    folder = Path(chosen) if chosen else user_cache_folder() / "quotegrid" / "jax"
    if "://" not in chosen:
        try:
            compile_with(KernelFolder(folder / "quotegrid-kernels"))
        except OSError:  # cannot be written
            if not chosen:
                return
    jax.config.update("jax_compilation_cache_dir", chosen or str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
