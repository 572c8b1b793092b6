"""The loss of the class predictor: of the learner, and of the predictor alone."""

from torch import Tensor
from torch.nn import functional as F

from trama.learning.replay import NO_LABEL, Batch
from trama.networks.agent import AgentHistory, RecurrentNetwork


def predictor_loss(predictor: RecurrentNetwork, batch: Batch) -> Tensor:
    """Cross-entropy over every agent at every real step of the episodes that have a label."""
    packing = batch.packing
    history = AgentHistory.of(batch.obs, batch.last_action)
    logits = predictor(history, packing.batch_sizes)
    label = batch.label[packing.episode[packing.current]]
    per_agent = label.unsqueeze(1).expand(-1, logits.shape[1])
    return F.cross_entropy(
        logits[packing.current].flatten(0, 1), per_agent.flatten(), ignore_index=NO_LABEL
    )
