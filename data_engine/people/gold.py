"""Images whose masks are known, mixed in to see how well people draw."""

from data_engine.people.queue import chance
from data_engine.pool import Pool


def gold_images(pool: Pool, share: float) -> list[str]:
    """A share of the pool's images, chosen by their keys, of those that came with masks.

    The choice stays the same when the pool grows. Raises ValueError if none has masks.
    """
    keys = pool.keys()
    chosen = [key for key in keys if chance(f"gold {key}") < share]
    gold = [key for key in chosen if pool.known_masks(key)]
    if not gold:
        raise ValueError(
            f"none of the {len(chosen)} images that gold_share={share} picks came with masks: "
            "give a pool with masks (pool=coco, pool=mask_folder), a higher share, or 0"
        )
    return gold
