"""The images of a shard that have masks, by number."""

from sam_train.data.records import Sample
from sam_train.data.store.shards import IndexedShard
from sam_train.data.store.tar_members import OnBad
from sam_train.data.stream.mixture import ShardFiles


class AnnotatedImages:
    """Holds where they lie; their bytes stay in the tar. What is bad in it goes to `on_bad`."""

    def __init__(self, shard: ShardFiles, on_bad: OnBad) -> None:
        self._samples = IndexedShard(
            shard.images, shard.annotations, skip=shard.excluded, on_bad=on_bad
        )
        self.keys = [key for key, masks in self._samples.mask_counts().items() if masks]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, number: int) -> Sample:
        """Raises a BadSample where the tar is not as it was indexed."""
        return self._samples[self.keys[number]]
