"""The clinic: a network with a spatial transformer does not learn; in what order does one look?

print(clinic.examine(model, (images, labels), optimizer))

Fourteen tests, cheap ones first, each of which takes for granted what those before it have found in order. They watch
the model from outside, so that it may be anybody's.
"""

from stn_course.clinic.chart import Chart, follow
from stn_course.clinic.examination import Examination, Finding
from stn_course.clinic.examine import TESTS, examine

__all__ = ["TESTS", "Chart", "Examination", "Finding", "examine", "follow"]
