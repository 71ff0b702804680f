"""The kinds of inspections whose artifacts the findings read.

They are not in `inspections`, because each start of the workflow needs them, and importing what
reads the artifacts takes half a second.
"""

READ = (
    *("lines", "curve", "exposed", "importance", "matched", "probe", "takeover"),
    *("layer_maps", "sparsest", "bridge", "transfer"),
)
