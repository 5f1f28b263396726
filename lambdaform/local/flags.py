"""Options that the local AWS's own program and the command `local` share."""

from __future__ import annotations

import click

speed = click.option(
    "--speed",
    type=click.FloatRange(min=1, max=10_000),
    default=1.0,
    show_default=True,
    help="How many times faster the local AWS's clock runs: delays and schedules come so much sooner.",
)
cpu_share = click.option(
    "--cpu-share",
    is_flag=True,
    help="Give handlers the share of the processor that goes with their memory, where the machine allows it.",
)
