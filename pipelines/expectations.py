"""The Great Expectations suites: what must hold of a table, each rule one entry in a list."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from great_expectations.expectations.row_conditions import Column

from hgmnet.config import NORMAL, Data, Validate
from hgmnet.data import duplicates
from hgmnet.data.duplicates import Pair
from hgmnet.data.manifest import Record

NEAR_BLANK = 5.0
"""Standard deviation of grey (0-255) below which an image shows next to nothing."""


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
class Outcome:
    """What came of a rule.

    `expectation`: Great Expectations' name for it. `broken_by`: the names of the offending rows,
    sorted, each with its value. `observed`: what was found, where a table is judged as a whole.
    """

    rule: Rule
    expectation: str
    held: bool
    broken_by: Mapping[str, str]
    observed: str


def check(
    name: str, table: pd.DataFrame, key: str, rules: Sequence[Rule], docs: Path
) -> tuple[Outcome, ...]:
    """Hold a table against rules, and write Great Expectations' own pages about it.

    Args:
        name: what the suite is called in the pages.
        table: the rows.
        key: the column that names a row.
        rules: what must hold.
        docs: folder of the pages; whatever is in it is replaced.

    Returns:
        An outcome a rule, in the order of the rules.

    Raises:
        RuntimeError: an expectation could not be computed: a fault of the rule, not of the data.
    """
    context = _context(docs)
    suite = gx.ExpectationSuite(name=name, expectations=[*_numbered(rules)])
    batch = (
        context.data_sources.add_pandas("tables")
        .add_dataframe_asset(name)
        .add_batch_definition_whole_dataframe("rows")
    )
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
    return tuple(_outcome(rule, key, by_rule[number]) for number, rule in enumerate(rules))


def image_table(records: Sequence[Record], pairs: Sequence[Pair]) -> pd.DataFrame:
    """What `image_rules` judges: a row an image that curation has not excluded.

    `copy_labels` are the labels of the image and its copies, joined by `and`.
    """
    judged = [record for record in records if not record.excluded]
    labels = duplicates.copy_labels(records, pairs)
    columns = ("image", "label", "error", "mask_pixels", "masks_match", "masks_binary")
    table = pd.DataFrame({name: [getattr(r, name) for r in judged] for name in columns})
    return table.assign(
        mask_count=[len(record.masks) for record in judged],
        shorter_side=[min(record.width, record.height) for record in judged],
        intensity_std=[record.intensity_std for record in judged],
        copy_labels=[" and ".join(sorted(labels[record.image])) for record in judged],
    )


def image_rules(data: Data, validate: Validate) -> tuple[Rule, ...]:
    """What must hold of the images of a data set before anything is trained on them.

    An image that can't be read is judged by that alone, and one of an unknown class by its class.
    """
    classes = sorted(data.classes)
    readable = Column("error") == ""
    known = readable & Column("label").is_in(classes)
    return (
        Rule(
            "there is at least one image",
            partial(gxe.ExpectTableRowCountToBeBetween, min_value=1),
            remedy="import a data set: hgmnet import",
        ),
        Rule(
            "no image is listed twice",
            partial(gxe.ExpectColumnValuesToBeUnique, column="image"),
            remedy="remake the manifest: dvc repro -f ingest",
        ),
        Rule(
            "every image can be read with its masks",
            partial(gxe.ExpectColumnValuesToBeInSet, column="error", value_set=[""]),
            tells=True,
        ),
        Rule(
            f"every class folder is one of {', '.join(classes)}",
            partial(gxe.ExpectColumnValuesToBeInSet, column="label", value_set=classes),
            rows=readable,
            remedy="rename the folder, or add it to data.classes in params.yaml",
        ),
        Rule(
            f"the shorter side is at least {validate.min_side} px",
            partial(
                gxe.ExpectColumnValuesToBeBetween,
                column="shorter_side",
                min_value=validate.min_side,
            ),
            rows=known,
            tells=True,
        ),
        *_mask_rules(classes, readable),
        *_class_rules(classes, readable, validate),
        Rule(
            "copies of an image carry one label",
            partial(gxe.ExpectColumnValuesToBeInSet, column="copy_labels", value_set=classes),
            severity="warning",
            rows=known,
            remedy="split.conflicts in params.yaml says where they go",
            tells=True,
        ),
        Rule(
            "no image is next to blank",
            partial(
                gxe.ExpectColumnValuesToBeBetween, column="intensity_std", min_value=NEAR_BLANK
            ),
            severity="warning",
            rows=known,
            remedy="look at them, and exclude them in curation.csv if they show nothing",
            tells=True,
        ),
    )


def _mask_rules(classes: Sequence[str], readable: Any) -> Iterator[Rule]:
    lesion = readable & Column("label").is_in([name for name in classes if name != NORMAL])
    masked = readable & (Column("mask_count") > 0) & Column("label").is_in(classes)
    yield Rule(
        "every image of a lesion class has a mask",
        partial(gxe.ExpectColumnValuesToBeBetween, column="mask_count", min_value=1),
        rows=lesion,
        remedy="put <image>_mask.png beside it, or exclude it in curation.csv",
    )
    yield Rule(
        "every mask has its image's size",
        partial(gxe.ExpectColumnValuesToBeInSet, column="masks_match", value_set=[True]),
        rows=masked,
    )
    yield Rule(
        "every mask holds only black and white (0 and 255)",
        partial(gxe.ExpectColumnValuesToBeInSet, column="masks_binary", value_set=[True]),
        rows=masked,
    )
    yield Rule(
        "every mask of a lesion class shows a lesion",
        partial(gxe.ExpectColumnValuesToBeBetween, column="mask_pixels", min_value=1),
        rows=lesion & (Column("mask_count") > 0) & (Column("masks_match") == True),  # noqa: E712
    )
    yield Rule(
        f"no image of class {NORMAL} has a lesion in its mask",
        partial(gxe.ExpectColumnValuesToBeBetween, column="mask_pixels", max_value=0),
        rows=readable & (Column("label") == NORMAL),
    )


def _class_rules(classes: Sequence[str], readable: Any, validate: Validate) -> Iterator[Rule]:
    for name in classes:
        yield Rule(
            f"class {name} has at least {validate.min_per_class} usable images",
            partial(gxe.ExpectTableRowCountToBeBetween, min_value=validate.min_per_class),
            rows=readable & (Column("label") == name),
            remedy="add images, or lower validate.min_per_class in params.yaml",
        )


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
            row_condition=rule.rows,
            description=rule.meaning,
            meta={"rule": number},
        )


def _outcome(rule: Rule, key: str, result: Any) -> Outcome:
    if not result.success:
        _refuse_crash(rule, result.exception_info)
    column = result.expectation_config.kwargs.get("column")
    broken = {row[key]: row[column] for row in result.result.get("unexpected_index_list") or ()}
    return Outcome(
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
            msg = f"the expectation `{rule.meaning}` crashed: {crash['exception_message']}"
            raise RuntimeError(msg)
