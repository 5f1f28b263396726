"""Values to text, DOT, SVG and pages; jinja2 and graphviz live here only."""
