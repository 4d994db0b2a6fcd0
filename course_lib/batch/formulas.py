"""How does a formula appear on a page that may load nothing from the network?"""

import base64
import io
from functools import lru_cache
from html import escape
from threading import Lock

# What mathtext lacks and can do by another name.
SAME_IN_MATHTEXT = {
    r"\displaystyle": "",
    r"\textrm": r"\mathrm",
    r"\lVert": r"\|",
    r"\rVert": r"\|",
    r"\tfrac": r"\frac",
}
# matplotlib keeps global state while it draws.
_DRAWING = Lock()


@lru_cache(maxsize=2000)
def formula_html(tex: str, *, block: bool = False) -> str:
    """`tex` drawn by matplotlib as an inline image whose alt text is the TeX itself.

    What matplotlib's mathtext does not know (aligned equations, say) stays as readable TeX.
    """
    source = " ".join(tex.split())
    for unknown, known in SAME_IN_MATHTEXT.items():
        source = source.replace(unknown, known)
    try:
        image, depth = _draw(source, size=14 if block else 12)
    except (ValueError, RuntimeError):
        inner = f'<code class="tex">{escape(tex.strip())}</code>'
    else:
        data = base64.b64encode(image).decode("ascii")
        inner = (
            f'<img class="formula" src="data:image/svg+xml;base64,{data}" alt="{escape(tex.strip(), quote=True)}" '
            f'style="vertical-align: -{depth:.2f}pt">'
        )
    return f'<div class="formula" style="text-align: center">{inner}</div>' if block else inner


def _draw(source: str, size: float) -> tuple[bytes, float]:
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import math_to_image

    buffer = io.BytesIO()
    with _DRAWING:
        depth = math_to_image(f"${source}$", buffer, prop=FontProperties(size=size, math_fontfamily="cm"), format="svg")
    return buffer.getvalue(), float(depth)
