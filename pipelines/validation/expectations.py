"""Check a table by rules with Great Expectations, and make its pages readable offline."""

import html
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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

from hgmnet.errors import few
from hgmnet.pages.html import fill


@dataclass(frozen=True)
class Rule:
    """One expectation.

    `meaning`: the requirement in words. `expectation`: builds it from severity, row_condition,
    description and meta. `rows`: Great Expectations condition that selects rows, None for all.
    `remedy`: what to do where it is broken. `shows_value`: the offending value stands beside its
    row's name.
    """

    meaning: str
    expectation: Callable[..., Any]
    severity: Literal["critical", "warning"] = "critical"
    rows: Any = None
    remedy: str = "fix the files, or exclude them in curation.csv"
    shows_value: bool = False


@dataclass(frozen=True)
class SuiteOutcome:
    """Result of a rule.

    `expectation`: its name in Great Expectations. `broken_by`: value by name of the offending rows,
    sorted. `observed`: the observed value of an expectation on the whole table.
    """

    rule: Rule
    expectation: str
    held: bool
    broken_by: Mapping[str, str]
    observed: str


NAMED = 10
"""Most files named in a message; the report names all."""


def broken_lines(outcomes: Sequence[SuiteOutcome], severity: str) -> Iterator[str]:
    """Yield a line per broken expectation of this severity: requirement, files, remedy."""
    for outcome in outcomes:
        if not outcome.held and outcome.rule.severity == severity:
            yield f"{outcome.rule.meaning}: {_found(outcome)}; {outcome.rule.remedy}"


def _found(outcome: SuiteOutcome) -> str:
    """Format the offending files, ten at most, with their values where the rule shows them."""
    broken = outcome.broken_by
    if not broken:
        return f"found {outcome.observed}"
    values = {name: " ".join(text.removeprefix(name).split()) for name, text in broken.items()}
    shown = outcome.rule.shows_value
    named = [f"{name} ({value})" if shown else name for name, value in values.items()]
    return f"not met by {few(named, NAMED)}"


def check(
    name: str, table: pd.DataFrame, key: str, rules: Sequence[Rule], docs: Path
) -> tuple[SuiteOutcome, ...]:
    """Check a table by rules, and write Great Expectations' pages about it.

    `name`: of the suite. `key`: the column with the rows' names. `docs`: folder of the
    pages; its content is replaced.

    Returns:
        One outcome per rule, in the order of the rules.

    Raises:
        RuntimeError: an expectation could not be computed: an error in the rule, not the data.
    """
    context = _context(docs)
    suite = gx.ExpectationSuite(name=name, expectations=[*_numbered(rules)])
    asset = context.data_sources.add_pandas("tables").add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("rows")
    texts = table.select_dtypes(["object", "str"])
    shown = table.assign(**{str(name): texts[name].map(_escaped) for name in texts})
    definition = gx.ValidationDefinition(name=name, data=batch, suite=context.suites.add(suite))
    named = {
        "result_format": "COMPLETE",
        "unexpected_index_column_names": [key],
        "return_unexpected_index_query": False,
    }
    results = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": shown},
        result_format=named,
        run_id=gx.RunIdentifier(run_name=name),
    )
    shutil.rmtree(docs, ignore_errors=True)
    context.build_data_docs()
    by_rule = {result.expectation_config.meta["rule"]: result for result in results.results}
    outcomes = tuple(_outcome(rule, key, by_rule[number]) for number, rule in enumerate(rules))
    _finish(docs, name, len(table), outcomes)
    return outcomes


def _escaped(value: Any) -> Any:
    """Escape a text, such as a file name, which Great Expectations puts into its pages as it is."""
    return html.escape(value) if isinstance(value, str) else value


def between(column: str, low: float | None = None, high: float | None = None) -> Any:
    """Expect every value of a column in [low, high]; None: no bound."""
    expectation = gxe.ExpectColumnValuesToBeBetween
    return partial(expectation, column=column, min_value=low, max_value=high)


def one_of(column: str, values: Iterable[Any]) -> Any:
    """Expect every value of a column to be one of `values`."""
    return partial(gxe.ExpectColumnValuesToBeInSet, column=column, value_set=list(values))


def _context(docs: Path) -> Any:
    """Make a Great Expectations project in memory: no network or progress bars, pages in `docs`."""
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
    """Yield the expectations with their rule's number: results return in another order.

    A condition becomes the query that Great Expectations would make of it; it would parse a tree of
    conditions thousands of times, a third of the run time.
    """
    for number, rule in enumerate(rules):
        rows = None
        if rule.rows is not None:
            query = PandasExecutionEngine().condition_to_filter_clause(rule.rows)
            rows = PassThroughCondition(pass_through_filter=query)
        yield rule.expectation(
            severity=rule.severity,
            row_condition=rows,
            description=rule.meaning,
            meta={"rule": number},
        )


def _outcome(rule: Rule, key: str, result: Any) -> SuiteOutcome:
    if not result.success:
        _refuse_crash(rule, result.exception_info)
    column = result.expectation_config.kwargs.get("column")
    broken = {row[key]: row[column] for row in result.result.get("unexpected_index_list") or ()}
    return SuiteOutcome(
        rule=rule,
        expectation=result.expectation_config.type,
        held=bool(result.success),
        broken_by={html.unescape(str(n)): html.unescape(str(broken[n])) for n in sorted(broken)},
        observed=str(result.result.get("observed_value", "")),
    )


def _refuse_crash(rule: Rule, info: Mapping[str, Any]) -> None:
    """Raise for a crash, which Great Expectations records flat or once per failed metric."""
    for crash in [info] if "raised_exception" in info else info.values():
        if crash["raised_exception"]:
            raise RuntimeError(
                f"the expectation `{rule.meaning}` crashed: {crash['exception_message']}"
            )


_FOREIGN = re.compile(
    r"<script\b.*?</script>"  # all of them depend on those from the web
    r'|<(?:link|img)\b[^>]*"https?:[^>]*>',
    re.DOTALL,
)


_POLICY = """
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'">"""


def _finish(docs: Path, title: str, rows: int, outcomes: Sequence[SuiteOutcome]) -> None:
    """Remove every page's web resources, and write an index with the outcomes.

    Great Expectations' pages load a dozen scripts and styles from the web; their index is empty
    without them.
    """
    css = (Path(__file__).parent / "templates" / "data_docs.css").read_text(encoding="utf-8")
    style = f"<style>{css}</style></head>"
    for page in docs.rglob("*.html"):
        own = _FOREIGN.sub("", page.read_text(encoding="utf-8")).replace("</head>", style)
        page.write_text(own.replace("<head>", f"<head>{_POLICY}", 1), encoding="utf-8")
    index = fill(
        __file__,
        "index.html.j2",
        title=title,
        rows=rows,
        named=NAMED,  # rows per rule on the index; the linked page has more
        # broken critical rules first, then broken warnings, then rules that hold
        outcomes=sorted(outcomes, key=lambda one: (one.held, one.rule.severity != "critical")),
        results=sorted(_links(docs, "validations")),
        suites=sorted(_links(docs, "expectations")),
    )
    (docs / "index.html").write_text(index, encoding="utf-8")


def _links(docs: Path, folder: str) -> list[str]:
    return [page.relative_to(docs).as_posix() for page in (docs / folder).rglob("*.html")]
