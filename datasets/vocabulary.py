"""What people write in tables of photographs, in six languages: headings, grades, sides, movements.

English, German, French, Spanish, Italian and Portuguese. Words that may mean two things (a smile
that is neither called gentle nor full, `d` for a side) are left out: they are asked about.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import pandas as pd

from common.movements import MOVEMENTS
from common.tables import GRADES
from common.words import counted
from datasets.dataset import Problem, error, note, say_list

IMAGE = (
    "image", "photo", "photograph", "file", "filename", "file name", "picture", "image file",
    "photo file", "Bild", "Foto", "Datei", "Dateiname", "Bilddatei", "Aufnahme", "fichier",
    "nom du fichier", "cliché", "imagen", "archivo", "nombre del archivo", "fichero", "immagine",
    "nome file", "imagem", "arquivo", "ficheiro", "nome do arquivo",
)  # fmt: skip
PATIENT = (
    "patient", "subject", "participant", "case", "person", "id", "patient number", "Patientin",
    "Patientennummer", "Patienten-ID", "Pat.-Nr.", "Pat.", "Proband", "Fall", "patiente", "sujet",
    "cas", "paciente", "sujeto", "caso", "paziente", "soggetto", "sujeito",
)  # fmt: skip
TASK = (
    "movement", "expression", "pose", "Bewegung", "Aufgabe", "Mimik", "Ausdruck", "mouvement",
    "tâche", "movimiento", "tarea", "gesto", "expresión", "movimento", "compito", "espressione",
    "tarefa", "expressão",
)  # fmt: skip
SIDE = (
    "affected side", "palsy side", "side of palsy", "weak side", "Seite", "betroffene Seite",
    "gelähmte Seite", "Lähmungsseite", "côté", "côté atteint", "côté paralysé", "lado",
    "lado afectado", "lato", "lato affetto", "lato colpito", "lado afetado",
)  # fmt: skip
GRADE = (
    "House-Brackmann", "House-Brackmann grade", "HB", "HB score", "grade", "hbgrade", "HB-Grad",
    "House-Brackmann-Grad", "Grad", "Schweregrad", "grade HB", "grade de House-Brackmann", "grado",
    "grado HB", "grado de House-Brackmann", "grado di House-Brackmann", "grau", "grau HB",
    "grau de House-Brackmann",
)  # fmt: skip

SIDES = {
    "left": "left l lt links li linke gauche izquierda izquierdo sinistra sinistro esquerda "
            "esquerdo",
    "right": "right r rt rechts re rechte droite droit derecha derecho destra destro direita "
             "direito",
    "none": "none no normal healthy control keine kein gesund aucun aucune sain saine ninguno "
            "ninguna sano sana nessuno nessuna nenhum nenhuma saudavel",
    "both": "both bilateral b beide beidseits beidseitig lesdeux bilaterale ambos ambas entrambi "
            "entrambe",
    "unknown": "unknown na unbekannt inconnu inconnue desconocido ignoto sconosciuto desconhecido",
}  # fmt: skip
MOVEMENT_WORDS: dict[str, tuple[str, ...]] = {
    "rest": (
        "neutral", "at rest", "Ruhe", "in Ruhe", "Ruhegesicht", "repos", "au repos", "neutre",
        "reposo", "en reposo", "neutro", "riposo", "a riposo", "repouso", "em repouso",
    ),
    "brow_raise": (
        "raise brows", "raise eyebrows", "eyebrow raise", "Brauen heben", "Augenbrauen heben",
        "Stirnrunzeln", "Stirn runzeln", "lever les sourcils", "haussement des sourcils",
        "elevar cejas", "elevar las cejas", "levantar las cejas", "alzare le sopracciglia",
        "sollevare le sopracciglia", "levantar as sobrancelhas", "elevar as sobrancelhas",
    ),
    "gentle_eye_closure": (
        "Augen leicht schließen", "leichter Augenschluss", "sanfter Augenschluss",
        "fermeture douce des yeux", "cierre suave de ojos", "cierre suave de los ojos",
        "chiusura dolce degli occhi", "chiusura lieve degli occhi", "fechamento suave dos olhos",
    ),
    "full_eye_closure": (
        "tight eye closure", "forceful eye closure", "Augen fest schließen", "fester Augenschluss",
        "kräftiger Augenschluss", "Augen zukneifen", "fermeture forcée des yeux",
        "cierre forzado de ojos", "cierre fuerte de ojos", "cierre forzado de los ojos",
        "chiusura forzata degli occhi", "fechamento forçado dos olhos",
    ),
    "gentle_smile": (
        "leichtes Lächeln", "sanftes Lächeln", "petit sourire", "sourire doux", "léger sourire",
        "sonrisa suave", "sonrisa leve", "sorriso leggero", "sorriso lieve", "sorriso suave",
        "sorriso leve",
    ),
    "full_smile": (
        "big smile", "broad smile", "volles Lächeln", "breites Lächeln", "grand sourire",
        "sonrisa amplia", "sonrisa completa", "sorriso ampio", "sorriso pieno", "sorriso amplo",
    ),
    "lip_pucker": (
        "pucker", "whistle", "kiss", "Mund spitzen", "Lippen spitzen", "Kussmund", "Pfeifen",
        "moue", "faire la moue", "fruncir los labios", "beso", "arricciare le labbra", "bacio",
        "bico", "beijo", "franzir os lábios",
    ),
    "lower_teeth": (
        "lower teeth show", "Unterzähne zeigen", "untere Zähne zeigen", "dents inférieures",
        "montrer les dents inférieures", "dientes inferiores", "denti inferiori",
        "dentes inferiores",
    ),
}  # fmt: skip
CLASS_WORDS = {
    "healthy": "healthy normal control gesund sain sano sana saudável",
    "slight": "slight mild light leicht léger légère leve lieve leggero ligero",
    "strong": "strong severe schwer stark sévère fort grave severo forte fuerte",
}
"""Names of folders that tell a class of palsy rather than a patient."""

_ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
_GRADE = re.compile(
    r"(?:(?:house[\s_-]*brackmann|h-?b|grade)[\s_:-]*)*"
    r"(?P<value>\d+(?:\.0+)?|[ivx]+)(?:\s*/\s*(?:6|vi))?",
    re.IGNORECASE,
)


def simplify(words: str) -> str:
    """Return words without case, accents, spaces and punctuation, for comparing."""
    plain = unicodedata.normalize("NFKD", words.casefold())
    return re.sub(r"[\W_]+", "", re.sub("[\u0300-\u036f]", "", plain)) or words.strip()


SIDE_OF = {word: side for side, words in SIDES.items() for word in words.split()}
MOVEMENT_OF = {
    simplify(word): movement
    for movement, words in MOVEMENT_WORDS.items()
    for word in (movement, *words)
}
CLASS_OF = {simplify(word): name for name, words in CLASS_WORDS.items() for word in words.split()}


def parse_grade(cell: str, *, zero_based: bool = False) -> int | None:
    """Return a House-Brackmann grade 1..6 written as `4`, `4.0`, `IV`, `HB 4` or `Grade IV/VI`.

    None when it is no such grade (`0`, `7`, `3.5`, `II-III`). Where the source counts from 0
    (normal) to 5, `zero_based` adds one.
    """
    match = _GRADE.fullmatch(cell.strip())
    if match is None:
        return None
    value = match["value"].lower()
    grade = _ROMAN.get(value, 0) if not value[0].isdigit() else int(float(value)) + zero_based
    return grade if grade in GRADES else None


def parse_side(cell: str) -> str | None:
    """Return the patient's `left`, `right`, `none`, `both` or `unknown`; None when unreadable."""
    return SIDE_OF.get(simplify(cell)) if re.search(r"\w", cell) else "unknown"


def parse_task(cell: str) -> str | None:
    """Return the standard movement that a cell names in one of six languages, else None."""
    return MOVEMENT_OF.get(simplify(cell))


def parse_frame(cell: str) -> int | None:
    """Return a frame number, or None when the cell holds none (`/`, `-`, empty, text)."""
    match = re.fullmatch(r"(\d+)(?:\.0+)?", cell.strip())
    return int(match[1]) if match else None


def grades_of(
    cells: pd.Series, *, file: str, zero_based: bool = False
) -> tuple[pd.Series, list[Problem]]:
    """Return the grades of a column (`Int64`, empty where there is none) and what was wrong.

    The cells are text or missing, indexed by spreadsheet row, here and in what follows.
    """
    allowed = "0 to 5 with --zero-based-grades" if zero_based else "1 to 6 or I to VI"
    values, problems = _parsed(
        cells,
        lambda cell: parse_grade(cell, zero_based=zero_based),
        file=file,
        kind="grade_out_of_range",
        what='the grade "{cell}" is no House-Brackmann grade and was left empty',
        advice=f"write {allowed}",
    )
    return values.astype("Int64"), problems


def sides_of(cells: pd.Series, *, file: str) -> tuple[pd.Series, list[Problem]]:
    """Return the sides of a column (`unknown` where empty or unreadable) and what was wrong."""
    values, problems = _parsed(
        cells,
        parse_side,
        file=file,
        kind="unreadable_side",
        what='the side "{cell}" was not understood and was set to unknown',
        advice="write left, right, none, both or unknown, meaning the patient's side",
    )
    return values.fillna("unknown"), problems


def tasks_of(cells: pd.Series, *, file: str) -> tuple[pd.Series, list[Problem]]:
    """Return the movements of a column: standard names where understood, else as written."""
    meaning = {cell: parse_task(cell) or cell for cell in cells.dropna().unique()}
    values = cells.map(meaning).astype("object")
    values = values.where(values.notna(), None)
    own = values[values.notna() & ~values.isin(MOVEMENTS)]
    if own.empty:
        return values, []
    what = f"movements other than the standard ones stay: {say_list(own.unique())}"
    advice = f"where one of these is meant, write {', '.join(MOVEMENTS)}"
    return values, [note("own_movement", what, advice, file=file, rows=rows_of(own))]


def rows_of(table: pd.Series | pd.DataFrame) -> tuple[int, ...]:
    """Return the rows of a table, or of a column, that a spreadsheet shows for it."""
    return tuple(int(row) for row in table.index)


def _parsed(
    cells: pd.Series,
    parse: Callable[[str], object],
    *,
    file: str,
    kind: str,
    what: str,
    advice: str,
) -> tuple[pd.Series, list[Problem]]:
    """Parse each distinct cell once; a cell that is not empty but gives None is a problem."""
    filled = cells.dropna()
    meaning = {cell: parse(cell) for cell in filled.unique()}
    problems = []
    for cell in (cell for cell, value in meaning.items() if value is None):
        rows = rows_of(filled[filled == cell])
        more = f" ({counted(len(rows), 'row')})" if len(rows) > 1 else ""
        problems.append(error(kind, what.format(cell=cell) + more, advice, file=file, rows=rows))
    values = cells.map(meaning).astype("object")
    return values.where(values.notna(), None), problems
