"""hornbook presets"""

from typing import Annotated

from cyclopts import Parameter

from hornbook.cli.options import Json, whole
from hornbook.cli.output import print_json


def presets(
    name: str | None = None,
    /,
    *,
    vocab_size: Annotated[int, Parameter(converter=whole, help="How many different characters the text has.")] = 65,
    json: Json = False,
) -> None:
    """List the presets, or show one: its settings, and its parameters part by part.

    Example: hornbook presets quick --vocab-size 87

    Parameters
    ----------
    name
        A preset.
    """
    from dataclasses import asdict

    from hornbook.presets import GROUPS, PRESETS, USED_BY_BIGRAM, find_preset
    from hornbook.settings import meanings

    if name is None:
        if json:
            print_json({"presets": {preset.name: preset.about for preset in PRESETS.values()}})
        else:
            print("\n".join(f"{preset.name:<16} {preset.about}" for preset in PRESETS.values()))
            print("\nhornbook presets NAME shows one; hornbook train --preset NAME trains it")
        return
    from hornbook.model.count import count_config, total

    preset = find_preset(name)
    config = preset.model_config(vocab_size)
    shares = count_config(config)
    groups = {"model": config.to_json(), "recipe": preset.recipe.to_json(), "text": asdict(preset.text)}
    if json:
        parts = [{"name": s.name, "shape": s.shape, "times": s.times, "parameters": s.parameters} for s in shares]
        said = {"name": preset.name, "about": preset.about, "after": preset.after, "source": preset.source}
        marks = {"described": sorted(preset.described)} if preset.after else {}
        print_json({**said, **groups, **marks, "parts": parts, "parameters": total(shares)})
        return
    used = USED_BY_BIGRAM if config.kind == "bigram" else groups["model"].keys() - {"vocab_size"}
    print(f"{preset.name}: {preset.about}")
    if preset.after:
        print(f"after {preset.after}\ntext: {preset.source}, unless another is named")
        print("\nsettings, each to be changed with --set (+ left open by its source, and chosen here):\n")
    else:
        print("\nsettings, each to be changed with --set:\n")
    for group, settings in groups.items():
        words = meanings(GROUPS[group])
        for key, value in settings.items():
            if group != "model" or key in used:
                mark = "+" if preset.after and f"{group}.{key}" not in preset.described else " "
                print(f"{mark} {f'{group}.{key}={str(value).lower()}':<34} {words[key]}")
    print(f"\nparameters at a vocabulary of {vocab_size}:\n")
    print("\n".join(f"  {share}" for share in shares))
    print(f"  {'in all':<36} {'':>18} {total(shares):>12,}")
