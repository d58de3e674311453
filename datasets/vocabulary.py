"""Words that people write in tables of photographs, in six languages.

English, German, French, Spanish, Italian and Portuguese. Words that may mean two things (a smile
that is neither called gentle nor full, `d` for a side) are left out: they are asked about.
"""

from __future__ import annotations

import re
import unicodedata

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
