"""Do the metrics see what they claim to see? Films with known truth are harmed in one known way at a time, by known amounts.

`perturbations` harm, `films` hold what is harmed, `measure` scores and judges against what each metric declares (`Metric.expects`),
`matrix` draws. The command is `stbench validate-metrics`.
"""
