"""Plan, diff, apply, journal, state stores, locks: knows no kind of resource.

The road: `state` is loaded, `planner` compares it with a graph and gives a `plan`, `applier` carries the plan out with
the drivers of the kinds, writing to the `journal` before and after every step; `store` keeps it all.
"""
