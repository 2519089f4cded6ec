"""A name → a task and a contestant, at a profile; and the records and weights of the runs that come along.

Every number of the course comes from `run`: it trains, goes on where it was stopped, scores the test split once, at the
end, with the very weights it saves (float16), and writes one record.
"""

from stn_course.experiments.catalogue import EXPERIMENTS, Experiment, get_experiment
from stn_course.experiments.hardware import Precision, faster_precision, find_device, hardware_name
from stn_course.experiments.results import (
    comparison_table,
    load_pretrained,
    load_record,
    load_weights,
    records,
    results_table,
    write_results,
)
from stn_course.experiments.runner import Result, profile_name, run
from stn_course.tasks.rts_mnist import ten_digits

__all__ = [
    "EXPERIMENTS",
    "Experiment",
    "Precision",
    "Result",
    "comparison_table",
    "faster_precision",
    "find_device",
    "get_experiment",
    "hardware_name",
    "load_pretrained",
    "load_record",
    "load_weights",
    "profile_name",
    "records",
    "results_table",
    "run",
    "ten_digits",
    "write_results",
]
