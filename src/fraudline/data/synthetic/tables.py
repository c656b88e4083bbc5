"""Constant tables of the generated world: cities and merchant categories."""

from typing import NamedTuple


class City(NamedTuple):
    """A place: WGS 84 degrees, ISO country, weight as a home and as a travel destination."""

    latitude: float
    longitude: float
    country: str
    home: float
    travel: float


class Category(NamedTuple):
    """A merchant category: ISO 18245 code, share of merchants, typical amount in major units, log sd, online share."""

    code: int
    merchants: float
    amount: float
    spread: float
    online: float
    traffic: float


CITIES: tuple[City, ...] = (
    City(52.520, 13.405, "DE", 10.0, 5.0),
    City(53.551, 9.994, "DE", 6.0, 3.0),
    City(48.137, 11.575, "DE", 6.0, 4.0),
    City(50.938, 6.960, "DE", 5.0, 2.0),
    City(50.111, 8.682, "DE", 4.0, 3.0),
    City(48.776, 9.183, "DE", 3.5, 1.0),
    City(51.228, 6.773, "DE", 3.0, 1.0),
    City(51.340, 12.375, "DE", 3.0, 1.0),
    City(51.514, 7.466, "DE", 3.0, 0.5),
    City(53.079, 8.802, "DE", 2.5, 0.5),
    City(51.050, 13.738, "DE", 2.5, 1.0),
    City(52.376, 9.732, "DE", 2.5, 1.0),
    City(49.453, 11.077, "DE", 2.5, 0.7),
    City(47.999, 7.842, "DE", 1.5, 0.7),
    City(48.208, 16.373, "AT", 4.0, 3.0),
    City(47.809, 13.055, "AT", 1.0, 1.5),
    City(47.269, 11.404, "AT", 0.8, 1.5),
    City(52.370, 4.895, "NL", 3.0, 2.5),
    City(51.924, 4.478, "NL", 1.5, 0.5),
    City(50.850, 4.352, "BE", 2.0, 1.5),
    City(51.220, 4.402, "BE", 1.0, 0.5),
    City(48.857, 2.352, "FR", 4.0, 4.0),
    City(45.764, 4.836, "FR", 1.5, 1.0),
    City(43.296, 5.370, "FR", 1.0, 1.0),
    City(48.573, 7.752, "FR", 1.0, 0.7),
    City(43.710, 7.262, "FR", 0.5, 1.5),
    City(45.464, 9.190, "IT", 2.0, 2.0),
    City(41.903, 12.496, "IT", 1.5, 3.0),
    City(45.440, 12.316, "IT", 0.3, 1.5),
    City(40.417, -3.704, "ES", 2.0, 2.0),
    City(41.385, 2.173, "ES", 1.5, 3.0),
    City(39.570, 2.650, "ES", 0.2, 3.0),
    City(38.722, -9.139, "PT", 1.0, 2.0),
    City(53.350, -6.260, "IE", 0.7, 1.0),
    City(60.170, 24.938, "FI", 0.7, 0.7),
    City(37.984, 23.728, "GR", 0.5, 1.5),
    City(51.507, -0.128, "GB", 0.0, 3.0),
    City(55.953, -3.188, "GB", 0.0, 0.7),
    City(47.377, 8.541, "CH", 0.3, 2.0),
    City(50.075, 14.438, "CZ", 0.2, 2.0),
    City(52.230, 21.012, "PL", 0.2, 1.0),
    City(55.676, 12.568, "DK", 0.2, 1.5),
    City(59.329, 18.069, "SE", 0.1, 1.0),
    City(47.498, 19.040, "HU", 0.1, 1.2),
    City(41.008, 28.978, "TR", 0.0, 1.5),
    City(36.897, 30.713, "TR", 0.0, 1.5),
    City(40.713, -74.006, "US", 0.0, 1.5),
    City(25.762, -80.192, "US", 0.0, 0.6),
    City(25.205, 55.271, "AE", 0.0, 1.0),
    City(13.756, 100.502, "TH", 0.0, 1.0),
)

CATEGORIES: tuple[Category, ...] = (
    Category(5411, 0.14, 36.0, 0.65, 0.03, 4.0),  # groceries
    Category(5812, 0.12, 32.0, 0.60, 0.00, 1.5),  # restaurants
    Category(5814, 0.08, 11.0, 0.45, 0.00, 2.5),  # fast food
    Category(5541, 0.06, 56.0, 0.35, 0.00, 2.0),  # fuel
    Category(5912, 0.05, 20.0, 0.70, 0.10, 1.2),  # pharmacies
    Category(5651, 0.07, 62.0, 0.70, 0.35, 1.0),  # clothing
    Category(5732, 0.05, 130.0, 1.00, 0.50, 0.8),  # electronics
    Category(5311, 0.05, 52.0, 0.85, 0.25, 1.5),  # department stores
    Category(4111, 0.03, 4.5, 0.60, 0.30, 3.0),  # local transport
    Category(4121, 0.03, 17.0, 0.50, 0.20, 0.8),  # taxis
    Category(5942, 0.03, 22.0, 0.60, 0.40, 0.6),  # books
    Category(5816, 0.02, 6.0, 0.90, 1.00, 1.5),  # digital games
    Category(5818, 0.03, 11.0, 0.80, 1.00, 2.0),  # digital goods
    Category(4899, 0.02, 12.0, 0.40, 1.00, 1.0),  # streaming
    Category(7011, 0.03, 170.0, 0.70, 0.30, 0.5),  # hotels
    Category(4511, 0.01, 230.0, 0.80, 1.00, 0.5),  # airlines
    Category(6011, 0.04, 90.0, 0.60, 0.00, 2.0),  # cash machines
    Category(5999, 0.05, 34.0, 0.90, 0.60, 1.2),  # other retail
    Category(7997, 0.02, 38.0, 0.30, 0.30, 0.5),  # clubs
    Category(5200, 0.03, 72.0, 0.90, 0.20, 0.8),  # home improvement
    Category(5944, 0.01, 190.0, 1.00, 0.40, 0.2),  # jewellery
    Category(7995, 0.01, 30.0, 1.00, 1.00, 0.4),  # gambling
    Category(4829, 0.01, 110.0, 0.90, 1.00, 0.3),  # money transfer
    Category(8099, 0.01, 85.0, 0.80, 0.10, 0.3),  # health services
)
"""Traffic multiplies a merchant's popularity; the order is part of the generator's output."""

CASH = 6011
TINY = (5816, 5818, 4111, 5814)
"""Categories in which small amounts are usual."""
RESELLABLE = (5732, 5311, 5651, 5944, 5999, 4829, 7995, 5818)
"""Categories that fraudsters prefer."""
SUBSCRIBED = (4899, 5818, 5816, 7997)
"""Categories with monthly payments."""
