"""Pages of `docs/` hold together: links lead somewhere, every room has its page, records are numbered, fragments are short."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
FRAGMENTS = sorted((ROOT / "changelog.d").glob("*"))

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
ABBREVIATIONS = re.compile(r"\b(e\.g\.|i\.e\.|such as \S+\.\S+)|\d\.\d")


def prose(text: str) -> str:
    """The text without code, where brackets mean something else."""
    text = re.sub(r"^( {4}.*|```.*?```)$", "", text, flags=re.MULTILINE | re.DOTALL) if "```" in text else text
    text = re.sub(r"(?m)^ {4}.*$", "", text)
    return re.sub(r"`[^`\n]*`", lambda code: "`" if "](" in code[0] else code[0], text)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in HEADING.findall(text)}


def dead_links(file: Path, text: str) -> list[str]:
    """Relative links of a page that lead nowhere."""
    dead = []
    for target in LINK.findall(prose(text)):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        aim = (file.parent / path).resolve() if path else file
        if not aim.exists() or (anchor and aim.suffix == ".md" and anchor not in anchors(aim.read_text("utf-8"))):
            dead.append(target)
    return dead


def test_no_link_leads_nowhere() -> None:
    assert len(PAGES) > 30
    assert sum(len(LINK.findall(prose(file.read_text("utf-8")))) for file in PAGES) > 60
    assert {str(file.relative_to(ROOT)): dead for file in PAGES if (dead := dead_links(file, file.read_text("utf-8")))} == {}


@pytest.mark.parametrize("text", ["[x](nowhere.md)", "[x](index.md#no-such-heading)", "[x](#neither)"])
def test_the_inspection_sees_a_dead_link(text: str) -> None:
    assert len(dead_links(DOCS / "index.md", text)) == 1


def test_the_inspection_leaves_code_alone() -> None:
    assert dead_links(DOCS / "index.md", "    [x](nowhere.md)\n\nand `a[1](2)` and [here](index.md)") == []


def test_every_page_can_be_reached_from_the_index() -> None:
    reached: set[Path] = set()
    open_ends = [DOCS / "index.md"]
    while open_ends:
        file = open_ends.pop()
        if file in reached or file.suffix != ".md" or not file.is_file():
            continue
        reached.add(file)
        targets = (target.partition("#")[0] for target in LINK.findall(prose(file.read_text("utf-8"))) if "://" not in target)
        open_ends += [(file.parent / target).resolve() for target in targets if target]
    assert sorted(str(file.relative_to(ROOT)) for file in set(DOCS.rglob("*.md")) - reached) == []


ROOM_ROW = re.compile(r"^\| `([a-z]+)` \|", re.MULTILINE)
# Pages of what lives in one folder of a room, or beside the source.
PAGES_OF_PARTS = {"bench": "apps/bench", "ingest": "apps/ingest", "worker": "apps/worker", "cli": "apps/cli"}
OUTSIDE = {"kamailio-include": ROOT / "deploy" / "kamailio", "cwmp": ROOT / "src" / "ringfence" / "protocols" / "cwmp"}
# Rooms that share a page under another name: apps are described one by one, or with what they wire.
ROOMS_ELSEWHERE = {"apps"}


def test_every_room_has_its_page_and_every_page_its_room() -> None:
    source = ROOT / "src" / "ringfence"
    rooms = {folder.name for folder in source.iterdir() if folder.is_dir() and folder.name != "__pycache__"}
    pages = {file.stem for file in (DOCS / "rooms").glob("*.md")}
    assert len(rooms) > 10
    assert rooms - ROOMS_ELSEWHERE - pages == set()
    apps = {folder.name for folder in (source / "apps").iterdir() if folder.is_dir() and folder.name != "__pycache__"}
    assert pages - rooms - apps - OUTSIDE.keys() == set()
    assert all(folder.is_dir() for folder in OUTSIDE.values())
    listed = set(ROOM_ROW.findall((ROOT / "ARCHITECTURE.md").read_text("utf-8")))
    assert listed == rooms, "the rooms of ARCHITECTURE.md are those of the source"


def test_decisions_are_numbered_without_a_gap() -> None:
    names = sorted(file.name for file in (DOCS / "decisions").glob("*.md") if file.name != "README.md")
    numbers = [int(re.fullmatch(r"(\d{4})-[a-z0-9-]+\.md", name)[1]) for name in names]  # type: ignore[index]
    assert numbers == list(range(1, len(names) + 1))
    for name, number in zip(names, numbers, strict=True):
        first = (DOCS / "decisions" / name).read_text("utf-8").splitlines()[0]
        assert first.startswith(f"# {number}. "), name


def sentences_in(text: str) -> int:
    """How many sentences a text has; dots inside numbers, names and abbreviations end none."""
    bare = ABBREVIATIONS.sub("x", re.sub(r"`[^`]*`", "x", text))
    return len(SENTENCE_END.findall(bare))


def test_fragments_of_the_changelog_have_one_to_three_sentences() -> None:
    assert len(FRAGMENTS) > 5
    for file in FRAGMENTS:
        assert re.fullmatch(r"[a-z0-9-]+\.md", file.name), file.name
        text = file.read_text("utf-8").strip()
        assert 1 <= sentences_in(text) <= 3, f"{file.name} has {sentences_in(text)} sentences"
        assert text.endswith("."), file.name
        assert not text.startswith(("#", "-", "*")), f"{file.name} is a sentence for people, no list"


@pytest.mark.parametrize(
    ("text", "count"), [("One.", 1), ("Needs 5.6.3 of it. Two!", 2), ("See `a. b`. Then, e.g. this. And that? Yes.", 4), ("None", 0)]
)
def test_the_inspection_counts_sentences(text: str, count: int) -> None:
    assert sentences_in(text) == count
