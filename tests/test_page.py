"Results as pages: what they show, how large they get, and that nothing in them is more than text."
import ast, json, re, textwrap
from dataclasses import dataclass

import pytest
from rlm import RLM
from rlm.asynchronous import Stream
from rlm.completion import Request
from rlm.events import (BlockEnded, BlockStarted, ChildStep, Event, IterationEnded, ModelAsked, ModelReplied, Notice, Retrying, RunEnded, RunStarted,
                        SubCallEnded, SubCallStarted, UserAsked)
from rlm.lm import ScriptedLM
from rlm.parts import (block_html, calls_html, code_html, first_sentence, in_a_line, iteration_html, iteration_title, iterations_html, markdown_html,
                       output_html, text_html)
from rlm.timeline import Bar, bars_of, rows_of
from rlm.types import *
from rlm.utils.notebook import answer_html, banner_html, cells_of, page_html
from hostile_corpus import BUNDLES, TEXTS, check_html, check_markdown, check_terminal

def block(code): return f"```repl\n{code}\n```"

def asked(*replies, context=[1, 2, 3], question="How many?", **kw):
    "A scripted run."
    return RLM(ScriptedLM(list(replies)), verbose=False, **kw).completion(question, context=context)

def answer(x, **kw): return RLMChatCompletion("m", "What?", str(x), x, computed=True, **kw)

def summaries(page): return re.findall("<summary>(.*?)</summary>", page)

# -- a stranger's text

MORE = ["</details></div></table>evil", "[evil](HTTPS://evil.example) [evil](//evil.example) [evil](#evil) [evil](evil.html)", "<https://evil.example/a'b\"c>",
        '[evil](https://evil.example "evil\'><script>")', "![evil](data:image/png;base64,AAAA)", "\ud800evil\udfff", "evil" * 30_000, "\u202eevil\u2066" * 9, "\x1b[8mevil",
        "$$\\require{html}\\href{javascript:evil()}{x}$$", "\\(evil\\) \\[evil\\] \\begin{evil}x\\end{evil}", "```repl\n</pre><script>evil()</script>\n```", "> " * 200 + "evil",
        "|a|b|\n|:-|-:|\n|<b>evil</b>|$evil$|", "- a\n  - b\n\n    # evil", "&lt;script&gt;evil()&lt;/script&gt;", "'\"><img src=x onerror=evil()>", "a\0b<evil>"]
CORPUS = TEXTS + MORE

def hostile(text, outputs=()):
    "A run in which everything is `text`."
    child = RLMChatCompletion(text, text, text, iterations=(Iteration(Reply(text), text, (CodeBlock(text, CodeResult(text)),)),))
    call = SubCall(text, text, text, error=text, run=child, context=text)
    shown = ({"output_type": "display_data", "data": {"text/plain": text, "text/markdown": text}, "metadata": {}}, *outputs)
    blocks = (CodeBlock(text, CodeResult(text, text, shown, text, rlm_calls=(call,))), CodeBlock(text, CodeResult(ran=text)))
    return RLMChatCompletion(text, text, text, iterations=(Iteration(Reply(text), text, blocks), Iteration(Reply(text), block(text), blocks)), stop_reason=text)

@pytest.mark.parametrize("text", CORPUS, ids=lambda text: ascii(text[:60]))
def test_what_a_stranger_wrote_is_text_on_every_page(text):
    result = hostile(text)
    i = result.iterations[0]
    for page in (page_html(result), page_html(result, whole=True), answer_html(result), banner_html(result), iterations_html(result, room=0), markdown_html(text),
                 text_html(text), code_html(text), block_html(i.code_blocks[0]), calls_html(i.code_blocks[0].result.rlm_calls), iteration_html(None, i, open=True),
                 output_html({"text/markdown": text, "text/html": f"<table>{text}</table>"}), result.timeline()._repr_html_(), page_html(answer([text, {text: text}])),
                 result.diff(answer(1))._repr_html_(), answer(1).diff(result)._repr_html_(),
                 page_html(answer(text))): check_html(f'<div class="tex2jax_ignore mathjax_ignore">{page}</div>')
    for page in (page_html(result), markdown_html(text), iteration_html(1, i), calls_html(i.code_blocks[0].result.rlm_calls)): check_html(page)
    for line in (first_sentence(text), in_a_line(text), iteration_title(1, i)):
        check_terminal(line)
        assert "\n" not in line and len(line) < 400

@pytest.mark.parametrize("text", CORPUS, ids=lambda text: ascii(text[:60]))
def test_what_a_stranger_wrote_is_text_in_every_line(text):
    result = hostile(text)
    i, call = result.iterations[0], SubCall(text, text, text)
    events = [RunStarted(text, text, 3, context=text, messages=({"role": "user", "content": text},)), ModelAsked(1, Usage()), ModelReplied(1, Reply(text), Usage()),
              BlockStarted(1, text, Usage(), {text: text}), BlockEnded(1, i.code_blocks[0], Usage()), SubCallStarted(text, text, Usage(), context=text),
              SubCallEnded(call, Usage()), ChildStep((1,), BlockStarted(1, text, Usage()), Usage()), Retrying(text, text, Usage()), UserAsked(text, Usage()),
              IterationEnded(1, i, ()), Notice(text), RunEnded(result)]
    for event in events:
        line = repr(event)
        check_terminal(line.replace("\\", ""))
        assert "\n" not in line and len(line) < 700
    for shown in (repr(Request([{"role": "user", "content": text}])), repr(result.timeline()), repr(result.diff(answer(1))), str(answer(1).diff(result)), repr(list(bars_of(result))[0].label), *cells_of(result)): check_terminal(shown)
    check_markdown(result.trace_markdown)
    assert all(len(line) < 200 for line in repr(result.timeline()).split("\n"))

@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda b: ascii(b)[:80])
def test_what_code_displays_stays_in_its_place(bundle):
    output = {"output_type": "display_data", "data": bundle, "metadata": {"evil": 1}}
    for whole in (False, True): check_html(page_html(hostile("", [output]), whole))

class Own:
    "An object with forms of its own."
    def __init__(self, **forms): vars(self).update(forms)
    def __repr__(self): return "<b>evil</b>"

@pytest.mark.parametrize("name, form", [("_repr_html_", "<table><td onclick=evil()>6<script>evil()</script>"), ("_repr_html_", "<b>evil</b>"), ("_repr_markdown_", "# evil\n<b>evil</b>"),
                                        ("_repr_png_", b"\x89PNG evil"), ("_repr_png_", "><script>evil()"), ("_repr_html_", None), ("_repr_html_", 3), ("_repr_png_", ("evil", {}))])
def test_an_answer_shows_itself_only_as_a_page_may(name, form):
    kind = type("Kind", (Own,), {name: lambda self: form})
    check_html(page_html(answer(kind())))

@pytest.mark.parametrize("error", [ValueError("<b>evil</b>"), SystemExit(), RecursionError()])
def test_an_answer_that_cant_be_drawn_is_text(error):
    def fail(self): raise error
    for name in ("_repr_html_", "_repr_png_", "__repr__"):
        page = page_html(RLMChatCompletion("m", "What?", "six", type("Kind", (), {name: fail, "__str__": lambda self: "six"})(), computed=True))
        check_html(page)
        assert "six" in page
    class Stops:
        def _repr_html_(self): raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): page_html(answer(Stops()))

# -- what a page shows

def test_each_value_in_its_form():
    pd, plt, Image = pytest.importorskip("pandas"), pytest.importorskip("matplotlib.figure"), pytest.importorskip("PIL.Image")
    @dataclass
    class City:
        name: str
        sales: tuple
    assert "<td>Rome</td>" in page_html(answer(pd.DataFrame({"city": ["Rome"]})))
    figure = plt.Figure()
    figure.add_subplot().plot([1, 2])
    for x in (figure, figure.axes[0], Image.new("RGB", (3, 3))): assert '<img src="data:image/png;base64,' in page_html(answer(x))
    laid_out = answer_html(answer({"cities": [City("Rome", (1, 2, 3))] * 4, "of": "a long text " * 8}))
    assert laid_out.count("\n") > 3 and "City" in laid_out
    assert "<strong>6</strong>" in answer_html(answer("**6**")) and "<strong>" not in answer_html(answer(["**6**"]))
    for x in (3, 2.5, None, True): check_html(answer_html(answer(x)))

def test_an_answer_in_words_is_markdown():
    result = asked("FINAL(It is **6**, see [this](https://example.com).)")
    assert "<strong>6</strong>" in page_html(result) and 'href="https://example.com"' in page_html(result)
    assert not re.search(r"<h\d", page_html(asked("FINAL(# Title\n\n## More\n\ntext)")))

def test_no_code_stands_twice():
    result = asked("First this.\n\n" + block("one = 111\nprint(one)") + "\n\nThen that.\n\n" + block("two = 222\nprint(two)") + "\n\nDone.", "FINAL_VAR(two)")
    for page in (page_html(result), page_html(result, whole=True)):
        for said in ("one = ", "two = ", "<p>First this", "Then that", "Done"): assert page.count(said) == 1, said
        places = [page.index(said) for said in ("<p>First this", "one = ", "Then that", "two = ", "Done")]
        assert places == sorted(places)

def test_code_that_the_user_changed_or_refused():
    shown = [block_html(CodeBlock("old()", CodeResult(ran=ran))) for ran in (None, "new()", "")]
    assert ["new" in page for page in shown] == [False, True, False] and ["old" in page for page in shown] == [True, False, True]
    assert "You changed this" in shown[1] and "You did not allow" in shown[2] and "You" not in shown[0]

def test_figures_stand_under_the_answer_once():
    png = {"output_type": "display_data", "data": {"text/plain": "<Figure>", "image/png": "AAAA"}, "metadata": {}}
    run = RLMChatCompletion("m", "Draw.", "Done.", iterations=(Iteration(Reply("x"), "x", (CodeBlock("plot()", CodeResult(outputs=(png, png))),)),))
    assert page_html(run).count("AAAA") == 1 and page_html(run).count("&lt;Figure&gt;") == 2
    whole = page_html(run, whole=True)
    assert whole.count("AAAA") == 2 and "&lt;Figure&gt;" not in whole

@pytest.mark.parametrize("reason", "max_timeout max_tokens max_budget max_errors max_iterations repetition interrupted cancelled error unfinished".split())
def test_every_way_to_stop_is_said(reason):
    result = RLMChatCompletion("m", "What?", "", stop_reason=reason)
    words = re.sub("<.*?>", "", banner_html(result))
    assert banner_html(result) in page_html(result) and len(words) > 40 and words.endswith(".") and "None" not in page_html(result)
    assert reason in words or reason[:4] != "max_"
    assert banner_html(RLMChatCompletion("m", "What?", "6")) == ""

def test_credentials_stay_out_of_a_page():
    key = "sk-0123456789abcdefghij"
    result = RLMChatCompletion("m", "What?", "x", {"it": f"is {key}"}, computed=True, secrets=(key,), iterations=(Iteration(Reply("x"), f"Is it {key}?"),))
    for whole in (False, True): assert key not in page_html(result, whole)

def test_titles():
    wrong = CodeResult(error="Traceback (most recent call last):\n  File \"<run 1>\", line 1\npandas.errors.MergeError: no", rlm_calls=(SubCall("a", "b"),) * 2)
    i = Iteration(Reply(""), "# Plan\n\n1. **First** `sum` it. Then more.\n" + block("x"), (CodeBlock("x", wrong),), 1.25)
    assert iteration_title(2, i) == "2 · First sum it. · 2 sub-calls · 1.2 s · MergeError"
    assert iteration_title(None, Iteration(Reply(""), "")) == "best answer · 0.0 s"
    assert iteration_title(1, Iteration(Reply(""), block("# look\nx"), (CodeBlock("\n\n# look\nx", CodeResult(interrupted=True, error="KeyboardInterrupt")),))) == "1 · look · 0.0 s · stopped"
    assert [first_sentence(t) for t in ("See e.g. Rome. More.", "```repl\nx = 1", "I load it:\n```repl\nx", "no end", "a\nb. c", "# Only")] == [
        "See e.g. Rome.", "", "I load it", "no end", "a b. c", "Only"]
    assert len(first_sentence("x" * 5_000)) == 80 == len(first_sentence("word " * 5_000))

# -- how large it gets

PICTURE = re.compile(r"data:image/\w+;base64,[\w+/=]+")

def size(page): return len(PICTURE.sub("", page))

def big(n=30, calls=0, code=200, child=None):
    r = CodeResult("line\n" * 4_000, "w" * 20_000, ({"output_type": "display_data", "data": {"text/plain": "t" * 9_000, "text/html": "<table>" + "<tr><td>1</td></tr>" * 2_000 + "</table>"}, "metadata": {}},),
                   error="E" * 9_000, rlm_calls=(SubCall("p" * 9_000, "a" * 9_000, "model", Usage(9, 9, 1, 0.1), run=child),) * calls)
    i = Iteration(Reply(""), "Words. " * 2_000 + block("f('x', 1) # y\n" * code), (CodeBlock("f('x', 1) # y\n" * code, r),) * 2, 3.0)
    return RLMChatCompletion("m", "q" * 50_000, "a" * 200_000, iterations=(i,) * n)

@pytest.mark.parametrize("result", [big(), big(1), big(400), big(30, 40), big(2, 500), big(3, 60, child=big(5)), big(5, 20, child=big(3, 30, child=big(2)))], ids="30 1 400 calls 500 children deep".split())
@pytest.mark.slow
def test_a_page_is_bounded(result):
    page = page_html(result)
    check_html(page)
    assert 5_000 < size(page) <= 100_000 and size(page_html(result, whole=True)) <= 500_000
    assert page.count(" · 3.0 s") >= min(len(result.iterations), 200)  # each has its title

def test_pictures_do_not_make_the_rest_smaller():
    png = {"output_type": "display_data", "data": {"text/plain": "<Figure>", "image/png": "A" * 1_000_000}, "metadata": {}}
    run = lambda *outputs: RLMChatCompletion("m", "Draw.", "Done.", iterations=(Iteration(Reply("x"), "x", (CodeBlock("plot()", CodeResult("line\n" * 1_500, outputs=outputs)),)),))
    assert page_html(run(png)).count("line\n") == page_html(run()).count("line\n") > 1_000

# -- the timeline

def test_a_log_without_times_is_laid_out_in_order():
    calls = tuple(SubCall("a", "b", execution_time=1.0) for _ in range(6))
    i = Iteration(Reply("", execution_time=2.0), "", (CodeBlock("x", CodeResult(execution_time=3.0, rlm_calls=calls)), CodeBlock("y", CodeResult(execution_time=1.0))), 6.0)
    bars = list(bars_of(RLMChatCompletion("m", "", "", iterations=(i, i))))
    spans = lambda kind: [(round(b.start, 6), round(b.end, 6)) for b in bars if b.kind == kind]
    assert spans("reply") == [(0, 2), (6, 8)] and spans("code") == [(2, 5), (5, 6), (8, 11), (11, 12)]
    assert spans("call")[:6] == [(2, 3), (2, 3), (3, 4), (3, 4), (4, 5), (4, 5)]  # two at a time, since the block took half as long as its calls

def test_a_childs_times_begin_with_its_call():
    child = RLMChatCompletion("s", "", "", iterations=(Iteration(Reply("", execution_time=1.0, start=0.5), ""),))
    call = SubCall("a", "b", execution_time=2.0, run=child, start=4.0)
    i = Iteration(Reply("", execution_time=1.0, start=0.0), "", (CodeBlock("x", CodeResult(execution_time=6.0, rlm_calls=(call,), start=1.0)),), 7.0)
    rows = {row.label: row for row in rows_of(RLMChatCompletion("m", "", "", iterations=(i,)))}
    assert [(b.start, b.end) for b in rows["child 1"].bars] == [(4.5, 5.5)] and rows["child 1"].depth == 1

def test_timelines_of_no_run_and_of_a_very_large_one():
    for result in (RLMChatCompletion("m", "", ""), RLMChatCompletion("m", "", "", iterations=(Iteration(Reply(""), ""),)), big(2, 3_000)):
        drawn = result.timeline()._repr_html_()
        check_html(drawn)
        assert len(drawn) < 400_000 and repr(result.timeline())

def test_a_real_run_has_its_times():
    result = asked(block("import time\ntime.sleep(0.05)\nprint(llm_query('Hm?'))"), "Yes.", "FINAL(3)")
    bars = list(bars_of(result))
    assert [b.kind for b in bars] == ["reply", "code", "call", "reply"] and all(b.start <= b.end <= result.execution_time + 0.01 for b in bars)
    assert bars[1].start >= bars[0].end - 1e-3 and bars[2].start >= bars[1].start + 0.05 and bars[3].start >= bars[2].end - 1e-3

# -- the code as one's own

def ran(result, **names):
    "The answer that the cells of a result come to."
    for cell in cells_of(result): exec(compile(ast.parse(cell), "cell", "exec"), names)
    return names.get("final_answer")

@pytest.mark.parametrize("replies", [
    [block("total = sum(context)"), "FINAL_VAR(total)"], [block("total = sum(context)\nFINAL_VAR('total')")], [block("FINAL(sum(context))")], [block("n = 6; FINAL(n)")],
    [block("if context:\n    FINAL(  # the sum\n        sum(context)\n    )")], [block("1 / 0"), block("FINAL_VAR(sum(context))")], [block("import math\nboom"), block("FINAL(math.prod(context))")],
    [block("def add(xs): return sum(xs)\n1 / 0"), block("x = add(context)"), "FINAL_VAR(x)"], [block("é = 'ü'; FINAL(len(é) * sum(context))")], [block("x = 6"), block("x = 7\n1 / 0"), "FINAL_VAR(x)"],
], ids=lambda r: ascii(r[-1])[:60])
def test_cells_come_to_the_same_answer(replies):
    result = asked(*replies)
    if "x = 7" in replies[-2:][0]: assert result.value == 7 and ran(result, context=[1, 2, 3]) == 6  # what a block did before it raised is not in the cells
    else: assert ran(result, context=[1, 2, 3]) == result.value
    assert all("FINAL" not in cell for cell in cells_of(result)) and cells_of(result)[0].startswith("# From a run of scripted: How many?")

def test_cells_say_what_they_need():
    rlm = RLM(ScriptedLM([block("prices = 5"), "FINAL_VAR(prices)", block("print(llm_query_batched(['a', 'b']), SHOW_VARS())\ntotal = prices + len(context)"), "Yes.", "Yes.", "FINAL_VAR(total)"]),
              verbose=False, persistent=True)
    rlm.completion("Set it.")
    head = cells_of(rlm.completion("Use it.", context=[1, 2, 3]))[0].split("\n")
    told = [line for line in head if line.startswith("#")]
    assert told[1] == "# Set context to the data first. It was: list, 3 items of int = [1, 2, 3]" and told[-1] == "# Not set here: prices."
    assert told[-2] == "# Only a run has: SHOW_VARS." and any(line.startswith("# llm_query = lambda") for line in told)
    made = {"rlm": RLM(Said(), verbose=False)}
    for line in told:
        if " = lambda" in line: exec(line.removeprefix("# "), made)
    assert made["llm_query_batched"](["a", "b"]) == ["a!", "b!"] and made["llm_query"]("a", "b") == "a\n\nb!"

class Said:
    model = "said"
    def complete(self, messages): return Reply(messages[-1]["content"] + "!")

def test_cells_have_no_magics_and_no_marks_that_hide(capsys):
    result = asked(block("%%capture out\nprint(1)"), block("x = 'a\u202eb'\n!echo hi"), "FINAL(3)")
    text = "\n".join(cells_of(result))
    assert not re.search(r"^\s*[%!]", text, re.M)
    result.to_cells()
    shown = capsys.readouterr().out
    check_terminal(shown)
    asked("FINAL(3)").to_cells()
    assert capsys.readouterr().out == "No code led to this answer.\n"

def test_only_this_turn_becomes_cells():
    session = RLM(ScriptedLM([block("x = 1"), "FINAL_VAR(x)", block("y = 2"), "FINAL_VAR(y)"]), verbose=False).start_session()
    session.chat("One.")
    text = "\n".join(cells_of(session.chat("Two.")))
    assert "y = 2" in text and "x = 1" not in text

# -- short reprs

def test_usage_in_a_line():
    assert repr(Usage(3_000, 328, 4, 0.0123)) == "Usage(3,328 tokens: 3,000 in, 328 out · 4 calls · $0.0123)"
    assert repr(Usage(3_000, 8, 1, None, 1_200, 2, 30)) == "Usage(3,008 tokens: 3,000 in (1,200 cached), 8 out (30 tokens estimated) · 1 call and 2 unanswered · cost unknown)"

def test_a_preview_is_a_list():
    lm = ScriptedLM(["FINAL(3)"])
    rlm = RLM(lm, verbose=False)
    request = rlm.preview("How many?", context=[1, 2, 3])
    rlm.completion("How many?", context=[1, 2, 3])
    assert request == lm.calls[0] and isinstance(request, list) and json.loads(json.dumps(request)) == lm.calls[0]
    assert "── system, " in repr(request) and "How many?" in repr(request) and len(repr(request)) < 5_000

def test_every_event_has_a_line():
    heard = []
    RLM(ScriptedLM([block("print(llm_query('x' * 5_000))"), "Yes." * 5_000, "FINAL(3)"]), logger=heard.append).completion("q" * 5_000, context="c" * 50_000)
    assert all(len(repr(event)) < 400 and "\n" not in repr(event) for event in heard)
    assert repr(ModelAsked(2, Usage(3_000, 328, 4))) == "ModelAsked(iteration=2, spent=3,328 tokens)"
    kinds = {type(event).__name__ for event in heard}
    assert kinds <= {kind.__name__ for kind in Event.__args__} and all(kind.__repr__ is ModelAsked.__repr__ for kind in Event.__args__)

def test_a_stream_says_where_it_is():
    stream = RLM(ScriptedLM(["FINAL(3)"]), verbose=False).stream("How many? " * 50)
    states = [repr(stream)]
    next(stream)
    states.append(repr(stream))
    for _ in stream: pass
    states.append(repr(stream))
    assert [state.rpartition(", ")[2] for state in states] == ["not begun)", "under way)", "final)"] and max(map(len, states)) < 100

# -- in a kernel

@pytest.fixture(scope="module")
def k():
    from kernel import SET_UP, Kernel
    with Kernel() as k:
        k.ok(SET_UP)
        yield k

@pytest.mark.slow
def test_a_result_shows_its_page_in_a_kernel(k):
    cell = k.ok("result = scripted('x = 6', 'FINAL_VAR(x)').completion('How many?')\nresult")
    data = cell.outputs[-1]["data"]
    assert data.keys() == {"text/plain", "text/html"} and data["text/plain"].startswith("RLMChatCompletion('6'")
    check_html(data["text/html"])
    assert data["text/html"].count("<details") == 2
    shown, = k.ok("from rlm.utils.notebook import render_completion\nrender_completion(result)").shown
    assert shown["text/html"] == data["text/html"]

@pytest.mark.slow
def test_a_trace_in_a_kernel_has_no_headings(k):
    k.ok("session = scripted('x = 6', 'FINAL(# Title)', 'x += 1', 'FINAL_VAR(x)').start_session()\nsession.chat('One.')\nresult = session.chat('Two.')")
    shown, = k.ok("result.render_trace()").shown
    page = shown["text/html"]
    assert page.count("<details") == page.count("open") == 4 and "<hr>" in page and "text/markdown" not in shown and not re.search(r"<h\d", page)
    for part in page.split("<hr>"): check_html(part)

@pytest.mark.slow
def test_a_kernel_puts_the_cells_below(k):
    k.ok("result = scripted('x = sum(data)', 'FINAL_VAR(x)', **READ).completion('How many?') if (data := [1, 2, 3]) else 0")
    sent = k.client.execute("result.to_cells()")
    while (reply := k.client.get_shell_msg(timeout=30))["parent_header"]["msg_id"] != sent: pass
    payload, = reply["content"]["payload"]
    assert payload["source"] == "set_next_input" and not payload["replace"]
    assert payload["text"].endswith("x = sum(data)\n\n# %%\nfinal_answer = x\nfinal_answer") and "# Not set here: data." in payload["text"]
    assert k.ok(payload["text"]).result == "6"
