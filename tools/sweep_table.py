"""The runs of a sweep as a table (HTML, CSV, Markdown), as pictures, and the best as an experiment.

python -m tools.sweep_table outputs/ablations
"""

import argparse
from pathlib import Path

from sam_train.command_line import one_sentence_errors
from sam_train.data.store.durable import durable_file


def main() -> None:
    parser = argparse.ArgumentParser("sweep_table", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds one folder for each run")
    parser.add_argument(
        "--measure", default="val/iou_at_1", help="what is best by its last value (%(default)s)"
    )
    parser.add_argument("--lowest", action="store_true", help="the lowest is best, as of a loss")
    arguments = parser.parse_args()
    with one_sentence_errors("sweep_table"):
        write_table(arguments.folder, arguments.measure, lowest=arguments.lowest)


def write_table(folder: Path, measure: str, *, lowest: bool = False) -> None:
    """Writes all of it into the folder of the sweep, and prints the table."""
    from tools.sweeps.best import experiment_file
    from tools.sweeps.groups import best_group, group_runs
    from tools.sweeps.pictures import curves, parallel
    from tools.sweeps.runs import read_runs
    from tools.sweeps.table import as_csv, markdown, measures_of, page

    runs = read_runs(folder, measure)
    groups, others = group_runs(runs), [run for run in runs if run.state != "finished"]
    measures, best = measures_of(groups, measure), best_group(groups, measure, lowest=lowest)
    pictures = {"Validation by step": curves(groups, measures)}
    if picture := parallel(groups, measure):
        pictures["What was tried, and what came of it"] = picture
    experiment = experiment_file(best, folder=folder, measure=measure)
    best_file = folder / "experiment" / "best.yaml"
    text = markdown(groups, measures, others)
    html = page(
        groups,
        measures,
        others,
        best=best,
        title=f"Sweep {folder.name}",
        measure=measure,
        pictures=pictures,
        experiment=experiment,
        best_file=best_file,
    )
    files = {
        folder / "table.md": text,
        folder / "table.csv": as_csv(groups, measures, others),
        folder / "table.html": html,
        folder / "curves.svg": pictures["Validation by step"],
        best_file: experiment,
    }
    for path, content in files.items():
        with durable_file(path) as file:
            file.write(content.encode())
    print(f"{text}\nbest by {measure}: {best.label}\n{', '.join(map(str, files))}")


if __name__ == "__main__":
    main()
