"""A trained policy with all that is needed to play, evaluate and show it: one file."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import TypeAdapter

from trama.config.backends import Env
from trama.config.problems import Problem
from trama.config.trees import without
from trama.errors import TramaError
from trama.learning.novelty import Novelty
from trama.learning.policy import Policy, PolicySizes
from trama.learning.representation import (
    TrainedRepresentation,
    own_texts,
    plain,
    weights_of,
)

_PLAIN = ("problem_name", "variant_name", "seed", "study_seed", "test_win_rate")


@dataclass(frozen=True)
class TrainedModel:
    """A policy, where it was trained, and the representation that it was trained with.

    Attributes:
        policy: the policy.
        test_win_rate: of the test at which this was the policy.
        problem_name: name of the problem in the config.
        problem: that it was trained on; its overrides of the environment are in `env`.
        env: settings of the environment, with the unit types of the problem; its device is `cpu`
            after loading, wherever the policy was trained.
        variant_name: name of the variant in the config.
        seed: one of `study.seeds`.
        study_seed: `study.seed`.
        representation: None for a baseline and for an oracle.
        class_of_task: class that stands for each true task of the problem, by its name, and None
            where that is unknown; empty without classes. For measuring only: no policy reads it.
        novelty: scores of novelty of the policy's predictor; None without classes, and where
            training had no labels yet.
    """

    policy: Policy
    test_win_rate: float
    problem_name: str
    problem: Problem
    env: Env
    variant_name: str
    seed: int
    study_seed: int
    representation: TrainedRepresentation | None
    class_of_task: dict[str, int | None]
    novelty: Novelty | None

    def save(self, path: Path) -> None:
        """Write plain data and tensors on the CPU; equal models give equal bytes."""
        representation = None if self.representation is None else self.representation.content()
        env = plain(self.env, exclude=["device", *self.env.unchosen])
        content = {
            "sizes": own_texts(asdict(self.policy.sizes)),
            "weights": weights_of(self.policy),
            "problem": plain(self.problem, exclude=["env"]),
            "env": without(env, self.env.idle_keys),
            "representation": representation,
            "class_of_task": own_texts(self.class_of_task),
            "novelty": None if self.novelty is None else self.novelty.content(),
            **{name: getattr(self, name) for name in _PLAIN},
        }
        torch.save(content, path)

    @classmethod
    def load(cls, path: Path, device: torch.device) -> Self:
        """Read what `save` wrote; nothing is unpickled but plain data and tensors.

        Args:
            path: the file.
            device: where policy and representation are to live.

        Raises:
            TramaError: the file is missing, damaged, or no trained model of this version.
        """
        if not path.is_file():
            raise TramaError(
                f"{path}: there is no such file. Run the target `train`, or name a policy of it."
            )
        try:
            content = dict(torch.load(path, map_location=device, weights_only=True))
            sizes: dict[str, Any] = dict(content["sizes"])
            for name in ("obs_features", "actions"):
                sizes[name] = tuple(sizes[name])
            policy = Policy(PolicySizes(**sizes), "in_use" in content["weights"])
            policy.load_state_dict(content["weights"])
            representation = content["representation"]
            if representation is not None:
                representation = TrainedRepresentation.of(representation, device)
            novelty = content["novelty"]
            return cls(
                policy=policy.to(device),
                problem=TypeAdapter(Problem).validate_python(content["problem"]),
                env=Env.model_validate(content["env"]),
                representation=representation,
                class_of_task=content["class_of_task"],
                novelty=None if novelty is None else Novelty.of(novelty, device),
                **{name: content[name] for name in _PLAIN},
            )
        except Exception as error:
            reason = next(iter(str(error).splitlines()), "")
            raise TramaError(
                f"{path}: cannot be read as a trained model ({type(error).__name__}: {reason}). "
                "Run the target `train` again."
            ) from error
