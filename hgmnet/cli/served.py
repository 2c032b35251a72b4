"""`hgmnet log` and `hgmnet score-served`: verify the log of answers, and evaluate it later."""

import argparse
from collections import Counter
from pathlib import Path


def configure_log(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the folder and the noted hash."""
    folder = "the folder of `serve --log` or `flow batch_predict --log`"
    parser.add_argument("--verify", type=Path, required=True, metavar="DIR", help=folder)
    parser.add_argument("--head", metavar="HASH", help="a noted hash that the log must contain")


def run_log(args: argparse.Namespace) -> None:
    """Verify every link, and print the number of answers by version and the head.

    Raises:
        ConfigError: there is no log.
        InvalidDataError: the chain is broken, or does not contain the noted hash.
    """
    from hgmnet.errors import InvalidDataError
    from hgmnet.prediction.answer_log import AnswerLog

    counts: Counter[str] = Counter()
    head, found = "", args.head is None
    for answer, head in AnswerLog(args.verify).read():
        counts[f"{answer.model} {answer.version}".strip()] += 1
        found = found or head == args.head
    if not found:
        raise InvalidDataError(f"no answer has the hash {args.head}: the log was cut or rewritten")
    for version, count in sorted(counts.items()):
        print(f"{version}: {count} answers")
    end = "" if args.head is not None else "; to verify its end, add --head HASH, noted elsewhere"
    print(f"{counts.total()} answers, every link holds{end}. Head: {head}")


def configure_score_served(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for log and labels."""
    parser.add_argument("log", type=Path, metavar="LOG", help="the folder of the log")
    labels = "CSV or .xlsx: label, and image (a path) or image_sha256; group, mask, served_mask"
    parser.add_argument("labels", type=Path, metavar="LABELS", help=labels)


def run_score_served(args: argparse.Namespace) -> None:
    """Print sensitivity, specificity and Dice of served answers, by version and month.

    Raises:
        ConfigError: there is no log.
        InvalidDataError: its chain is broken, or the labels can't be read.
    """
    from hgmnet.evaluation.served import read_labels, score_served, table
    from hgmnet.prediction.answer_log import AnswerLog

    found = score_served(AnswerLog(args.log), read_labels(args.labels))
    print("\n".join(table(found)))
