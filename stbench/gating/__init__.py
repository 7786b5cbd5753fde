"""The gate: a run against a baseline, rule by rule, for CI to require.

`rules` says what may change by how much, `evidence` what a run measured, `baseline` how that is kept in a small file, `judge` decides,
`noise` films again to learn how much numbers change by themselves, `output` writes what people and CI read.
"""
