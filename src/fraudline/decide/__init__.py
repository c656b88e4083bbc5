"""What is done with a score: decisions now, rules, alerts and card lists later."""
