"""Folders and requirements to reproducible zips: values in, values out, never a call to AWS.

`packager` is the way in. It puts together what `source` finds in folders and archives (less what `ignore` leaves out)
and what `wheels` installs; `requirements` reads what is asked for, `installer` runs uv and tells its answers apart.
`archive` writes the zip, `sizes` tells what is big.
"""
