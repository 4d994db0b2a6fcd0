"""Which models can anyone train anew? Each recipe is a module; this is the list."""

from course_lib.zoo import atlas_longt5, pydoc_bert, pydoc_chat, pydoc_gpt, pydoc_student
from course_lib.zoo.recipe import Recipe

# A model behind those that it starts from.
ALL = (pydoc_gpt.RECIPE, pydoc_bert.RECIPE, pydoc_student.RECIPE, pydoc_chat.RECIPE, atlas_longt5.RECIPE)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in ALL}
