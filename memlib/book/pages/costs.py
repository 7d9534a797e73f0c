"""Page costs: what the encoders of a scale cost to train, counted from a step that is really taken."""

from __future__ import annotations

from memlib.book import costs, show


def table(scale: str) -> show.Html:
    """A row a design: its encoders, parameters and multiply-adds of one, operations and GPU-hours of all."""
    found, (share, *_) = costs.listing(scale), costs.reached()
    whole, (_, peak) = found["operations"] * found["encoders"], costs.card(scale)
    millions = {f"{name}, millions": found[name] / 1e6 for name in ("parameters", "multiply-adds")}
    shown = found.drop(columns=["parameters", "multiply-adds"]).assign(
        **millions, operations=whole, **{"GPU-hours": [costs.hours(one, share, peak) for one in whole]}
    )
    formats = {"parameters, millions": ".1f", "multiply-adds, millions": ",.0f", "operations": ".1e"}
    return show.table(shown, formats | {"GPU-hours": ",.3g"})


def text(scale: str) -> show.Html:
    """All of a scale's training in GPU-hours, in a sentence."""
    found, shares = costs.listing(scale), costs.reached()
    operations = float((found["operations"] * found["encoders"]).sum())
    card, peak = costs.card(scale)
    hours = [costs.hours(operations, share, peak) for share in shares]
    unit, per = ("hours", 1) if hours[0] >= 2 else ("minutes", 60)
    typical, most, least = (f"{per * h:,.0f}" if per * h >= 10 else f"{per * h:.2g}" for h in hours)
    share, low, high = (f"{100 * share:.0f}" for share in shares)
    return show.say(
        f"All {found['encoders'].sum()} encoders of scale {scale}: {typical} {unit} on one {card}, at {share} % "
        f"of its {peak / 1e12:.0f} TFLOP/s; {least} to {most} at the {high} to {low} % of single turns of the "
        "benchmark."
    )
