"""Which models can anyone train anew? Each recipe is a module; this is the list."""

from course_lib.zoo import pydoc_bert, pydoc_gpt, pydoc_student
from course_lib.zoo.recipe import Recipe

ALL = (pydoc_gpt.RECIPE, pydoc_bert.RECIPE, pydoc_student.RECIPE)  # a model behind those that it starts from
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in ALL}
