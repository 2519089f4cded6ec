"""Exercises for the notebooks: each answers `.hint()`, `.check(your answer)` and `.solution()`.

from stn_course import exercises
exercises.affine_grid.check(my_grid)
exercises.progress("01")
"""

from stn_course.exercises.catalogue import EXERCISES, progress
from stn_course.exercises.cifar10 import channel_statistics, cut_out, mistakes_saved, thetas
from stn_course.exercises.exercise import Exercise, FunctionExercise, NumberExercise, Verdict
from stn_course.exercises.first_stn import black_outside, count_parameters, features, undo_normalise
from stn_course.exercises.grading import Graded, grade
from stn_course.exercises.interpolation import aligned, bilinear_at, bilinear_image, gradient_at, nearest_gradient
from stn_course.exercises.rts_mnist import angle, shared, steady, straighten
from stn_course.exercises.spatial_transformer import classify, head_size, localisation_head, transform_input
from stn_course.exercises.transformations import affine_grid, compose, projective_points, turn_about, zoom

__all__ = [
    "EXERCISES",
    "Exercise",
    "FunctionExercise",
    "Graded",
    "NumberExercise",
    "Verdict",
    "affine_grid",
    "aligned",
    "angle",
    "bilinear_at",
    "bilinear_image",
    "black_outside",
    "channel_statistics",
    "classify",
    "compose",
    "count_parameters",
    "cut_out",
    "features",
    "grade",
    "gradient_at",
    "head_size",
    "localisation_head",
    "mistakes_saved",
    "nearest_gradient",
    "progress",
    "projective_points",
    "shared",
    "steady",
    "straighten",
    "thetas",
    "transform_input",
    "turn_about",
    "undo_normalise",
    "zoom",
]
