"""What the shop sells, shared by its functions as a layer."""

PRICES = {"tea": 4.5, "coffee": 6.0, "cocoa": 5.25}
"""Article to price."""


def price(article: str, amount: int) -> float:
    """What so much of an article costs. Raises `KeyError` for what the shop does not sell."""
    return round(PRICES[article] * amount, 2)
