"""What the command line alone asks of JAX: double precision, and a cache of compiled code.

The cache lives in the user's cache folder, so a second `solve` of the same kind need not compile again. JAX
keeps only slow and large kernels unless told otherwise; ours are many and small.
"""

import os
import sys
from pathlib import Path

import jax


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
    """Switch on double precision and the compilation cache, before the first compile of this process.

    A cache folder that the user chose through JAX's own `JAX_COMPILATION_CACHE_DIR` is kept; where no folder
    can be written, everything is compiled anew.
    """
    jax.config.update("jax_enable_x64", True)
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        folder = user_cache_folder() / "quotegrid" / "jax"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return
        if not os.access(folder, os.W_OK):
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
