"""Concept sets: the phrases that neurons are labelled with, and the categories they belong to."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from mdissect.arguments import shown, strings, table_with, texts
from mdissect.concepts.files import READERS, TOLERATED, Findings, Row, clean_rows
from mdissect.concepts.prompts import BARE_PHRASE, TEMPLATES, Prompts
from mdissect.concepts.vocabulary import COLUMNS, ONE_IMAGE, closest, name_key
from mdissect.paths import data_dir, data_dirs
from mdissect.signatures import validated

PUBLISHED_FILES = ("Extended_Breast_text_categories.xlsx", "Specific_concepts_sorted.txt")


class ConceptSet:
    """An ordered set of concepts with their categories.

    >>> concepts = ConceptSet.from_list(["spiculated mass", "ladder"])
    >>> len(concepts), concepts.names
    (2, ['spiculated mass', 'ladder'])

    Parameters
    ----------
    table : DataFrame
        One row per concept-category pair: a concept may stand in several categories. Columns concept, category,
        broad_category, domain ("mammography" or "other"), tasks (names joined by semicolons) and evidence (what is
        needed to see the concept), all strings; the empty string if unknown. Extra columns are dropped.
    notes : iterable of str
        Corrections and doubts about the file, one sentence each, with file, row and value.
    prompts : Prompts
        The sentences that the concepts are put into for the dissector; by default the bare phrases.

    Raises
    ------
    ValueError
        When a column is missing or the table has no rows.
    """

    @validated()
    def __init__(self, table: pd.DataFrame, notes: Iterable[str] = (), prompts: Prompts = BARE_PHRASE):
        missing = [column for column in COLUMNS if column not in table.columns]
        if missing:
            raise ValueError(f"a concept table needs the columns {', '.join(COLUMNS)}; missing: {', '.join(missing)}")
        if table.empty:
            raise ValueError("a concept set needs one concept at least; this table has no rows")
        self._table = table[list(COLUMNS)].reset_index(drop=True)
        self.notes = tuple(notes)
        self.prompts = prompts

    @classmethod
    def from_list(cls, names: Iterable[str]) -> "ConceptSet":
        """A set without categories from plain phrases, checked like the lines of a .txt file."""
        if isinstance(names, pd.DataFrame):
            raise TypeError(f"concepts={shown(names)} must be a list of str: ConceptSet(table) takes a table of concepts")
        if isinstance(names, (set, frozenset)):
            raise TypeError(f"concepts={shown(names)} must be a list of str: a set has no order")
        if isinstance(names, str):
            raise TypeError(f"concepts={names!r} must be a list of str, not one str; [{names!r}] is a list of one")
        names = strings("concepts", names)
        rows = [Row(f"position {position}", {"concept": name}) for position, name in enumerate(names)]
        return _concept_set("the list of concepts", rows, Findings(), TOLERATED[".txt"])

    @classmethod
    @validated()
    def from_table(cls, table: pd.DataFrame, prompts: Prompts = BARE_PHRASE) -> "ConceptSet":
        """The set of a `table` that another set returned, also after saving to a file; missing cells are empty strings."""
        return cls(table.fillna("").astype(str), prompts=prompts)

    @validated(templates=TEMPLATES)
    def with_templates(self, templates: Sequence[str] | None = None, subtract_empty: bool = False) -> "ConceptSet":
        """The same concepts in other sentences (see `load_concepts`); None: as bare phrases.

        >>> ConceptSet.from_list(["mass"]).with_templates(["a mammogram showing {}"]).prompts.filled("mass")
        ['a mammogram showing mass']
        """
        return ConceptSet(self._table, self.notes, Prompts(templates or (), subtract_empty))

    @property
    def names(self) -> list[str]:
        """The concepts, each once, in the order of the table: that of text embeddings and similarity columns."""
        return self._table["concept"].drop_duplicates().tolist()

    @property
    def table(self) -> pd.DataFrame:
        """One row per concept-category pair (a copy)."""
        return self._table.copy()

    def subset(self, broad_category=None, category=None, domain=None, task=None, names=None, evidence=None) -> "ConceptSet":
        """The rows that match all conditions, in the order of this set.

        >>> load_concepts("mammography").subset(category="Mass", task="calcification").names
        ['mass with calcification']

        Parameters
        ----------
        broad_category, category, domain, task, names, evidence : str or iterable of str, optional
            One or several allowed values each, in any case.

        Raises
        ------
        ValueError
            For a value this set does not hold (naming the closest), or when no row fits.
        """
        asked = {"broad_category": broad_category, "category": category, "domain": domain, "tasks": task, "concept": names}
        asked["evidence"] = evidence
        asked = {column: texts(column, values) for column, values in asked.items() if values is not None}
        keep = pd.Series(True, index=self._table.index)
        for column, values in asked.items():
            held = self._table[column].str.split(";") if column == "tasks" else self._table[column].map(lambda v: [v])
            wanted = _held_keys(column, values, held.explode())
            keep &= held.map(lambda cell, wanted=wanted: any(name_key(value) in wanted for value in cell))
        if not keep.any():
            raise ValueError(f"no concept fits all of {asked}; ask for less at once")
        return ConceptSet(self._table[keep], self.notes, self.prompts)

    def __len__(self) -> int:
        return self._table["concept"].nunique()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __repr__(self) -> str:
        counts = self._table.groupby("domain", sort=False)["concept"].nunique()
        parts = [f"{count} {domain or 'of no domain'}" for domain, count in counts.items()]
        parts += [f"{len(self.prompts.templates)} templates"] if self.prompts.templates else []
        parts += [f"{len(self.notes)} notes"] if self.notes else []
        return f"ConceptSet({len(self)} concepts: {', '.join(parts)})"


@validated(templates=TEMPLATES)
def load_concepts(name_or_path: str | Path, templates: Sequence[str] | None = None, subtract_empty: bool = False) -> ConceptSet:
    """Read a concept set by its name, or from a file or folder.

    >>> load_concepts("mammography").subset(category="Mass").names[:2]  # doctest: +SKIP

    Parameters
    ----------
    name_or_path : str or Path
        - the name of a shipped set: "mammography";
        - "published": the study's own workbook and text file in `data/concepts/published/`; or a folder that holds them;
        - a .csv file: a header with the column `concept` and any of the columns of a `ConceptSet`;
        - a .txt file: one concept a line;
        - a .xlsx workbook: a sheet per broad category with a column per category, or the same table as a .csv file.
    templates : list of str, optional
        Sentences with one "{}" each, such as ``["a mammogram showing {}", "there is {}"]``: a concept is embedded as the
        mean over them. When None as the bare phrase, like in the paper. Labels and names stay the phrases.
    subtract_empty : bool
        Subtract the embedding of each template without a concept (see `mdissect.concepts.Prompts`).

    Returns
    -------
    ConceptSet
        A .csv file is refused for anything unclean. A .txt file may hold a word in several spellings or numbers. A
        workbook is read as it is: whitespace and case are put right, what is repeated is read once. `notes` says all that.

    Raises
    ------
    FileNotFoundError
        When there is no such set or file.
    ValueError
        Naming file, row and value of what is empty, repeated (also in another case, spelling or number), of an unknown
        category, padded with whitespace or not UTF-8; a template without "{}", or with several.
    """
    prompts = Prompts(templates or (), subtract_empty)
    path = _locate(name_or_path)
    files = [path] if path.is_file() else _published_files(path)
    findings, rows = Findings(), []
    for file in files:
        if file.suffix.lower() not in READERS:
            raise ValueError(f"{file}: unknown kind of concept file {file.suffix!r}; expected {', '.join(READERS)}")
        read = READERS[file.suffix.lower()](file, findings)
        rows += _new_rows(read, rows, findings) if rows else read
    concepts = _concept_set(str(path), rows, findings, TOLERATED[files[0].suffix.lower()])
    return ConceptSet(concepts._table, concepts.notes, prompts)


def _concept_set(source: str, rows: list[Row], findings: Findings, tolerated: frozenset[str]) -> ConceptSet:
    clean = clean_rows(rows, findings)
    notes = findings.settle(source, tolerated)
    if not clean:
        raise ValueError(f"{source} holds no concepts; expected one at least")
    return ConceptSet(pd.DataFrame([row.cells for row in clean], columns=list(COLUMNS)), notes)


def _locate(name_or_path: str | Path) -> Path:
    """The file or folder of a spec; a name takes precedence over a path of the same spelling."""
    shipped = {path.stem: path for folder in reversed(data_dirs()) for path in sorted((folder / "concepts").glob("*.csv"))}
    named = shipped | {"published": data_dir() / "concepts" / "published"}
    path = named.get(str(name_or_path), Path(name_or_path))
    if path.exists():
        return path
    if str(name_or_path) == "published":
        raise FileNotFoundError(
            f"the published concepts are not shipped (CC BY-NC): put the study's {' and '.join(PUBLISHED_FILES)} "
            f"into {path}, or give the folder that holds them"
        )
    raise FileNotFoundError(
        f"no concept set or file {str(name_or_path)!r}{closest(str(name_or_path), named)}; "
        f"expected a name ({', '.join(named)}) or the path of a {', '.join(READERS)} file"
    )


def _published_files(folder: Path) -> list[Path]:
    files = [folder / name for name in PUBLISHED_FILES if (folder / name).is_file()]
    if not files:
        raise FileNotFoundError(f"{folder} holds none of the study's concept files: {', '.join(PUBLISHED_FILES)}")
    return files


def _new_rows(read: list[Row], rows: list[Row], findings: Findings) -> list[Row]:
    """Rows of a second file whose concepts the first does not have."""
    known = {name_key(row.cells["concept"]) for row in rows}
    new = [row for row in read if name_key(row.cells["concept"]) not in known]
    for row in new:
        what = f"{row.cells['concept']!r} stands in no category of the workbook"
        findings.add("second file", row.where, what, "add it there")
    return new


def _held_keys(column: str, values: list[str], held: Iterable[str]) -> set[str]:
    """The keys of the values asked for; an error for one that the set does not hold."""
    names = {name_key(name): name for name in held if name}
    for value in values:
        if name_key(value) not in names:
            listed = ", ".join(list(names.values())[:30]) or "none"
            raise ValueError(f"unknown {column} {value!r}{closest(value, names.values())}; this concept set has: {listed}")
    return {name_key(value) for value in values}


@validated(table=table_with("concept", made_by="a dissection or concept set"))
def with_categories(table: pd.DataFrame, concepts: ConceptSet) -> pd.DataFrame:
    """A table of concepts with their category, broad_category and needs (see `needed`), "" where there are none."""
    each = one_row_each(concepts)
    each = each.assign(needs=each.evidence.map(needed)).drop(columns="evidence")
    return table.merge(each, on="concept", how="left").fillna({"category": "", "broad_category": "", "needs": ""})


def needed(evidence: str) -> str:
    """What a concept requires beyond one mammogram; "" if one mammogram can show it, or if unknown.

    >>> needed("prior exam"), needed("single view"), needed("single view; ultrasound")
    ('prior exam', '', '')
    """
    return "" if ONE_IMAGE in evidence.split("; ") else evidence


@validated()
def one_row_each(concepts: ConceptSet) -> pd.DataFrame:
    """concept, category, broad_category, evidence: a row per concept, what differs between its rows joined by "; "."""

    def join(values: pd.Series) -> str:
        return "; ".join(dict.fromkeys(value for value in values if value))

    columns = ["category", "broad_category", "evidence"]
    return concepts.table.groupby("concept", sort=False)[columns].agg(join).reset_index()
