"""Which colour has a weight? Cividis, the same order for every kind of colour vision, in Python as in shared.js."""

Colour = tuple[int, int, int]  # red, green, blue, from 0 to 255

CIVIDIS: tuple[Colour, ...] = (
    *((0, 34, 78), (18, 53, 112), (59, 73, 108), (87, 93, 109), (112, 113, 115)),
    *((138, 134, 120), (165, 156, 116), (195, 179, 105), (225, 204, 85), (254, 232, 56)),
)
