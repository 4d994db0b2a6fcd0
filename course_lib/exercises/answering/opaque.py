"""What stands for a thing that cannot travel, such as a table or an object of the learner's own class?"""

SHOWN_TYPE_NAME = 80
SHOWN_TEXT = 200


class Opaque:
    """A thing of another process that is no data. All one learns of it is its type's name and how it shows itself.

    Each stands in a class of its own that bears the original's name, so that `type(answer).__name__` in a message
    says "DataFrame", which is what its author needs to read.
    """

    type_name: str = "Opaque"
    text: str = ""

    def __repr__(self) -> str:
        return self.text or f"<{self.type_name}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and (self.type_name, self.text) == (other.type_name, other.text)

    def __hash__(self) -> int:
        return hash((self.type_name, self.text))


def opaque(type_name: str, text: str = "") -> Opaque:
    """An Opaque in a class called `type_name`."""
    named = type_name[:SHOWN_TYPE_NAME].replace("\0", "") or "Opaque"
    stand_in: Opaque = type(named, (Opaque,), {"type_name": named, "text": text[:SHOWN_TEXT]})()
    return stand_in
