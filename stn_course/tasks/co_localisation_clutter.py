"""Co-localisation with 16 pieces of other digits in each picture."""

import functools
from dataclasses import replace

from stn_course.distortions import Clutter
from stn_course.tasks import co_localisation

TASK = replace(
    co_localisation.TASK,
    name="co-localisation-clutter",
    load=functools.partial(co_localisation.ten_sets, Clutter(co_localisation.ANYWHERE)),
)
CONTESTANTS = co_localisation.CONTESTANTS
