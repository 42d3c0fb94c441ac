"""FSDP2: the image encoder in shards, everything else whole on every rank."""

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from sam_train.modeling.build import sam_model_registry
from sam_train.modeling.sam import Sam
from sam_train.training.scale.ranks import broadcast_weights


def shard_encoder(sam: Sam, mesh: DeviceMesh) -> None:
    """Shards the encoder block by block over a (nodes, devices of a node) mesh, in place.

    Each node holds the encoder once. The decoder stays whole: it is 4 M parameters, and its
    number of calls differs between ranks, which shards could not follow.
    """
    broadcast_weights(sam)
    encoder = sam.image_encoder.to(memory_format=torch.contiguous_format)  # as FSDP demands
    for block in getattr(encoder, "blocks", []):
        fully_shard(block, mesh=mesh)
    fully_shard(encoder, mesh=mesh)


def whole_model(sam: Sam) -> Sam:
    """The model without shards, from the parts of all ranks; every rank has to take part."""
    if not any(isinstance(parameter, DTensor) for parameter in sam.parameters()):
        return sam
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights = get_model_state_dict(sam, options=options)
    name, config = sam.recipe
    whole = sam_model_registry[name](**config)
    if weights:  # on rank 0
        whole.load_state_dict(weights)
    return whole
