"""Positions of the specification's numbers in the vector that the compiled code reads."""

# positions in the vector of parameters
AMOUNT_PRIOR, VARIANCE_PRIOR, HABIT_MEMORY, HABIT_CLIP, Z_LIMIT, HEAT_FROM, SMALL_RATIO = 0, 1, 2, 3, 4, 5, 6
GAP_LIMIT, HOME_MEMORY, HOUR_MEMORY, SPEED_FLOOR, SPEED_LIMIT, NIGHT_END = 7, 8, 9, 10, 11, 12
PARAMETERS = (
    "amount_prior_weight",
    "variance_prior_weight",
    "habit_memory",
    "habit_clip_sd",
    "z_limit",
    "heat_threshold",
    "small_ratio",
    "gap_limit_seconds",
    "home_memory",
    "hour_memory",
    "speed_floor_seconds",
    "speed_limit_kmh",
    "night_end_hour",
)
