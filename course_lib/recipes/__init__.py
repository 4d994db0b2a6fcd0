"""Whole trainings to run from the shell, on one machine or many: `accelerate launch -m course_lib.recipes.NAME`.

Each is a notebook's training with the settings in the open. They stand above the zoo, whose models they start from.
"""
