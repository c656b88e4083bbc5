"""What a reviewer reads of each feature: the words around its value, which stands for ``{}`` with its unit."""

_OF_MERCHANT = "confirmed frauds at the merchant {}, those of unusual amounts counted in part, come to {{}}"

PHRASES = {
    "amount": "the amount is {}",
    "amount_ratio_card_mean": "the amount is {} the card's own mean",
    "card_heat_7d": "unusual amounts of the card in the last 7 days add up to {} standard deviations",
    "card_count_1h": "the card made {} in the last hour",
    "card_count_1d": "the card made {} in the last day",
    "card_count_7d": "the card made {} in the last 7 days",
    "card_count_30d": "the card made {} in the last 30 days",
    "card_amount_1h": "the card spent {} in the last hour",
    "card_amount_1d": "the card spent {} in the last day",
    "card_amount_7d": "the card spent {} in the last 7 days",
    "card_amount_30d": "the card spent {} in the last 30 days",
    "card_mean_amount_30d": "the card's mean amount is {}",
    "card_mean_ratio_7d_30d": "the card's mean amount of the last 7 days is {} that of the last 30",
    "seconds_since_last": "the card was last used {} ago",
    "distance_from_last": "the place is {} from where the card was last used",
    "speed_from_last": "the card would have travelled at {} since its last use",
    "distance_from_home": "the place is {} from where the card is usually used",
    "merchants_1d": "the card was used at {} in the last day",
    "small_count_1h": "the card made {} of small amounts in the last hour",
    "category_rarity": "the merchant's category is {} of the card's transactions",
    "hour_deviation": "the hour lies {} from the card's habit (0 = usual hour, 2 = opposite)",
    "merchant_count_7d": "the merchant had {} in the last 7 days",
    "merchant_count_30d": "the merchant had {} in the last 30 days",
    "amount_ratio_merchant_mean": "the amount is {} the merchant's mean",
    "merchant_risk_1d": "frauds were {} of the merchant's transactions in the newest day with known labels",
    "merchant_risk_7d": "frauds were {} of the merchant's transactions in the newest 7 days with known labels",
    "merchant_risk_30d": "frauds were {} of the merchant's transactions in the newest 30 days with known labels",
    "merchant_age": "the merchant has been known for {}",
    "merchant_fraud_weight_7d": _OF_MERCHANT.format("in the newest 7 days with known labels"),
    "merchant_streak_weight": _OF_MERCHANT.format("in a row"),
    "merchant_streak_age": "the confirmed frauds in a row at the merchant began {} ago",
    "merchant_outbreak_weight": _OF_MERCHANT.format("with few clean transactions between"),
    "merchant_outbreak_age": "the confirmed frauds at the merchant with few clean transactions between began {} ago",
}

SIGNED = {
    "amount_minus_card_mean": (
        "the amount lies {} above the card's own mean",
        "the amount lies {} below the card's own mean",
    ),
    "amount_z": (
        "the amount lies {} standard deviations above the card's habit",
        "the amount lies {} standard deviations below the card's habit",
    ),
}
"""For a value above and below zero; the sign is in the words."""

FLAGS = {
    "no_position": ("the transaction has no position", "the transaction has a position"),
    "new_device": ("the device is new to the card", "the device is known to the card"),
    "new_merchant": ("the merchant is new to the card", "the merchant is known to the card"),
    "new_country": ("the country is new to the card", "the country is known to the card"),
    "weekend": ("it is a weekend", "it is a weekday"),
    "night": ("it is night", "it is daytime"),
}
"""A flag's two readings: set, and not set."""
