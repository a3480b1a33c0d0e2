"""The benchmark's results as JSON: every round, and what they add up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lockfree.bench.environment import Environment
from lockfree.bench.runner import Result, Series, Settings
from lockfree.bench.summary import percentiles, summarize


def document(
    environment: Environment,
    settings: Settings,
    left_out: Mapping[str, str],
    results: Sequence[Result],
    *,
    interrupted: bool,
) -> dict[str, Any]:
    """Return all that a run has to say, in types that JSON knows."""
    return {
        "environment": asdict(environment),
        "settings": asdict(settings),
        "left_out": dict(left_out),
        "interrupted": interrupted,
        "cells": [_cell(result) for result in results],
    }


def _cell(result: Result) -> dict[str, Any]:
    cell = result.cell
    numbers = _latencies if cell.is_timed else _times
    return {
        "name": cell.name,
        "description": cell.description,
        "kind": cell.kind,
        "scope": cell.scope,
        "items": cell.items,
        "series": [
            {
                "contender": series.contender,
                "threads": series.threads,
                "iterations": series.iterations,
                "error": series.error,
                **(numbers(series) if series.runs else {}),
            }
            for series in result.series
        ],
    }


def _times(series: Series) -> dict[str, Any]:
    return {"ns_per_operation": series.times(), **asdict(summarize(series.times()))}


def _latencies(series: Series) -> dict[str, Any]:
    """Return the percentiles, and all they came from: how often which latency was seen."""
    merged = series.latencies()
    return {
        "rounds": [percentiles(run.latencies) for run in series.runs],
        **percentiles(merged),
        "histogram": sorted(merged.items()),
    }
