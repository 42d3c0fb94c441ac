"""Images whose masks are known, mixed in to see how well people draw."""

from data_engine.people.tasks.queue import chance
from data_engine.pool import Pool


def gold_images(pool: Pool, share: float) -> list[str]:
    """About a share of the pool's images, at least one, of those that came with masks.

    They are chosen by their keys: the choice stays the same when the pool grows. Raises ValueError
    if none has masks.
    """
    keys = pool.keys()
    by_chance = sorted((chance(f"gold {key}"), key) for key in keys)
    gold: list[str] = []
    for number, key in by_chance:
        if gold and number >= share:
            break
        if pool.known_masks(key):
            gold.append(key)
    if not gold:
        raise ValueError(
            "gold images need known masks and no image of the pool came with any: give a pool "
            "with masks (pool=coco, pool=mask_folder) or gold_share=0"
        )
    return gold
