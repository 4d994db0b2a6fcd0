"""What must hold for any right answer? Properties that know no solution, with the smallest example of failure.

Each takes a function and examples, asks the function, and raises PropertyFailed for the smallest example that fails. An
exercise says which wrong answers it knows (`mistakes`); without one that fits, a property may itself name a general
mistake, whose hint an exercise may give in its card: "not_a_tensor", "wrong_shape", "nan", "sum_not_mean".
"""
