"""Replay memory, and peak memory of a training process, with 5,000 full episodes."""

from benchmarks.harness import THREADS, Effort, Figure, figure, fresh

EPISODES = 5_000
TARGET_MB = 2_000.0
_CODE = """
import json, resource, sys
sys.path.insert(0, "workflow")
from trama.runtime import configure_process
configure_process(int(sys.argv[1]))
import numpy as np
import torch
from benchmarks.subjects import device, make_labels, make_learner, smax
from trama.config.model import Train
from trama.learning.stopwatch import Stopwatch
from trama.learning.trainer import Trainer

episodes, as_float32 = int(sys.argv[2]), sys.argv[3] == "float32"
config = Train(n_envs=32, buffer_size=64 if as_float32 else episodes)
env = smax(32)
learner, labels = make_learner("trama", env.spec, config), make_labels(env.spec, config)
learner.timed = Stopwatch()  # one that watches memory would forget the peak of the process
trainer = Trainer(env, learner, config, labels, 0, 0, device())
stored = [
    values if isinstance(values, np.ndarray) else values.numpy()
    for values in vars(trainer.replay).values()
    if isinstance(values, np.ndarray | torch.Tensor) and values.ndim > 1
]
if as_float32:
    stored = [np.empty((episodes, *values.shape[1:]), np.float32) for values in stored]
for values in stored:
    values.fill(1)  # touch every page: memory counts from then on
while trainer.updates < 3:
    trainer.step()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([sum(values.nbytes for values in stored) / 1e6, peak]))
"""


def measure(effort: Effort, episodes: int = EPISODES) -> list[Figure]:
    """Both figures come from one process each, which has no spread worth a repeat."""
    mine = fresh(_CODE, THREADS, episodes, "stored")
    other = fresh(_CODE, THREADS, episodes, "float32")
    reference = "the same arrays as float32"
    names = (f"replay of {episodes:,} full episodes", "training process with it, peak")
    targets = (None, TARGET_MB)
    return [
        figure("memory", name, "MB", ([a], [b]), reference=reference, target=target)
        for name, target, a, b in zip(names, targets, mine, other, strict=True)
    ]
