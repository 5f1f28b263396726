"""Folders and requirements to reproducible zips: values in, values out, never a call to AWS.

`packager` is the way in; `source` reads folders, `wheels` installs requirements, `archive` writes zips, `sizes` tells
what is big.
"""
