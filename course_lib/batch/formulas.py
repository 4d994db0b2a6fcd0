"""How does a formula appear on a page that may load nothing from the network?"""

import base64
import io
from functools import lru_cache
from html import escape
from threading import Lock

# matplotlib keeps global state while it draws.
_DRAWING = Lock()


@lru_cache(maxsize=2000)
def formula_html(tex: str, *, block: bool = False) -> str:
    """`tex` drawn by matplotlib as an inline image whose alt text is the TeX itself.

    What matplotlib's mathtext does not know (aligned equations, say) stays as readable TeX.
    """
    # One line, as mathtext wants it; it knows \mathrm but not these two.
    source = " ".join(tex.split()).replace(r"\textrm", r"\mathrm").replace(r"\displaystyle", "")
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
