"""Where the command line keeps compiled code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quotegrid.compiler_cache import user_cache_folder

SHOW = (
    "from quotegrid.compiler_cache import set_up_jax; set_up_jax(); import jax;"
    "c = jax.config.values; print(c['jax_enable_x64'], c['jax_compilation_cache_dir'],"
    " c['jax_persistent_cache_min_compile_time_secs'], c['jax_persistent_cache_min_entry_size_bytes'])"
)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/caches"}, "/caches"),
        ("linux", {}, "/people/ada/.cache"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/people/ada/.cache"),
        ("darwin", {}, "/people/ada/Library/Caches"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local"),
        ("win32", {}, "/people/ada/AppData/Local"),
    ],
)
def test_the_users_cache_folder(
    platform: str, environment: dict[str, str], expected: str, monkeypatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/people/ada"))
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert user_cache_folder() == Path(expected)


def settings(**environment: str) -> str:
    """What `set_up_jax` sets, in a process of its own: the settings are global."""
    kept = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, "-W", "error", "-c", SHOW]
    done = subprocess.run(command, capture_output=True, text=True, env={**kept, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_small_and_quick_kernels_are_kept_too(tmp_path: Path) -> None:
    folder = tmp_path / "quotegrid" / "jax"
    assert settings(XDG_CACHE_HOME=str(tmp_path)) == f"True {folder} 0.0 -1"
    assert folder.is_dir()


def test_the_users_own_choice_stays(tmp_path: Path) -> None:
    chosen = str(tmp_path / "mine")
    assert settings(XDG_CACHE_HOME=str(tmp_path), JAX_COMPILATION_CACHE_DIR=chosen).split()[1] == chosen
    assert not (tmp_path / "quotegrid").exists()


def test_no_cache_where_none_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert settings(XDG_CACHE_HOME=str(tmp_path / "file")).split()[:2] == ["True", "None"]
