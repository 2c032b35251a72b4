"""What a run shows on Prefect's pages."""

from pipelines.flows.prefect.artifacts import markdown

TEXT = """
busi, test split: passed

figure       value  95 % interval   bound
Lesion Dice  0.883  0.862 to 0.904  ≥ 0.70
Accuracy     0.917  –               –

model      hgmnet-busi version 1
MLflow UI  http://127.0.0.1:5000/#/experiments/1

3 columns  here
and one there
"""


def test_columns_become_tables_and_addresses_links():
    assert markdown(TEXT).split("\n\n") == [
        "busi, test split: passed",
        (
            "| figure | value | 95 % interval | bound |\n"
            "| --- | --- | --- | --- |\n"
            "| Lesion Dice | 0.883 | 0.862 to 0.904 | ≥ 0.70 |\n"
            "| Accuracy | 0.917 | – | – |"
        ),
        (
            "|  |  |\n| --- | --- |\n| model | hgmnet-busi version 1 |\n"
            "| MLflow UI | <http://127.0.0.1:5000/#/experiments/1> |"
        ),
        "```\n3 columns  here\nand one there\n```",
    ]
