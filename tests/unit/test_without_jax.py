"""In the environment of SMACv2 there is no JAX: the library must not need it."""

import subprocess
import sys
from pathlib import Path

_SCRIPT = """
import importlib, pkgutil, sys
from functools import partial
from pathlib import Path


class Trap:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("jax", "jaxlib", "jaxmarl", "flax"):
            raise ImportError(f"{name} must not be imported")


sys.meta_path.insert(0, Trap())
import trama

needs_more = {f"trama.environments.{name}" for name in ("jax_batch", "mpe", "smax", "starcraft")}
for module in pkgutil.walk_packages(trama.__path__, "trama."):
    if module.name not in needs_more:
        importlib.import_module(module.name)

from fake_games import SPEC, WalkGame
from fakes import make_trainer, small_train
from trama.config.backends import GamePatience
from trama.environments.processes import ProcessVectorEnv

with ProcessVectorEnv(SPEC, 2, partial(WalkGame, Path(sys.argv[1])), GamePatience()) as env:
    trainer = make_trainer(env, "qplex", small_train(n_envs=2, batch_size=4), None, 0)
    while trainer.updates < 2:
        trainer.step()
print(trainer.updates, "updates")
"""


def test_the_library_imports_and_trains_without_jax(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 updates\n"
