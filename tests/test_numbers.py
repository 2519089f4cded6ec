"""`numbers.short`: rounded, and never −0."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from stn_course.numbers import short

numbers = st.floats(-1e6, 1e6)


@given(st.lists(numbers), st.integers(0, 6))
def test_every_number_is_the_nearest_of_so_many_decimals_and_no_zero_has_a_sign(values, digits):
    rounded = short(values, digits)
    assert len(rounded) == len(values)
    for value, near in zip(values, rounded):
        assert abs(near - value) <= 0.5 * 10**-digits * (1 + 1e-9) and round(near, digits) == near
        assert math.copysign(1, near) == 1 or near < 0


@given(numbers)
def test_a_number_stays_a_number_in_any_form(value):
    value = float(np.float32(value))
    forms = value, torch.tensor(value), torch.tensor(value, requires_grad=True), np.float32(value)
    assert [short(form) for form in forms] == [short(value)] * 4


def test_a_tensor_of_any_shape_gives_one_list():
    assert short(torch.tensor([[[0.1234, -0.00001]], [[2.0, -1.0]]])) == [0.123, 0.0, 2.0, -1.0]
    assert short(torch.tensor([1.5])) == [1.5] and short(torch.zeros(0)) == []
    assert short(torch.tensor([3])) == [3.0]
