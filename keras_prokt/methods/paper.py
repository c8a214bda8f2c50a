"""Where a method was published; imports no Keras."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A publication.

    Attributes:
        authors: Family names, in the paper's order.
        title: Its title.
        venue: Where it appeared, without the year; `None` for arXiv alone.
        year: Year of that, or of arXiv.
        arxiv: Its number there.

    Example:

    >>> from keras_prokt.methods import OBJECTIVES
    >>> print(OBJECTIVES["sp"].paper)
    Tung, Mori: Similarity-Preserving Knowledge Distillation, ICCV 2019, arXiv 1907.09682
    """

    authors: tuple[str, ...]
    title: str
    venue: str | None
    year: int
    arxiv: str

    def __str__(self) -> str:
        published = f", {self.venue} {self.year}" if self.venue else ""
        return f"{', '.join(self.authors)}: {self.title}{published}, arXiv {self.arxiv}"

    @property
    def url(self) -> str:
        """The page of its abstract."""
        return f"https://arxiv.org/abs/{self.arxiv}"

    def bibtex(self) -> str:
        """An entry for a bibliography, whose key is the first author and the year.

        Example:

        >>> from keras_prokt.methods import OBJECTIVES
        >>> print(OBJECTIVES["kd"].paper.bibtex())
        @misc{hinton2015,
          author = {Hinton and Vinyals and Dean},
          title = {Distilling the Knowledge in a Neural Network},
          year = {2015},
          eprint = {1503.02531},
          archivePrefix = {arXiv},
        }
        """
        kind = "inproceedings" if self.venue else "misc"
        fields = {
            "author": " and ".join(self.authors),
            "title": self.title,
            **({"booktitle": self.venue} if self.venue else {}),
            "year": str(self.year),
            "eprint": self.arxiv,
            "archivePrefix": "arXiv",
        }
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
        key = f"{self.authors[0].lower()}{self.year}"
        return "\n".join([f"@{kind}{{{key},", *lines, "}"])
