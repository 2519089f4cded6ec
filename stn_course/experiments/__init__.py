"""A name → a task and a contestant, at a profile; and the records and weights of the runs that come along.

Every number of the course comes from `run`: it trains, goes on where it was stopped, scores the test split once, at the
end, with the very weights it saves (float16), and writes one record.
"""

from stn_course.experiments.catalogue import EXPERIMENTS, Experiment, get_experiment
from stn_course.experiments.hardware import Precision, faster_precision, find_device, hardware_name
from stn_course.experiments.protocol import (
    Paired,
    best_in_table,
    best_try,
    compare,
    duels_table,
    paired,
    paired_table,
    papers_runs,
    papers_table,
    runs_table,
    sign_test,
    tries_table,
)
from stn_course.experiments.results import (
    comparison_table,
    keep,
    load_figures,
    load_pretrained,
    load_probes,
    load_record,
    load_weights,
    records,
    results_table,
    tried,
    write_results,
)
from stn_course.experiments.runner import Result, profile_name, run
from stn_course.tasks.rts_mnist import ten_digits

__all__ = [
    "EXPERIMENTS",
    "Experiment",
    "Paired",
    "Precision",
    "Result",
    "best_in_table",
    "best_try",
    "compare",
    "comparison_table",
    "duels_table",
    "faster_precision",
    "find_device",
    "get_experiment",
    "hardware_name",
    "keep",
    "load_figures",
    "load_pretrained",
    "load_probes",
    "load_record",
    "load_weights",
    "paired",
    "paired_table",
    "papers_runs",
    "papers_table",
    "profile_name",
    "records",
    "results_table",
    "run",
    "runs_table",
    "sign_test",
    "ten_digits",
    "tried",
    "tries_table",
    "write_results",
]
