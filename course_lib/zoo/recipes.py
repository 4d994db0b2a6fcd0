"""Which models can anyone train anew? Each recipe is a module; this is the list."""

from course_lib.zoo import pydoc_bert, pydoc_chat, pydoc_gpt
from course_lib.zoo.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (pydoc_gpt.RECIPE, pydoc_bert.RECIPE, pydoc_chat.RECIPE)
}
