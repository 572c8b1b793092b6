"""JAX beside PyTorch in one process: platform, memory, threads and the compilation cache."""

import importlib.util
import os
from typing import Literal

from trama.compilation import compilation_cache
from trama.errors import TramaError

# Of each `env.device`: the platforms that JAX may use, and what it calls the first of them.
_PLATFORMS = {"cpu": ("cpu", "cpu"), "cuda": ("cuda,cpu", "gpu")}


def configure_jax(device: Literal["cpu", "cuda"], threads: int) -> None:
    """Set JAX up for this process; call it before anything imports jax.

    XLA reads its thread count and platform once, at its first computation: a later call with
    other values cannot change them.

    Args:
        device: `env.device` of the config.
        threads: size of XLA's CPU thread pool.

    Raises:
        TramaError: if JAX or JaxMARL is not installed, or if the device is not there.
    """
    for package in ("jax", "jaxmarl"):
        if importlib.util.find_spec(package) is None:
            raise TramaError(
                f"This env.backend needs the package {package!r}, which is not installed. "
                "Run `make` in the repository, or install jax and jaxmarl in the versions that "
                "pyproject.toml pins."
            )
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    os.environ["NPROC"] = str(threads)
    platforms, expected = _PLATFORMS[device]
    os.environ["JAX_PLATFORMS"] = platforms

    import jax

    jax.config.update("jax_platforms", platforms)
    jax.config.update("jax_compilation_cache_dir", str(compilation_cache("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    try:
        found = jax.default_backend()
    except RuntimeError as error:
        found = str(error)
    if found != expected:
        raise TramaError(
            f"env.device: {device} is not what JAX offers here ({found}). For a GPU, install jax "
            "with CUDA support, and in a SLURM job set resources.<stage>.gpu: 1; or set "
            "env.device: cpu."
        )
