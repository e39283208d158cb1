"""The textbook: a small GPT from the ground up. It imports torch, and of hornbook only `chance` and `errors`.

Read it in this order, each file the one before plus one idea: `bigram`, `head`, `multihead`, `block`, `gpt`; then
`attention` (all heads at once), the parts to choose from (`dropout`, `positions`, `mlp`, `norm`), `cache`, and how
it is put together: `config`, `build`, `weights`, `count`.

One legend of shapes holds everywhere:
`B` batch, `T` time (`Tq` of the queries, `Tk` of the keys), `C` channels (n_embd), `H` heads, `D` head size (C / H),
`V` vocabulary.
"""
