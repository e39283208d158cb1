"""A trace as plain data: what `hornbook trace --json` prints."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from hornbook.trace.follow import BlockTrace, Trace
from hornbook.trace.terminal import UNITS


def to_json(trace: Trace) -> dict[str, Any]:
    """Return a trace as plain data, to six digits; attention weights in the rows of the last 16 units."""
    inside = trace.inside
    embedding, p = inside.embedding, inside.probabilities[-1]
    low, high = trace.interval
    return {
        "run": trace.run,
        "model": trace.model,
        "step": trace.step,
        "text": trace.text,
        "notes": list(trace.notes),
        "units": [trace.units[i] for i in trace.ids],
        "ids": trace.ids.tolist(),
        "embedding": embedding
        and {
            "positions": embedding.part,
            "unit": _plain(embedding.tokens[-1]),
            "pair": None if embedding.pairs is None else _plain(embedding.pairs[-1]),
            "unit_scaled": None if embedding.scaled is None else _plain(embedding.scaled[-1]),
            "place": _plain(embedding.position[-1]),
            "sum": _plain(embedding.whole[-1]),
        },
        "blocks": [_block(block, len(trace.ids)) for block in inside.blocks],
        "norm": inside.norm
        and {"part": inside.norm[0], "before": _plain(inside.norm[1]), "after": _plain(inside.norm[2])},
        "logits": _plain(inside.logits[-1]),
        "probabilities": _plain(p),
        "probabilities_sum": float(p.sum()),
        "likeliest": [
            {
                "unit": trace.units[i],
                "id": int(i),
                "logit": float(inside.logits[-1, i]),
                "probability": float(p[i]),
                "chance": float(trace.chances[i]),
            }
            for i in trace.likeliest(-1)
        ],
        "followed": [{"id": i, "rank": rank, "probability": round(p, 6)} for i, rank, p in trace.followers()],
        "drawn": {
            "unit": trace.units[trace.drawn],
            "id": trace.drawn,
            "temperature": trace.temperature,
            "seed": trace.seed,
            "number": trace.number,
            "from": low,
            "to": high,
        },
    }


def _block(block: BlockTrace, T: int) -> Any:
    places = range(max(0, T - UNITS), T)
    heads = None if block.weights is None else [[head[i, : i + 1] for i in places] for head in block.weights]
    return _plain({**asdict(block), "weights_from_place": places.start + 1, "weights": heads})


def _plain(x: Any) -> Any:
    """Return lists for arrays, to six digits, at whatever depth."""
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [_plain(value) for value in x]
    return np.round(x, 6).tolist() if isinstance(x, np.ndarray) else x
