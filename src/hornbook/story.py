"""A run told in lines of text: what was asked, how the loss fell, what came out."""

from typing import Any

from hornbook.errors import printable
from hornbook.model.build import LARGEST_TABLE
from hornbook.model.config import ModelConfig
from hornbook.run import Run
from hornbook.runs import landmarks, log
from hornbook.training.progress import FRAME

BLOCKS = {"pre": "pre-norm", "branch": "branch norm", "post": "post-norm", "plain": "no residual stream"}


def describe_model(config: ModelConfig) -> str:
    """Say in one line what a model is."""
    if config.kind == "bigram":
        V = config.vocab_size
        return f"a bigram table of {V} × {V}" + (", in two thin ones" if V > LARGEST_TABLE else "")
    blocks = f"{config.n_layer} block{'s' if config.n_layer > 1 else ''} ({BLOCKS.get(config.block, config.block)})"
    heads = f"{config.n_head} head{'s' if config.n_head > 1 else ''} ({config.attention})"
    return f"{blocks}, {heads}, width {config.n_embd}, context {config.block_size}"


def asked(run: Run) -> list[str]:
    """Say what was asked: text, model, training."""
    config, recipe, text = run.config, run.recipe, run.config["text"]
    changed = " ".join(f"{name}={value}" for name, value in config["changed"].items())
    lines = [
        f"text: {text['label']} ({text['origin']}), {text['characters']:,} characters",
        f"model: preset {config['preset']}, {describe_model(run.model_config)}; {config['parameters']:,} parameters",
        f"training: {config['steps']:,} steps of {recipe.batch_size} windows, rate {recipe.learning_rate:g}, "
        f"seed {config['seed']}, {config['dtype']} on {config['device']}",
        *([f"changed from the preset: {changed}"] if changed else []),
    ]
    return [printable(line) for line in lines]  # the names are somebody's


def came_out(run: Run) -> list[str]:
    """Say what came out, and what to compare it with."""
    best, final = log.best(run.history), run.final
    if not best:
        return ["nothing has been evaluated yet"]
    lines = [f"best at step {best['step']:,}: train {best['train_loss']:.4f}, val {best['val_loss']:.4f}"]
    if final:
        lines.append(
            f"on {final['characters']:,} characters of validation text: {final['final_val_loss']:.4f} nats a "
            f"character = {final['bits_per_character']:.4f} bits; {final['bits_per_byte']:.4f} bits a byte"
        )
    return [*lines, f"to compare: {landmarks.told(run.config['landmarks'])}"]


def whole_story(run: Run) -> list[str]:
    """Tell it all: what was asked, the curve, what came out, the last sample."""
    samples = [line["sample"].strip("\n").splitlines() for line in run.history if "sample" in line]
    return [
        printable(f"{run.path}: {run.state}, {run.reached}"),
        *asked(run),
        "",
        *_curve(run.evaluations, run.config["landmarks"]["guess"]),
        "",
        *came_out(run),
        *(["", "the first sample:", *(FRAME + line for line in samples[0])] if samples else []),
        *(["", "the last sample:", *(FRAME + line for line in samples[-1])] if samples[1:] else []),
        "",
        printable(f"all samples: {run.folder.samples_path}"),
        printable(f"losses: {run.folder.png_path}"),
        printable(f"notes: {run.folder.notes_path}"),
    ]


def summary(run: Run) -> dict[str, Any]:
    """Return the same as plain data: what `--json` prints."""
    return {
        "path": str(run.path),
        "state": run.state,
        "config": run.config,
        "evaluations": run.evaluations,
        "final": run.final,
        "checkpoints": [
            {"step": saved.step, "path": str(saved.path), "sha256": saved.weights_sha256} for saved in run.checkpoints
        ],
    }


def _curve(evaluations: list[dict[str, Any]], guess: float, width: int = 24) -> list[str]:
    """Draw the validation loss as bars, one line an evaluation: full is a guess at random, empty the best there was."""
    best = min((line["val_loss"] for line in evaluations), default=0)
    return [
        f"step {line['step']:>7,}  train {line['train_loss']:.4f}  val {line['val_loss']:.4f}  "
        + "#" * round(width * min(1.0, (line["val_loss"] - best) / max(guess - best, 1e-9)))
        for line in evaluations
    ]
