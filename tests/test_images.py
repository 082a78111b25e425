"Pictures over real HTTP: what arrives is decoded, and logs, replays and caches tell two of them apart."
import asyncio, base64, io, json, os, sys
from pathlib import Path

import pytest
pillow = pytest.importorskip("PIL.Image")
from rlm import RLM
from rlm.images import as_images
from rlm.lm import ScriptedLM
from rlm.logger import RLMLogger, read_log
from rlm.replay import Replay, replay
from rlm.types import ConfigurationError, Image
from rlm.utils.trace_notebook import trace_notebook
from server import ChatServer, Http
from test_subcalls import first_block, rlm_for

def png(color="teal", size=(8, 6)) -> bytes:
    out = io.BytesIO()
    pillow.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()

def text(message) -> str:
    return message["content"] if isinstance(message["content"], str) else message["content"][0]["text"]

def pictures(message) -> list:
    "The pictures of a message as they arrived, decoded."
    found = []
    for part in message["content"] if isinstance(message["content"], list) else []:
        if part["type"] != "image_url": continue
        head, data = part["image_url"]["url"].split(";base64,")
        found.append(pillow.open(io.BytesIO(base64.b64decode(data, validate=True))))
        assert head == f"data:image/{found[-1].format.lower()}"
    return found

def color(message) -> str:
    return {(0, 128, 128): "teal", (255, 0, 0): "red"}[pictures(message)[0].convert("RGB").getpixel((0, 0))]

def sees(code):
    "A server's replies: the root runs `code`, and every sub-call is answered by the color of its picture."
    def reply(body):
        messages = body["messages"]
        if messages[0]["role"] != "system": return color(messages[0])
        return "FINAL(done)" if text(messages[-1]).startswith("Output:") else f"```repl\n{code}\n```"
    return reply

CODE = f"""red, teal = {png("red")!r}, {png()!r}
print(llm_query("Which color?", images=[teal]), llm_query("Which color?", images=red), llm_query("Which color?", images=[red, teal]))"""

def test_a_sub_call_shows_what_it_was_given():
    with ChatServer(sees(CODE)) as s: result = rlm_for(s).completion("go", context=1)
    assert first_block(result).stdout == "teal red red\n"
    calls = first_block(result).rlm_calls
    assert [len(pictures(m[0])) for m in s.messages[1:4]] == [1, 1, 2] == [len(c.images) for c in calls]
    assert text(s.messages[1][0]) == calls[0].prompt and "images" not in s.messages[1][0]
    assert calls[0].prompt.startswith("Which color?\n\n[picture: PNG, 8 × 6, ")

@pytest.mark.parametrize("given", ["path", "Path", "bytes", "pillow", "figure", "bmp", "an Image"])
def test_every_kind_of_picture_arrives(given, tmp_path):
    (tmp_path/"a.png").write_bytes(png())
    pillow.new("RGB", (8, 6), "teal").save(tmp_path/"a.bmp")
    if given == "figure":
        pytest.importorskip("matplotlib")
        from matplotlib.figure import Figure
        picture = Figure(figsize=(2, 1), dpi=50)
    else: picture = {"path": str(tmp_path/"a.png"), "Path": tmp_path/"a.png", "bytes": png(), "bmp": tmp_path/"a.bmp",
                     "pillow": pillow.new("RGBA", (8, 6), "teal"), "an Image": as_images(png())[0]}[given]
    with ChatServer("FINAL(seen)") as s: rlm_for(s).completion("What is this?", images=[picture])
    arrived, = pictures(s.messages[0][-1])
    assert arrived.size == ((100, 50) if given == "figure" else (8, 6)) and arrived.format == "PNG"

def test_a_photo_is_the_right_way_up_and_colours_that_a_png_lacks_become_others():
    photo, exif = pillow.new("RGB", (2_000, 1_000)), pillow.Exif()
    exif[0x112] = 6  # taken with the camera on its side
    photo.save(out := io.BytesIO(), "JPEG", exif=exif)
    assert as_images(out.getvalue())[0].size == "768 × 1536"
    pillow.new("CMYK", (4, 4)).save(tiff := io.BytesIO(), "TIFF")
    assert [i.size for i in as_images([pillow.new("CMYK", (4, 4)), pillow.new("HSV", (5, 5)), tiff.getvalue()])] == ["4 × 4", "5 × 5", "4 × 4"]
    pillow.new("F", (4, 4)).save(numbers := io.BytesIO(), "TIFF")
    for bad in (pillow.new("F", (4, 4)), pillow.new("I", (4, 4)), numbers.getvalue()):
        with pytest.raises(ConfigurationError, match="Scale them to 0 to 255"): as_images(bad)

def test_a_large_one_is_scaled_down_and_a_photo_stays_one(tmp_path):
    pillow.effect_noise((3_000, 2_000), 90).convert("RGB").save(tmp_path/"photo.jpg", quality=95)
    with ChatServer("FINAL(seen)") as s: rlm_for(s).completion("What is this?", images=[tmp_path/"photo.jpg", png(size=(10, 4_000))])
    photo, tall = pictures(s.messages[0][-1])
    assert (photo.size, photo.format, tall.size) == ((1_536, 1_024), "JPEG", (4, 1_536))

def test_without_pillow_pictures_go_as_they_are_and_large_ones_not(monkeypatch):
    data = png()
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert as_images(data)[0].data == data
    with pytest.raises(ConfigurationError, match="6.0 MB is too large.*pip install pillow"): as_images(data + b"x" * 6_000_000)
    with pytest.raises(ConfigurationError, match="Other kinds want Pillow"): as_images(b"BM....")

def test_no_picture_starts_another_program(tmp_path, monkeypatch):
    "Pillow hands PostScript to Ghostscript, which runs it."
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/called\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n{} loop\n%%EOF\n"
    with pytest.raises(ConfigurationError, match="no picture that can be read"): as_images(script)
    assert not (tmp_path / "called").exists()

@pytest.mark.parametrize("bad, said", [("none.png", "can't be read"), (5, "not int"), (b"%PDF-1.7", "no picture"), (b"", "no picture"),
                                       ({"a": 1}, "not dict"), (png()[:40], "no picture"), ("a\0b", "can't be read")])
def test_what_is_no_picture_is_refused_before_anything_is_asked(bad, said):
    with ChatServer("FINAL(seen)") as s:
        for images in (bad, [bad]):
            with pytest.raises(ConfigurationError, match=said): rlm_for(s).completion("What is this?", images=images)
        assert not s.requests

def test_the_root_sees_it_in_each_request_and_its_code_has_the_bytes():
    code = "```repl\nimport io\nfrom PIL import Image\nprint(Image.open(io.BytesIO(images[0])).size, llm_query('Which color?', images=images))\n```"
    with ChatServer([code, "teal", "FINAL(teal)"]) as s: result = rlm_for(s).completion("Which color?", images=png())
    assert [color(m[5]) for m in (s.messages[0], s.messages[2])] == ["teal"] * 2 and first_block(result).stdout == "(8, 6) teal\n"
    assert text(s.messages[0][5]).endswith("(Their bytes are in the REPL: the list `images`.)")
    assert json.dumps(result.to_dict()) and all(isinstance(m["content"], str) for m in result.messages)

def test_every_way_to_ask_takes_them():
    with ChatServer("FINAL(seen)") as s:
        rlm = rlm_for(s)
        session = rlm.start_session()
        session.chat("One?", images=png())
        session.chat("Two?")
        list(rlm.stream("Three?", images=png()))
        asyncio.run(rlm.acompletion("Four?", images=png()))
        asyncio.run(rlm.start_session().achat("Five?", images=png()))
        assert len(rlm.preview("Six?", images=png())[-1]["images"]) == len(session.preview("Seven?", images=png())[-1]["images"]) == 1
    assert [sum(map(len, map(pictures, m))) for m in s.messages] == [1] * 5

def test_a_later_turn_finds_the_pictures_of_an_earlier_one(tmp_path):
    logger, code = RLMLogger(tmp_path), "```repl\nprint(len(images), images[0][:4])\n```"
    with ChatServer(["FINAL(one)", code, "FINAL(two)"]) as s:
        session = rlm_for(s, logger=logger).start_session()
        session.chat("One?", images=png())
        second = session.chat("And now?")
    assert first_block(second).stdout == "1 b'\\x89PNG'\n"
    first, run = read_log(logger.path)
    Replay(logger.path, first.id).end()
    r = Replay(logger.path, run.id)
    r.block(1, code.strip("`repl\n"))
    assert r.environment.namespace["images"] == [png()]

@pytest.mark.parametrize("status, said", [(400, "image_url is only supported by certain models"), (404, "No endpoints found that support image input"),
                                          (422, "messages[0].content must be a string"), (400, "this model is not multimodal")])
def test_a_server_that_sees_nothing_is_told_of_in_words(status, said):
    with ChatServer(Http(status, {"error": {"message": said}})) as s:
        with pytest.raises(Exception) as e: rlm_for(s).completion("What is this?", images=png())
    assert "test-model can't be shown pictures" in str(e.value) and said in str(e.value) and "Ask a model that can see" in str(e.value)

def test_a_backend_that_does_not_see_is_not_asked():
    class Blind:
        model = "blind"
        def complete(self, messages): raise AssertionError("was asked")
    root = ScriptedLM([f"```repl\nllm_query('What?', images={png()!r})\n```", "FINAL(no)"])
    result = RLM(root, other_backends=[Blind()], verbose=False).completion("go", context=1)
    assert "SubcallError: llm_query failed: blind can't be shown pictures" in first_block(result).error

def test_a_log_has_digests_and_the_pictures_beside_it_and_its_replay_is_equal(tmp_path):
    logger = RLMLogger(tmp_path)
    with ChatServer(sees(CODE)) as s: result = rlm_for(s, logger=logger).completion("go", context=1, images=[png("red")])
    assert sorted(p.read_bytes() for p in tmp_path.glob("image_*.png")) == sorted([png(), png("red")])
    line = Path(logger.path).read_text()
    assert base64.b64encode(png())[:60].decode() not in line and len(line) < 20_000
    run, = read_log(logger.path)
    assert run.images == as_images(png("red")) and run.images[0].data == png("red")
    calls = run.result.iterations[0].code_blocks[0].result.rlm_calls
    assert calls == first_block(result).rlm_calls and [c.response for c in calls] == ["teal", "red", "red"]
    r = Replay(logger.path, run.id)
    assert r.environment.namespace["images"] == [png("red")]
    r.block(1, CODE)
    again = RLM(replay(logger.path), verbose=False).completion("go", context=1, images=[png("red")])
    assert again.response == "done" and first_block(again).stdout == "teal red red\n"

def test_a_trace_shows_them_where_they_lie(tmp_path):
    logger = RLMLogger(tmp_path)
    with ChatServer(sees(CODE)) as s: result = rlm_for(s, logger=logger).completion("go", context=1, images=[png("red")])
    cells = "\n".join("".join(c["source"]) for c in json.loads(trace_notebook(logger.path))["cells"] if c["cell_type"] == "markdown")
    for picture in tmp_path.glob("image_*.png"): assert f"]({picture.name})" in cells
    assert result.trace_markdown.count("](data:image/png;base64,") == 5

def test_a_log_whose_pictures_are_gone_or_others_is_read_all_the_same(tmp_path):
    logger = RLMLogger(tmp_path)
    RLM(ScriptedLM(["```repl\nprint(len(images))\n```", "FINAL(x)"]), logger=logger, verbose=False).completion("go", images=[png(), png("red")])
    first, second = [i.file for i in read_log(logger.path)[0].images]
    (tmp_path/first).unlink()
    (tmp_path/second).write_bytes(b"another")
    run, = read_log(logger.path)
    assert [i.data for i in run.images] == [b"", b""]

@pytest.mark.parametrize("images", [[{"kind": "../x", "digest": "../../etc/passwd"}], [{"kind": 5}], "x", [5], [{"kind": "png"}]])
def test_a_log_with_strange_pictures_reads_no_other_file(tmp_path, images):
    logger = RLMLogger(tmp_path)
    RLM(ScriptedLM(["FINAL(x)"]), logger=logger, verbose=False).completion("go", images=png())
    lines = [json.loads(line) for line in Path(logger.path).read_text().splitlines()]
    lines[1]["images"] = images
    Path(logger.path).write_text("".join(json.dumps(line) + "\n" for line in lines))
    try: assert [i.data for i in read_log(logger.path)[0].images] == [b""]
    except Exception as e: assert "this is not what rlm wrote" in str(e)

def test_a_run_is_resumed_with_them(tmp_path):
    logger = RLMLogger(tmp_path)
    code = "```repl\nprint(len(images[0]), llm_query('Which color?', images=images))\n```"
    with ChatServer([code, "teal", "FINAL(one)", "FINAL(two)", "FINAL(three)"]) as s:
        result = rlm_for(s, logger=logger).completion("go", images=png())
        again = [rlm_for(s).resume(what, from_iteration=2) for what in (logger.path, result)]
    assert [r.response for r in again] == ["two", "three"] and len(s.requests) == 5
    assert [color(m[5]) for m in (s.messages[3], s.messages[4])] == ["teal"] * 2

def test_the_cache_tells_pictures_apart(tmp_path):
    with ChatServer(sees(CODE)) as s:
        for _ in range(2): result = rlm_for(s, cache=tmp_path/"replies.sqlite").completion("go", context=1)
    assert first_block(result).stdout == "teal red red\n" and [c.usage.reused for c in first_block(result).rlm_calls] == [1, 1, 1]
    assert len(s.requests) == 2 + 3 + 2

def test_a_typed_question_about_a_picture_shows_it_once():
    code = f"print(llm_query('Which color?', type=['teal', 'red'], images={png()!r}))"
    def reply(body):
        if body["messages"][0]["role"] == "system": return sees(code)(body)
        return "green?" if len(body["messages"]) == 1 else color(body["messages"][0])
    with ChatServer(reply) as s: result = rlm_for(s).completion("go", context=1)
    assert first_block(result).stdout == "teal\n"
    assert [len(pictures(m)) for m in s.messages[2]] == [1, 0, 0]

def test_an_image_is_small_in_words_and_whole_in_a_notebook():
    image, = as_images(png())
    assert "data=" not in repr(image)
    assert base64.b64decode(image._repr_mimebundle_()["image/png"]) == png()
    assert Image("png", "0" * 64)._repr_mimebundle_().keys() == {"text/plain"}
