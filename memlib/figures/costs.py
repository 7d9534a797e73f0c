"""The table of what a scale costs."""

from __future__ import annotations

from memlib import costs
from memlib.figures.html import Html, table


def costs_table(scale: str) -> Html:
    """A row a design: its encoders, parameters and multiply-adds of one, operations and GPU-hours of all."""
    found, (share, *_) = costs.listing(scale), costs.reached()
    whole = found["operations"] * found["encoders"]
    shown = found.assign(
        parameters=found["parameters"] / 1e6,
        **{
            "multiply-adds": found["multiply-adds"] / 1e6,
            "operations": whole,
            "GPU-hours": [costs.hours(one, share) for one in whole],
        },
    )
    named = {"parameters": "parameters, millions", "multiply-adds": "multiply-adds, millions"}
    formats = {
        "parameters, millions": ".1f",
        "multiply-adds, millions": ",.0f",
        "operations": ".1e",
        "GPU-hours": ",.3g",
    }
    return table(shown.rename(columns=named), formats)


def costs_text(scale: str) -> str:
    """All of a scale's training in GPU-hours, in a sentence."""
    found, shares = costs.listing(scale), costs.reached()
    all_hours = [costs.hours(float((found["operations"] * found["encoders"]).sum()), share) for share in shares]
    unit, per = ("hours", 1) if all_hours[0] >= 10 else ("minutes", 60)
    typical, most, least = (f"{per * h:,.0f}" if per * h >= 10 else f"{per * h:.2g}" for h in all_hours)
    share, low, high = (f"{100 * share:.0f}" for share in shares)
    return (
        f"All {found['encoders'].sum()} encoders of scale {scale}: {typical} {unit} on one {costs.GPU}, at {share} % "
        f"of its {costs.PEAK / 1e12:.0f} TFLOP/s; {least} to {most} at the {high} to {low} % of single turns of the "
        "benchmark."
    )
