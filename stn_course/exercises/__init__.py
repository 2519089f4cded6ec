"""Exercises for the notebooks: each answers `.hint()`, `.check(your answer)` and `.solution()`.

from stn_course import exercises
exercises.affine_grid.check(my_grid)
exercises.progress("01")
"""

from stn_course.exercises.catalogue import EXERCISES, progress
from stn_course.exercises.exercise import Exercise, FunctionExercise, NumberExercise, Verdict
from stn_course.exercises.grading import Graded, grade

globals().update(EXERCISES)
__all__ = [
    "EXERCISES",
    "Exercise",
    "FunctionExercise",
    "Graded",
    "NumberExercise",
    "Verdict",
    "grade",
    "progress",
    *EXERCISES,
]
