"""A table checked by rules with Great Expectations, and its pages made readable offline."""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
)
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.row_conditions import PassThroughCondition

from hgmnet.pages.html import fill


@dataclass(frozen=True)
class Rule:
    """One expectation.

    `meaning`: what must hold, in words. `expectation` makes it, given severity, row_condition,
    description and meta. `rows`: the Great Expectations condition on the rows that are judged, None
    for all. `remedy`: what to do where it does not hold. `tells`: the offending value says more
    than the name of its row.
    """

    meaning: str
    expectation: Callable[..., Any]
    severity: Literal["critical", "warning"] = "critical"
    rows: Any = None
    remedy: str = "mend the files, or exclude them in curation.csv"
    tells: bool = False


@dataclass(frozen=True)
class SuiteOutcome:
    """What came of a rule.

    `expectation`: Great Expectations' name for it. `broken_by`: the names of the offending rows,
    sorted, each with its value. `observed`: what was found, where a table is judged as a whole.
    """

    rule: Rule
    expectation: str
    held: bool
    broken_by: Mapping[str, str]
    observed: str


NAMED = 10
"""So many files are named in a message; the report names all."""


def broken_lines(outcomes: Sequence[SuiteOutcome], severity: str) -> Iterator[str]:
    """One line per broken expectation of this severity: what must hold, the files, the remedy."""
    for outcome in outcomes:
        if not outcome.held and outcome.rule.severity == severity:
            yield f"{outcome.rule.meaning}: {_found(outcome)}; {outcome.rule.remedy}"


def _found(outcome: SuiteOutcome) -> str:
    """The offending files, ten at most, each with its value where that tells more."""
    broken = outcome.broken_by
    if not broken:
        return f"found {outcome.observed}"
    named = [
        f"{name} ({_short(name, value)})" if outcome.rule.tells else name
        for name, value in islice(broken.items(), NAMED)
    ]
    rest = f" and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
    return f"not met by {', '.join(named)}{rest}"


def _short(name: str, value: str) -> str:
    """On one line, and without the file's name, which stands before it."""
    return " ".join(value.removeprefix(name).split())


def check(
    name: str, table: pd.DataFrame, key: str, rules: Sequence[Rule], docs: Path
) -> tuple[SuiteOutcome, ...]:
    """Check a table by rules, and write Great Expectations' own pages about it.

    `name`: of the suite in the pages. `key`: the column that names a row. `docs`: folder of the
    pages; whatever is in it is replaced.

    Returns:
        One outcome per rule, in the order of the rules.

    Raises:
        RuntimeError: an expectation could not be computed: a fault of the rule, not of the data.
    """
    context = _context(docs)
    suite = gx.ExpectationSuite(name=name, expectations=[*_numbered(rules)])
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("rows")
    definition = gx.ValidationDefinition(name=name, data=batch, suite=context.suites.add(suite))
    named = {
        "result_format": "COMPLETE",
        "unexpected_index_column_names": [key],
        "return_unexpected_index_query": False,
    }
    results = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": table},
        result_format=named,
        run_id=gx.RunIdentifier(run_name=name),
    )
    shutil.rmtree(docs, ignore_errors=True)
    context.build_data_docs()
    by_rule = {result.expectation_config.meta["rule"]: result for result in results.results}
    outcomes = tuple(_outcome(rule, key, by_rule[number]) for number, rule in enumerate(rules))
    _finish(docs, name, len(table), outcomes)
    return outcomes


def between(column: str, low: float | None = None, high: float | None = None) -> Any:
    """What a rule expects: every value of a column from `low` to `high`, None being no bound."""
    expectation = gxe.ExpectColumnValuesToBeBetween
    return partial(expectation, column=column, min_value=low, max_value=high)


def one_of(column: str, values: Iterable[Any]) -> Any:
    """What a rule expects: every value of a column among these."""
    return partial(gxe.ExpectColumnValuesToBeInSet, column=column, value_set=list(values))


def _context(docs: Path) -> Any:
    """A Great Expectations project in memory: no network, no progress bars, pages in `docs`."""
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(docs.resolve()),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        data_docs_sites={"local": site},
        analytics_enabled=False,
        progress_bars={"globally": False},
    )
    return gx.get_context(project_config=config, mode="ephemeral")


def _numbered(rules: Sequence[Rule]) -> Iterator[Any]:
    """The expectations; results come back in another order, so each carries its rule's number."""
    for number, rule in enumerate(rules):
        yield rule.expectation(
            severity=rule.severity,
            row_condition=None if rule.rows is None else _query(rule.rows),
            description=rule.meaning,
            meta={"rule": number},
        )


def _query(rows: Any) -> Any:
    """The same condition as the query that Great Expectations would make of it.

    It takes a tree of conditions apart thousands of times a run, which is a third of the run.
    """
    query = PandasExecutionEngine().condition_to_filter_clause(rows)
    return PassThroughCondition(pass_through_filter=query)


def _outcome(rule: Rule, key: str, result: Any) -> SuiteOutcome:
    if not result.success:
        _refuse_crash(rule, result.exception_info)
    column = result.expectation_config.kwargs.get("column")
    broken = {row[key]: row[column] for row in result.result.get("unexpected_index_list") or ()}
    return SuiteOutcome(
        rule=rule,
        expectation=result.expectation_config.type,
        held=bool(result.success),
        broken_by={str(name): str(broken[name]) for name in sorted(broken)},
        observed=str(result.result.get("observed_value", "")),
    )


def _refuse_crash(rule: Rule, info: Mapping[str, Any]) -> None:
    """Great Expectations says a crash as one flat record or as one for each metric that failed."""
    for crash in [info] if "raised_exception" in info else info.values():
        if crash["raised_exception"]:
            raise RuntimeError(
                f"the expectation `{rule.meaning}` crashed: {crash['exception_message']}"
            )


_FOREIGN = re.compile(
    r"<script\b.*?</script>"  # none of them works without those from the web
    r'|<(?:link|img)\b[^>]*"https?:[^>]*>',
    re.DOTALL,
)


def _finish(docs: Path, title: str, rows: int, outcomes: Sequence[SuiteOutcome]) -> None:
    """Take out of every page what comes from the web, and write an index that tells the outcome.

    As Great Expectations makes them, pages fetch a dozen scripts and styles from the web, and their
    index is empty without.
    """
    css = (Path(__file__).parent / "templates" / "data_docs.css").read_text(encoding="utf-8")
    style = f"<style>{css}</style></head>"
    for page in docs.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        page.write_text(_FOREIGN.sub("", html).replace("</head>", style), encoding="utf-8")
    index = fill(
        __file__,
        "index.html.j2",
        title=title,
        rows=rows,
        named=10,  # so many rows on the index; the page behind it has more
        # what blocks first, then what is only shown, then what holds
        outcomes=sorted(outcomes, key=lambda one: (one.held, one.rule.severity != "critical")),
        results=sorted(_links(docs, "validations")),
        suites=sorted(_links(docs, "expectations")),
    )
    (docs / "index.html").write_text(index, encoding="utf-8")


def _links(docs: Path, folder: str) -> list[str]:
    return [page.relative_to(docs).as_posix() for page in (docs / folder).rglob("*.html")]
