"""The images of a shard that have masks, by number."""

from sam_train.data.records import Sample
from sam_train.data.store.shard_index import current_masks, ensure_index
from sam_train.data.store.shards import IndexedShard
from sam_train.data.store.tar_members import OnBad
from sam_train.data.stream.mixture import ShardFiles


class AnnotatedImages:
    """Holds where they lie; their bytes stay in the tar. What is bad in it goes to `on_bad`."""

    def __init__(self, shard: ShardFiles, on_bad: OnBad) -> None:
        tars = [tar for tar in (shard.images, shard.annotations) if tar is not None]
        masks = current_masks(*(ensure_index(tar, on_bad) for tar in tars))
        self._samples = IndexedShard(*tars, skip=shard.excluded, on_bad=on_bad)
        self.keys = [key for key in self._samples.keys if masks[key]]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, number: int) -> Sample:
        """Raises a BadSample where the tar is not as it was indexed."""
        return self._samples[self.keys[number]]
