"Files and folders as they are: what is read, what is told, and what a log keeps of them."
import gc, json, os, re, subprocess, sys, threading, time, warnings, zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from rlm import ConfigurationError, Files, RLM, RLMError, RLMLogger, read_log
from rlm.files import files_of, from_log, read_text, to_log
from rlm.lm import ScriptedLM
from rlm.replay import Replay
from rlm.utils.trace_notebook import trace_notebook, verify
import rlm.files

def answering(*code, **more): return RLM(ScriptedLM([*(f"```repl\n{c}\n```" for c in code)]), verbose=False, **more)

@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("one\ntwo\n")
    (folder / "deep" / "b.md").write_text("# Title\nthree\n")
    (folder / "t.csv").write_text("city,n\nOslo,1\nLima,2\n")
    (folder / "photo.png").write_bytes(b"\x89PNG" + bytes(100))
    (folder / ".hidden").write_text("secret")
    return folder

# --- what is listed

def test_names_are_relative_and_sorted(notes):
    assert list(Files(notes)) == ["a.txt", "deep/b.md", "t.csv"]
    assert list(Files(notes, notes / "a.txt")) == ["notes/a.txt", "notes/deep/b.md", "notes/t.csv", "a.txt"]
    assert list(Files(notes / "a.txt")) == ["a.txt"]

def test_two_files_of_one_name_stay_apart(notes, tmp_path):
    (tmp_path / "a.txt").write_text("other")
    files = Files(notes / "a.txt", tmp_path / "a.txt")
    assert sorted(files.values()) == ["one\ntwo\n", "other"]

def test_a_mapping_reads_only_what_is_asked_for(notes, monkeypatch):
    read = []
    monkeypatch.setattr(rlm.files, "read_text", lambda path: read.append(path.name) or read_text(path))
    files = Files(notes)
    assert "a.txt" in files and len(files) == 3 and files == files and files != Files(notes) and repr(files) and read == []
    assert files["a.txt"] == "one\ntwo\n" and read == ["a.txt"]

def test_links_out_of_the_folder_are_not_followed(notes, tmp_path):
    (tmp_path / "outside.txt").write_text("elsewhere")
    (notes / "out.txt").symlink_to(tmp_path / "outside.txt")
    (notes / "in.txt").symlink_to(notes / "a.txt")
    (notes / "loop").symlink_to(notes)
    (notes / "dead.txt").symlink_to(notes / "nowhere")
    os.mkfifo(notes / "pipe")
    assert list(Files(notes)) == ["a.txt", "deep/b.md", "in.txt", "t.csv"]

def test_a_folder_of_too_many_files_is_refused_before_it_is_gone_through(tmp_path, monkeypatch):
    monkeypatch.setattr(rlm.files, "MOST", 50)
    for i in range(60): (tmp_path / f"{i}.txt").touch()
    looked = []
    monkeypatch.setattr(rlm.files, "kind_of", lambda path: looked.append(path) or "text")
    with pytest.raises(ConfigurationError, match="more than 10,000 files"): Files(tmp_path)
    assert looked == []

@pytest.mark.parametrize("make, told", [
    (lambda d: d / "notez" , "There is no file"), (lambda d: d / "notes" / "b.txt", "Did you mean .*a.txt"),
    (lambda d: d / "notes" / "photo.png", "is no text and no table but a PNG image of 104 bytes"), (lambda d: d / "empty", "holds no files"),
    (lambda d: d / "pictures", "holds nothing that can be read as a text or a table: 2 PNG image"), (lambda d: "a\0b", "There is no file"),
    (lambda d: d / "book.xlsx", "pandas.read_excel"), (lambda d: 7, "A path is a text")])
def test_bad_paths_are_told_before_anything_is_asked(notes, tmp_path, make, told):
    (tmp_path / "empty").mkdir()
    (tmp_path / "pictures").mkdir()
    for name in "ab": (tmp_path / "pictures" / f"{name}.png").write_bytes(b"\x89PNG")
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(ConfigurationError, match=told): Files(make(tmp_path))

def test_bad_input_reaches_no_model(notes):
    model = ScriptedLM(["FINAL(no)"])
    with pytest.raises(ConfigurationError): RLM(model, verbose=False).completion("?", context=notes / "nowhere.txt")
    with pytest.raises(ConfigurationError): RLM(model, verbose=False).completion("?", context=[notes / "a.txt", notes / "no.txt"])
    assert model.calls == []

@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="takes the right to become somebody else")
def test_what_may_not_be_read_is_told(notes):
    (notes / "a.txt").chmod(0)
    for folder in (notes, *list(notes.parents)[:-1]): folder.chmod(0o755)
    code = f"import os, encodings.ascii\nfrom difflib import get_close_matches\nfrom rlm.files import Files\nos.setuid(65534)\nprint(Files({str(notes)!r}))\nFiles({str(notes / 'a.txt')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert "a.txt  0 bytes  not read: can't be read: Permission denied" in done.stdout
    assert "ConfigurationError: a.txt can't be read: Permission denied." in done.stderr

# --- what is read

@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "latin-1"])
def test_encodings(tmp_path, encoding):
    (tmp_path / "x.txt").write_bytes("Größe\r\nzwölf Äpfel, déjà vu\rEnde".encode(encoding))
    assert Files(tmp_path)["x.txt"] == "Größe\nzwölf Äpfel, déjà vu\nEnde"

@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_text(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("raw") / "x"
    path.write_bytes(raw)
    assert isinstance(read_text(path), str)

def test_lines_are_those_of_the_text(notes):
    (notes / "w.txt").write_bytes("é\r\nb\n\nc".encode("cp1252"))
    files = Files(notes)
    assert list(files.lines("w.txt")) == ["é", "b", "", "c"] and list(files.lines("t.csv"))[0] == "city,n"

def test_a_text_too_long_is_gone_through_by_lines(notes, monkeypatch):
    monkeypatch.setattr(rlm.files, "LIMIT", 5)
    files = Files(notes / "a.txt")
    assert files.content() is files and list(files.lines("a.txt")) == ["one", "two"]
    with pytest.raises(ValueError, match="context.lines\\('a.txt'\\)"): files["a.txt"]

WORD = """<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>
<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Ferries</w:t></w:r></w:p><w:p><w:r><w:t>The ferry to Skagen was late.</w:t></w:r></w:p>
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>port</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>crowns</w:t></w:r></w:p></w:tc></w:tr>
<w:tr><w:tc><w:p><w:r><w:t>Skagen</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>40</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:body></w:document>"""
TYPES = """<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/>
<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"""
RELS = """<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r" Target="word/document.xml"
Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>"""

def test_a_word_document_is_markdown(tmp_path):
    pytest.importorskip("mammoth")
    with zipfile.ZipFile(tmp_path / "report.docx", "w") as z:
        for name, text in {"[Content_Types].xml": TYPES, "_rels/.rels": RELS, "word/document.xml": WORD}.items(): z.writestr(name, text)
    text = Files(tmp_path / "report.docx").content()
    assert "The ferry to Skagen was late." in text and "Ferries" in text and re.search(r"\| *Skagen *\| *40 *\|", text)

def pdf(*pages):
    "A PDF with a line of text on each page."
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(f'{4 + 2 * i} 0 R' for i in range(len(pages)))}] >>",
               "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    for i, line in enumerate(pages):
        drawn = f"BT /F1 12 Tf 20 100 Td ({line}) Tj ET"
        objects += [f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents {5 + 2 * i} 0 R /Resources << /Font << /F1 3 0 R >> >> >>",
                    f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream"]
    out, places = "%PDF-1.4\n", []
    for n, x in enumerate(objects, 1):
        places.append(len(out))
        out += f"{n} 0 obj\n{x}\nendobj\n"
    table = "".join(f"{at:010d} 00000 n \n" for at in places)
    return f"{out}xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF"

def test_a_pdf_is_its_pages(tmp_path):
    pytest.importorskip("pypdf")
    (tmp_path / "report.pdf").write_text(pdf("The ferry was late.", "It will be on time."))
    first, second = Files(tmp_path / "report.pdf").content().split("\f")
    assert first.strip() == "The ferry was late." and second.strip() == "It will be on time."

def test_a_pdf_without_text_is_told(tmp_path):
    pypdf = pytest.importorskip("pypdf")
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 200)
    writer.write(tmp_path / "scan.pdf")
    writer.encrypt("pw")
    writer.write(tmp_path / "locked.pdf")
    with pytest.raises(ConfigurationError, match="its pages are pictures"): Files(tmp_path / "scan.pdf").content()
    with pytest.raises(ConfigurationError, match="password|crypt"): Files(tmp_path / "locked.pdf").content()

def test_what_needs_the_extra_says_so(tmp_path, monkeypatch):
    (tmp_path / "page.html").write_text("<p>hi</p>")
    monkeypatch.setattr(rlm.files, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"HTML page needs the extra `files`: pip install 'rlm\[files\]'"): Files(tmp_path)

# --- while a run is under way

def test_a_file_that_changes_is_told_once_and_read_as_it_is(notes):
    files = Files(notes)
    (notes / "a.txt").write_text("other text")
    with pytest.warns(UserWarning, match="a.txt has changed since the run began"): assert files["a.txt"] == "other text"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert files["a.txt"] == "other text"
    assert files.changed() == ["a.txt"]

def test_a_file_that_goes_before_the_question_is_told(notes):
    files, model = Files(notes / "a.txt"), ScriptedLM(["FINAL(no)"])
    (notes / "a.txt").unlink()
    with pytest.raises(ConfigurationError, match="a.txt is gone"): RLM(model, verbose=False).completion("?", context=files)
    assert model.calls == []

def test_a_file_that_goes_fails_in_the_code_and_not_the_run(notes):
    model = ScriptedLM([lambda m: (notes / "a.txt").unlink() or "```repl\ncontext['a.txt']\n```", "FINAL(gone)", "FINAL(gone)", "FINAL(gone)"])
    result = RLM(model, verbose=False).completion("?", context=notes)
    assert "FileNotFoundError: a.txt is gone since the run began" in result.iterations[0].code_blocks[0].result.error

# --- what the model is told

def preview_of(context, **more): return RLM(ScriptedLM([]), verbose=False, **more).preview("?", context=context)[-1]["content"]

def test_the_preview_of_a_folder(notes):
    told = preview_of(notes)
    assert "context: rlm.Files, 4 files" in told and "for file, text in context.items()" in told
    assert "a.txt  8 bytes  one two" in told and "t.csv  21 bytes  table t" in told and "photo.png  104 bytes  not read: PNG image" in told

def test_schema_tells_no_name_and_no_word(notes):
    told = preview_of(notes, environment_kwargs={"preview": "schema"})
    assert "4 files" in told and "1 .csv" in told and "a.txt" not in told and "one" not in told.replace("one of", "")

def test_a_preview_stays_short(tmp_path):
    for i in range(40):
        (tmp_path / f"folder {i}").mkdir()
        for j in range(20): (tmp_path / f"folder {i}" / f"{'long name ' * 5}{j}.txt").write_text("word " * 100)
    told = preview_of(tmp_path)
    assert len(told) < 4_500 and "800 files" in told and "20 files" in told and len(repr(Files(tmp_path))) < 4_000

def test_files_in_the_repl_are_described_and_not_read(notes, monkeypatch):
    monkeypatch.setattr(rlm.files, "read_text", lambda path: pytest.fail("read"))
    result = answering("SHOW_VARS()\nprint(context)\nFINAL(1)").completion("?", context=notes)
    assert "4 files" in result.iterations[0].code_blocks[0].result.stdout
    assert not result.changes

# --- who takes files

def test_paths_are_files_and_texts_are_not(notes):
    assert files_of(notes / "a.txt").content() == "one\ntwo\n"
    assert list(files_of([notes / "a.txt", notes / "t.csv"])) == ["a.txt", "t.csv"]
    assert [files_of(x) for x in ("a.txt", [], ["a"], [notes, 7], None, {"a": notes})] == [None] * 6

def test_every_way_to_ask_takes_a_path(notes):
    import asyncio
    r = lambda: answering("FINAL(context.count('o'))")
    assert r().completion("?", context=notes / "a.txt").value == 2
    assert r().completion(notes / "a.txt", root_prompt="?").value == 2
    assert r().start_session().chat("?", notes / "a.txt").value == 2
    assert asyncio.run(r().acompletion("?", context=notes / "a.txt")).value == 2
    *_, last = r().stream("?", context=notes / "a.txt")
    assert last.result.value == 2

def test_a_session_keeps_its_files(notes):
    session = answering("FINAL(len(context))", "FINAL(context['a.txt'])").start_session()
    session.chat("How many?", context=notes)
    assert session.chat("And the first?").value == "one\ntwo\n"

# --- addresses

class Pages(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/moved": self.send_response(302); self.send_header("Location", "/page"); self.end_headers(); return
        found = {"/page": ("text/html", b"<h1>Ferries</h1>"), "/t.csv": ("text/csv", b"a,b\n1,2\n"), "/": ("text/plain", b"root")}
        if self.path not in found: return self.send_error(404)
        kind, body = found[self.path]
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): ...

@pytest.fixture
def web():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()

def test_an_address_is_read_once(web, tmp_path):
    url = f"http://127.0.0.1:{web.server_address[1]}"
    files = Files(f"{url}/moved")
    assert files.content() == "# Ferries\n" == files.content() and web.asked == ["/moved", "/page"]
    assert Files(f"{url}/t.csv").content().columns == ["a", "b"] and Files(url + "/").content() == "root"
    with pytest.raises(ConfigurationError, match="404"): Files(f"{url}/none")

def test_an_address_that_nobody_answers_is_told():
    with pytest.raises(ConfigurationError, match="can't be read"): Files("http://127.0.0.1:9/x")

def test_an_address_in_a_text_is_not_read(web):
    url = f"http://127.0.0.1:{web.server_address[1]}/page"
    heard = []
    RLM(ScriptedLM(["FINAL(ok ok)"]), verbose=False, logger=heard.append).completion("?", context=url)
    assert web.asked == [] and any("Files(" in getattr(e, "text", "") for e in heard)

# --- logs

def logged(notes, context, *code, folder=None):
    logger = RLMLogger(folder or notes.parent / "logs")
    answering(*code, logger=logger).completion("?", context=context)
    return logger.path

def outcome(log):
    run = read_log(log)[-1]
    replay = Replay(log, run.id)
    for n, (block, _) in enumerate(run.blocks, 1): replay.block(n, block.code)
    return replay.end(), run

@pytest.mark.parametrize("name", ["", "a.txt", "t.csv"])
def test_a_log_keeps_no_content_and_replays(notes, name):
    code = {"": "FINAL(sorted(context))", "a.txt": "FINAL(context.upper())", "t.csv": "FINAL(int(context['n'].sum()))"}[name]
    log = logged(notes, notes / name if name else notes, code)
    about = json.loads(log.read_text().splitlines()[1])["context"]
    assert about.keys() == {"files"} and {e.keys() - {"only"} == {"name", "path", "size", "sha256"} for e in about["files"]} == {True}
    assert str(notes) not in log.read_text() and about["files"][0]["path"] == "../notes/" + (name or "a.txt")
    assert "The same as then" in outcome(log)[0]
    notebook = log.with_suffix(".trace.ipynb")
    notebook.write_text(trace_notebook(log))
    assert set(verify(notebook).values()) == {"equal"}

def test_a_replay_tells_what_has_changed(notes):
    log = logged(notes, notes, "FINAL(context['a.txt'])")
    (notes / "a.txt").write_text("other")
    said, run = outcome(log)
    assert run.missing["context"] == "a.txt has changed since" and "Not the same" in said
    (notes / "a.txt").unlink()
    assert read_log(log)[0].missing["context"].endswith("is not there any more")

def test_what_is_missing_can_be_supplied(notes, tmp_path):
    log = logged(notes, notes / "a.txt", "FINAL(context.upper())")
    (notes / "a.txt").rename(tmp_path / "moved.txt")
    run, = read_log(log)
    replay = Replay(log, run.id, context=tmp_path / "moved.txt")
    replay.block(1, run.blocks[0][0].code)
    assert "The same as then" in replay.end()

def test_a_log_moves_with_its_files(notes, tmp_path):
    log = logged(notes, notes, "FINAL(context['a.txt'])")
    tmp_path.joinpath("elsewhere").mkdir()
    for name in ("notes", "logs"): (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    assert "The same as then" in outcome(tmp_path / "elsewhere" / "logs" / log.name)[0]

def test_large_files_are_known_by_their_ends(notes, monkeypatch):
    monkeypatch.setattr(rlm.files, "_WHOLE", 100)
    big = notes / "big.txt"
    big.write_bytes(b"x" * 3_000_000)
    entry, = to_log(Files(big), notes)
    assert entry["sha256"].startswith("ends:") and from_log([entry], notes)
    big.write_bytes(b"x" * 2_999_999 + b"y")
    with pytest.raises(ConfigurationError, match="has changed"): from_log([entry], notes)

@pytest.mark.parametrize("entry", [{"name": "a"}, {"name": 1, "size": 1, "sha256": "", "path": "a.txt"}, "a.txt", 7, None])
def test_a_tampered_log_is_told(notes, entry):
    log = logged(notes, notes / "a.txt", "FINAL(1)")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    lines[1]["context"]["files"] = [entry]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(RLMError): read_log(log)

# --- what is no file, or not what it seems

@pytest.mark.parametrize("where", ["pipe", "/dev/zero", "/dev/null"])
def test_nothing_waits_for_a_pipe_or_a_device(tmp_path, where):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="it is a folder, a pipe or a device"): Files(tmp_path / where)

@pytest.mark.parametrize("become", [os.mkfifo, os.mkdir])
def test_a_file_that_becomes_something_else_is_told_in_the_code(notes, become):
    files = Files(notes)
    (notes / "a.txt").unlink()
    become(notes / "a.txt")
    with pytest.warns(UserWarning, match="has changed"), pytest.raises(OSError, match="a.txt is not what it was"): files["a.txt"]
    assert files.changed() == ["a.txt"] and "a.txt" in repr(files)

def test_links_in_a_circle_are_passed_by(notes):
    (notes / "circle").symlink_to("circle")
    assert "circle" not in Files(notes)
    with pytest.raises(ConfigurationError, match="circle is a link that leads to nothing"): Files(notes / "circle")

def test_odd_names_can_be_asked_for_and_break_no_line(tmp_path):
    for name in (b"with space.txt", b"it's \"mine\".txt", b"two\nlines.txt", b"not \xff UTF-8.txt"):
        with open(os.fsencode(tmp_path) + b"/" + name, "w") as f: f.write("found")
    files = Files(tmp_path)
    assert set(files.values()) == {"found"} and len(files.listing().splitlines()) == 4
    assert "'two\\nlines.txt'" in repr(files) and r"'not \udcff UTF-8.txt'" in repr(files)
    log = RLMLogger(tmp_path / "logs")
    assert answering("FINAL(len(context))", logger=log).completion("?", context=files).value == 4
    assert "The same as then" in outcome(log.path)[0]

def test_a_file_given_twice_is_one(notes):
    assert Files(notes / "a.txt", notes / "deep" / ".." / "a.txt").content() == "one\ntwo\n"

def test_a_path_that_is_too_long_is_told_shortly():
    with pytest.raises(ConfigurationError, match="is no path: File name too long") as e: Files("x" * 5_000)
    assert len(str(e.value)) < 400

SENTENCES = {"shift_jis": "これは日本語の文章です。今日は天気がいいですね。散歩に行きましょう。", "gb18030": "这是一个中文文本。今天天气很好，我们去公园散步吧。",
             "koi8-r": "Привет, это русский текст. Сегодня хорошая погода. ", "cp1251": "Привет, это русский текст. Сегодня хорошая погода. ",
             "cp1252": "“Größe” – déjà vu, 5 €. ", "latin-1": "Größe und Länge, déjà vu. "}

@pytest.mark.parametrize("encoding", SENTENCES)
def test_encodings_are_guessed_after_the_letters(tmp_path, encoding):
    pytest.importorskip("charset_normalizer")
    text = SENTENCES[encoding] * 10
    (tmp_path / "x.txt").write_bytes(text.encode(encoding))
    assert read_text(tmp_path / "x.txt") == text == "\n".join(Files(tmp_path).lines("x.txt"))

def test_one_bad_byte_spoils_no_text(tmp_path):
    (tmp_path / "x.txt").write_bytes("Größe ".encode() * 1_000 + b"\xff" + "ä".encode() * 9)
    assert read_text(tmp_path / "x.txt") == "Größe " * 1_000 + "\ufffd" + "ä" * 9

def test_pages_of_a_pdf(tmp_path):
    pytest.importorskip("pypdf")
    def page(text): return b"BT /F1 12 Tf 20 100 Td (" + text + b") Tj ET"
    parts = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R 4 0 R]/Count 2>>"]
    parts += [b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Resources<</Font<</F1 7 0 R>>>>/Contents %d 0 R>>" % n for n in (5, 6)]
    parts += [b"<</Length %d>>stream\n%s\nendstream" % (len(page(t)), page(t)) for t in (b"First page", b"Second page")]
    raw, at = b"%PDF-1.4\n", []
    for n, part in enumerate([*parts, b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"], 1):
        at.append(len(raw))
        raw += b"%d 0 obj%s endobj\n" % (n, part)
    table = b"".join(b"%010d 00000 n \n" % i for i in at)
    raw += b"xref\n0 8\n0000000000 65535 f \n" + table + b"trailer<</Size 8/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(raw)
    (tmp_path / "x.pdf").write_bytes(raw)
    assert [p.strip() for p in Files(tmp_path / "x.pdf").content().split("\f")] == ["First page", "Second page"]

@pytest.mark.parametrize("name, kind", [("x.docx", "Word document"), ("x.pdf", "PDF document")])
def test_a_broken_document_is_told_before_a_model_is_asked(tmp_path, name, kind):
    pytest.importorskip("mammoth")
    (tmp_path / name).write_bytes(b"PK\x03\x04 torn")
    model = ScriptedLM(["FINAL(no)"])
    with pytest.raises(ConfigurationError, match=f"{name} can't be read as a {kind}"):
        RLM(model, verbose=False).completion("?", context=tmp_path / name)
    assert model.calls == []

# --- more of addresses

class Odd(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/nonsense": return self.wfile.write(b"nonsense\r\n\r\n")
        if self.path == "/slow": return time.sleep(2)
        self.send_response(200)
        kind, body = {"/koi8": ("text/plain; charset=koi8-r", "да".encode("koi8-r")), "/unknown": ("text/plain; charset=no-such", b"yes"),
                      "/big": ("text/plain", b"x" * 200), "/short": ("text/plain", b"cut")}.get(self.path, ("text/plain", self.path.encode()))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) + 9 * (self.path == "/short")))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): ...

@pytest.fixture
def odd():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()

def test_an_answer_is_read_as_the_server_says(odd):
    assert [Files(odd + path).content() for path in ("/koi8", "/unknown", "/größe", "/a%2Fb", "/..", "/%00")] == \
        ["да", "yes", "/gr%C3%B6%C3%9Fe", "/a%2Fb", "/..", "/%00"]
    assert Files(odd).content() in ("", "/")
    assert Files(odd + "/" + "x" * 1_000).content() == "/" + "x" * 1_000

@pytest.mark.parametrize("path", ["/nonsense", "/short", "/slow", "/big"])
def test_a_server_that_fails_is_told_in_a_sentence(odd, path, monkeypatch):
    monkeypatch.setattr(rlm.files, "LIMIT", 100)
    monkeypatch.setattr(rlm.files, "PATIENCE", 0.5)
    with pytest.raises(ConfigurationError, match=f"{path} (can't be read|has more than 100 bytes)"): Files(odd + path)

@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://example.org/x", "data:text/plain,x"])
def test_other_addresses_are_none(address):
    with pytest.raises(ConfigurationError, match="There is no file"): Files(address)

def test_what_came_from_an_address_goes_with_it_and_is_not_fetched_again(web, notes):
    files = Files(f"http://127.0.0.1:{web.server_address[1]}/page")
    folder = files.path("page.html").parent.parent
    log = logged(notes, files, "FINAL(1)")
    asked = len(web.asked)
    assert "is not read again" in read_log(log)[0].missing["context"] and len(web.asked) == asked
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del files
        gc.collect()
    assert not folder.exists()

# --- more of logs, and of what is told

@pytest.mark.parametrize("change", [{"path": "a\0b"}, {"path": "\ud800"}, {"path": "/etc"}, {"path": "x" * 5_000}, {"path": "/dev/zero", "size": 0}, {"size": 2**62},
                                    {"sha256": "ends:"}, {"only": []}, {"name": 3}, {"path": None}])
def test_a_changed_entry_is_missing_or_an_error(notes, change):
    log = logged(notes, notes / "a.txt", "FINAL(1)")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    lines[1]["context"]["files"][0].update(change)
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    try: assert read_log(log)[0].missing or change == {"only": []}
    except RLMError: assert {type(x) for x in change.values()} <= {int, type(None)}

def test_each_turn_brings_files(notes):
    log = RLMLogger(notes.parent / "logs")
    session = answering("FINAL(context)", "FINAL(len(context))", logger=log).start_session()
    session.chat("First?", context=notes / "a.txt")
    assert session.chat("Second?", context=notes).value == 3
    log.path.with_suffix(".trace.ipynb").write_text(trace_notebook(log.path))
    assert set(verify(log.path.with_suffix(".trace.ipynb")).values()) == {"equal"}
    (notes / "a.txt").write_text("changed")
    assert [run.missing.get("context") for run in read_log(log.path)] == ["a.txt has changed since"] * 2

@pytest.mark.parametrize("environment", ["local", "jupyter"])
def test_files_and_tables_are_not_checked_for_changes(notes, environment, monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell
    InteractiveShell.instance()
    monkeypatch.setattr(rlm.files, "read_text", lambda path: pytest.fail("read"))
    session = answering("kept = [context]\nFINAL(1)", "kept.append(context)\nSHOW_VARS()\nFINAL(2)", environment=environment).start_session()
    session.chat("?", context=notes)
    result = session.chat("?", context=notes / "t.csv")
    assert result.value == 2 and "could not be checked" not in repr(result.changes) and not result.changes.unchecked
