"""Experiments that cut into encoders: each a module with `run(experiment)`, planned by `memlib.studies`.

`run` takes a `studies.Experiment`, loads its encoders by `train.encoder(experiment.encoder(role))` and its images by
`data.load`, and returns

- arrays, {name: tensor}: the numbers of one run, small enough to be published;
- a header of plain JSON: the names that the arrays' axes have.

What the scale chose is in `experiment.choice(name)`; which choices a kind has stands in `studies.CHOICES`.
"""
