"""Experiments that cut into encoders, or measure them again: each kind a module with `run(experiment)`.

`run` takes an `experiments.Experiment`, loads its encoders by `paired.loaded` and its images by `data.load`, and
returns

- arrays, {name: tensor}: the numbers of one run, small enough to be published;
- a header of plain JSON: the names that the arrays' axes have.

What the scale chose is in `experiment.choice(name)`; which choices a kind has stands in `experiments.KINDS`.

What runs say, as estimates, stands beside it: `ablated`, `inserted`, `pruned`, `replaced` and `tuned`, and
`remeasured` for `units` and `training`. What several kinds need to run is in `paired` and `probes`.
"""
