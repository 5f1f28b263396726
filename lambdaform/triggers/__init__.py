"""One module per trigger: a small class that expands into resources and grants.

Resources offer their triggers as methods (`queue.messages(...)`), and triggers expand to resources, so this package
and `lambdaform.resources` form one layer; module by module the imports still go one way.
"""
