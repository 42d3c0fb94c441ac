"""Every distillation as its command runs it: from the composed config to the written weights."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from sam_train.data.store.embeddings import EmbeddingCache
from sam_train.data.store.manifest import Dataset
from sam_train.modeling.checkpoint import load_model, save_model
from sam_train.modeling.sam import Sam
from sam_train.train import train
from tools.embed import main as embed

CONFIGS = Path(__file__).parents[3] / "configs"
SMALL = ["data.batch_size=2", "data.num_workers=0", "max_steps=2", "seed=3", "threads=1"]
OF_TEACHER = ["model=tiny_light", "model.image_size=64", "+model.dim=32"]
PLAIN = ["model=efficient_sam_ti", "model.image_size=64"]
RECIPES = {
    "distill_encoder": OF_TEACHER + ["callbacks=distillation"],
    "distill_prompts": OF_TEACHER,
    "pretrain_sami": PLAIN
    + ["callbacks=distillation", "fit.module.autoencoder.dim=48", "fit.module.autoencoder.heads=3"],
}


@pytest.mark.filterwarnings("ignore")  # Lightning's hints
@pytest.mark.parametrize("fit", RECIPES)
def test_a_recipe_runs_from_its_command_and_leaves_a_student(
    fit: str, teacher: Sam, dataset: Dataset, embeddings: EmbeddingCache, tmp_path: Path
) -> None:
    config = {"image_size": 64, "dim": 32}
    save_model(teacher, tmp_path / "teacher.safetensors", model="tiny", config=config)
    given = [f"dataset={dataset.root}", f"output_dir={tmp_path / 'run'}"]
    folder, file = embeddings.folder, tmp_path / "teacher.safetensors"
    if fit == "pretrain_sami":
        folder = tmp_path / "stretched"
        embed([str(dataset.root), "--teacher", str(file), "--stretch", "--out", str(folder)])
    else:
        given.append(f"fit.module.teacher.checkpoint={file}")
    given.append(f"fit.module.embeddings.folder={folder}")

    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        train(compose("train", [f"fit={fit}", "data=shards", *SMALL, *RECIPES[fit], *given]))

    assert load_model(tmp_path / "run" / "model.safetensors").image_size == 64
