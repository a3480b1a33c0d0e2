"""Comparisons in files: JSON with every round, CSV with what they add up to."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lockfree.bench.comparison import Comparison
from lockfree.bench.environment import Environment
from lockfree.bench.model import Cell
from lockfree.bench.runner import Result, Series, Settings
from lockfree.bench.summary import percentiles, summarize


def write_csv(comparison: Comparison, path: Path) -> None:
    """Write a line per cell, contender and number of threads."""
    rows = comparison.rows()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def write_json(comparison: Comparison, path: Path) -> None:
    """Write all that a comparison has to say."""
    path.write_text(json.dumps(_document(comparison)), encoding="utf-8")


def read_json(path: Path) -> Comparison:
    """Return what `write_json` wrote.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is something else.
    """
    try:
        return _comparison(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path} has no results of this version's benchmark") from error


def _document(comparison: Comparison) -> dict[str, Any]:
    return {
        "environment": asdict(comparison.environment),
        "settings": asdict(comparison.settings),
        "left_out": comparison.left_out,
        "baseline": comparison.baseline,
        "interrupted": comparison.interrupted,
        "cells": [_cell(result) for result in comparison.results],
    }


_CELL = ("name", "description", "baseline", "kind", "scope", "items", "remark")


def _cell(result: Result) -> dict[str, Any]:
    return {
        **{name: getattr(result.cell, name) for name in _CELL},
        "seconds": result.seconds,
        "series": [_series(result.cell, series) for series in result.series],
    }


def _series(cell: Cell, series: Series) -> dict[str, Any]:
    """Return the rounds, and what a reader would work out of them."""
    numbers: dict[str, Any] = {"ns_per_operation": series.times}
    if series.times and not cell.is_timed:
        numbers |= asdict(summarize(series.times))
    if series.latencies:
        numbers |= {"rounds": series.percentiles, **percentiles(series.latencies)}
        numbers["histogram"] = sorted(series.latencies.items())
    identity = ("contender", "threads", "iterations", "error", "waiting", "processors")
    marked = {"marked": series.is_marked}
    return {**{name: getattr(series, name) for name in identity}, **marked, **numbers}


def _comparison(document: dict[str, Any]) -> Comparison:
    settings = dict(document["settings"])
    if settings["threads"] is not None:
        settings["threads"] = tuple(settings["threads"])
    return Comparison(
        Environment(**document["environment"]),
        Settings(**settings),
        document["left_out"],
        document["baseline"],
        [_read_cell(cell) for cell in document["cells"]],
        document["interrupted"],
    )


def _read_cell(numbers: dict[str, Any]) -> Result:
    cell = Cell(contenders=(), **{name: numbers[name] for name in _CELL})
    return Result(cell, [_read_series(each) for each in numbers["series"]], numbers["seconds"])


def _read_series(numbers: dict[str, Any]) -> Series:
    return Series(
        numbers["contender"],
        numbers["threads"],
        numbers["iterations"],
        numbers["ns_per_operation"],
        Counter(dict(numbers.get("histogram", ()))),
        numbers["rounds"] if "histogram" in numbers else [],
        numbers["error"],
        numbers["waiting"],
        numbers["processors"],
    )
