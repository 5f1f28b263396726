"""Rules over the graph: quotas, cross-resource rules, event-path rules, loops.

Each module holds one family and lists its rules as `RULES`; `catalog` finds them, `rules` runs them over a `View`.
"""
