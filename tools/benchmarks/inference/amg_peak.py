"""The peak memory of automatic masks as SA-1B has them: 32 x 32 points and 20 crops, ViT-B.

The image has 1500 x 2250 pixels; the network runs in full on random weights, and what clicks are
answered with is drawn (`drawn_answers`). The peak is how far the memory of a process that holds the
model grows. It takes minutes, and there is no peer.
"""

import json

from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_train.modeling.build import build_sam_vit
from sam_train.threads import set_threads
from tools.benchmarks.comparison import peak_mb
from tools.benchmarks.drawing.drawn_photo import draw_photo
from tools.benchmarks.inference.amg import MASKS, answer_with

TARGET_MB = 1000


def main() -> None:
    """Prints the peak as a JSON line."""
    set_threads(1)
    image, masks = draw_photo(MASKS)
    sam = build_sam_vit("vit_b").eval()
    answer_with(sam, masks)
    generator = SamAutomaticMaskGenerator(
        sam,
        points_per_side=32,
        crop_n_layers=2,
        crop_n_points_downscale_factor=2,
        min_mask_region_area=100,
        output_mode="coco_rle",
    )
    peak = peak_mb(lambda: generator.generate(image))
    print(json.dumps({"name": "amg_peak", "peak_mb_ours": peak, "target_mb": TARGET_MB}))
