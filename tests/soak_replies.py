"""What the server of `soak.py` answers: code of all kinds, replies that are hardly any, and HTTP that breaks.

All of it is drawn from a `random.Random`, so that a run's number and the seed bring the same replies again.
"""
from __future__ import annotations
import json, random

from hostile_corpus import TEXTS
from parsing_corpus import CORPUS
from server import HANG, RESET, Http, completion

# Code that a model could write, by what it is there for. `{n}` becomes a number.
CODES = {
    "plain": ["x = len(context)\nprint(x)", "words = str(context).split()\nx = len(words)", "x = sorted(str(context))[:5]\nx", "print(SHOW_VARS())", "import re, json, math\nx = [json.dumps(i) for i in range(3)]\nx",
              "def f(n): return n if n < 2 else f(n - 1) + f(n - 2)\nx = f(12)\nprint(x)", "import asyncio\nawait asyncio.sleep(.005)\nx = 1\nx", "class Thing:\n    n = 1\nx = Thing().n\nprint(x)",
              "with open('/dev/null', 'w') as f: x = f.write('abc')\nx", "x = {i: [i] * i for i in range(40)}\nx", "import random\nx = random.random()\nprint(x)"],
    "asks": ["x = llm_query('sub {n}')\nprint(x)", "x = llm_query_batched(['sub {n} ' + str(i) for i in range(5)])\nprint(x)", "x = rlm_query('sub {n}', context='abc')\nprint(x)",
             "x = rlm_query_batched(['sub {n} a', 'sub {n} b'])\nprint(x)", "try: x = llm_query('sub {n}', model='nobody')\nexcept Exception as e: x = str(e)\nprint(x)", "x = llm_query_batched('sub {n}', ['a', 'b', 'c'])\nx",
             "import threading\nfound = []\nts = [threading.Thread(target=lambda i=i: found.append(llm_query(f'sub {n} {i}'))) for i in range(3)]\n[t.start() for t in ts]\n[t.join() for t in ts]\nx = found\nx",
             "x = llm_query_batched([])\nx", "x = llm_query(7)", "keep = llm_query\nx = keep('sub {n}')"],
    "raises": ["1 / 0", "raise ValueError('no ' * 5000)", "int('x')", "undefined", "x = [", "raise KeyError(context)", "raise BaseException('odd')", "raise KeyboardInterrupt", "def f(): f()\nf()", "assert False, context",
               "class E(Exception):\n    def __str__(self): raise RuntimeError('no text')\nraise E", "class B:\n    def __repr__(self): 1 / 0\nB()", "raise GeneratorExit", "raise StopIteration", "bytes(10 ** 15)",
               "import asyncio\nasync def f(): 1 / 0\nawait asyncio.gather(f(), f())", "import no_such_module", "return 5", "yield 5", "\x00", "x = 'a\ud800b'\nprint(x)"],
    "exits": ["import sys\nsys.exit(3)", "exit()", "quit()", "raise SystemExit('x')", "import sys\ntry: 1 / 0\nexcept Exception: sys.exit(0)"],
    "floods": ["while True: print('x' * 50)", "print('y' * 500_000)", "import sys\nfor i in range(5_000): print(i, file=sys.stderr)", "['z' * 1_000] * 1_000", "while True:\n    try: print('again')\n    except Exception: pass",
               "for i in range(300): display(i)", "import warnings\nfor i in range(50): warnings.warn(f'w{i}')"],
    "hangs": ["while True: pass", "import time\ntime.sleep(.6)", "while True:\n    try: 1 / 0\n    except Exception: pass", "import asyncio\nawait asyncio.sleep(60)", "import time\nwhile True: time.sleep(.01)",
              "while True:\n    try:\n        while True: pass\n    except: pass", "sum(i for i in iter(int, 1))", "import asyncio\nwhile True: await asyncio.sleep(.001)"],
    "leaves": ["import threading, time\nthreading.Thread(target=time.sleep, args=[.3]).start()", "import asyncio\ntasks = [asyncio.ensure_future(asyncio.sleep(30)) for _ in range(3)]\nawait asyncio.sleep(0)",
               "import subprocess\np = subprocess.Popen(['sleep', '.2'])", "f = open('/dev/null')", "import socket\ns = socket.socket()", "import asyncio\nasync def late():\n    await asyncio.sleep(.2)\n    1 / 0\nt = asyncio.create_task(late())\nawait asyncio.sleep(0)",
               "import threading\nt = threading.Thread(target=lambda: llm_query('sub {n}'))\nt.start()", "import concurrent.futures as cf\npool = cf.ThreadPoolExecutor(2)\nlist(pool.map(str, range(5)))",
               "a = []\na.append(a)\nclass Ring:\n    def __del__(self): print('gone')\nr = Ring()\nr.r = r\ndel r", "def gen():\n    try: yield 1\n    finally: print('closed')\ng = gen()\nnext(g)",
               "import tempfile\nt = tempfile.TemporaryFile()"],
    "breaks": ["llm_query = 5", "del context", "print = None", "FINAL = 1\nprint(FINAL)", "import sys\nsys.stdout = None", "import sys\nsys.stdout.close()", "import builtins\nprint(builtins.llm_query)", "globals().clear()",
               "import gc\ngc.collect()", "import sys\nsys.setrecursionlimit(sys.getrecursionlimit())", "import logging\nlogging.warning('w')", "input('?')", "__name__ = 'x'\n__builtins__ = None", "context = context",
               "import sys\nsys.stdout = sys.stderr", "list = dict = str = None", "import sys\nx = sys._getframe().f_back\ndel x", "%time 1", "!echo shell", "get_ipython()", "answer['content'] = 'a'"],
    "ends": ["FINAL(x)", "FINAL(len(str(context)))", "FINAL_VAR('x')", "FINAL('done')\nprint('never')", "x = 7\nFINAL(x)\n1 / 0", "answer['content'] = 'told'\nanswer['ready'] = True", "try: FINAL(3)\nexcept BaseException: pass\nprint('on')",
             "FINAL(None)", "FINAL({'a': [1, 2]})", "FINAL(FINAL)", "FINAL(object())", "FINAL(context)", "FINAL(lambda: 1)", "FINAL(float('nan'))", "FINAL('x' * 300_000)"]}

ENDS = ["FINAL(Blue)", "FINAL(42)", "FINAL_VAR(x)", "FINAL(x)", "**FINAL(x)**", "> FINAL(\"quoted\")", "So it is FINAL(12).", "FINAL([1, 2,\n 3])", "FINAL(", "FINAL()", "FINAL_VAR(nothing_there)", "FINAL(a_b)", "FINAL(1)\nFINAL(2)",
        "FINAL(llm_query('sub end'))", "`FINAL(x)`", "<think>FINAL(no)</think>FINAL(yes)", "FINAL(1 / 0)", "FINAL(" + "(" * 500 + ")" * 500 + ")", "FINAL({'a': 1})", "Final(x)", "FINAL(\"\"\"a\nb\"\"\")"]

def fenced(code: str, chance: random.Random) -> str:
    "A block as models fence it, mostly well."
    shapes = ["```repl\n{}\n```"] * 12 + [
        "I look.\n\n```repl\n{}\n```\nThen more.", "```python\n{}\n```", "````repl\n{}\n````", "   ```repl\n{}\n   ```", "```REPL\n{}\n```", "```repl\n{}", "~~~repl\n{}\n~~~", "```repl\n{}```", "<think>hm</think>```repl\n{}\n```",
        "```repl\n{}\n```\nFINAL(x)", "FINAL(x)\n```repl\n{}\n```", "```repl\n{}\n```\n```repl\nprint(1)\n```", "{}", "```\n{}\n```", "- ```repl\n  {}\n  ```", "```repl\r\n{}\r\n```"]
    return chance.choice(shapes).replace("{}", code)

def damaged(text: str, chance: random.Random) -> str:
    "The text with a part missing, doubled, or of another text."
    i, j = sorted(chance.randrange(len(text) + 1) for _ in range(2))
    return chance.choice([text[:i] + text[j:], text[:j] + text[i:], text[:i] + chance.choice(TEXTS) + text[i:], text[:i], text[::-1]])

def step(chance: random.Random, number: int, last: int, kinds: list[str]) -> str:
    "What the model says in the loop, at its `number`-th request; from the `last` on it mostly ends."
    if number >= last and chance.random() < .8: return chance.choice(ENDS) if chance.random() < .5 else fenced(code(chance, "ends"), chance)
    drawn = chance.random()
    if drawn < .04: text = chance.choice(CORPUS).reply
    elif drawn < .06: text = chance.choice(TEXTS)
    elif drawn < .08: text = chance.choice(["", " \n", "```repl\n```", "I don't know.", "```repl", "x" * 200_000])
    else: text = fenced(code(chance, chance.choice(kinds)), chance)
    return damaged(text, chance) if chance.random() < .06 else text

def code(chance: random.Random, kind: str) -> str: return chance.choice(CODES[kind]).replace("{n}", str(chance.randrange(1000)))

def whole(text: str, body: dict, chance: random.Random) -> dict:
    "A good completion, sometimes with what servers put into theirs."
    message, more, why = {"content": text}, {}, "stop"
    drawn = chance.random()
    if drawn < .03: message |= {"reasoning_content": "hm"}
    elif drawn < .05 and not body.get("stream"): message |= {"content": [{"type": "text", "text": text}]}
    elif drawn < .07: why = chance.choice(["length", "content_filter", "error", "tool_calls"])
    elif drawn < .09: more = {"system_fingerprint": "fp", "logprobs": [1.5], "": None}
    elif drawn < .10: message |= {"content": None}
    return completion(message, body, why, **more)

def uncounted(sent: dict, chance: random.Random) -> dict:
    "A completion whose usage is none."
    return sent | {"usage": chance.choice([None, {}, "much", {"prompt_tokens": -5}, {"prompt_tokens": 10 ** 30, "completion_tokens": "3"}, [1], {"prompt_tokens_details": None}])}

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

def fault(chance: random.Random, sent: dict, may_hang: bool) -> tuple[str, Http]:
    "The name of something that goes wrong with an answer, and how it looks on the wire."
    body = json.dumps(sent).encode()
    half, sized = body[:len(body) // 2], HEAD + b"content-length: %d\r\n\r\n" % len(body)
    soon = {"retry-after": chance.choice(["0", "0.01", "-1", "soon"]), "retry-after-ms": "5"}
    faults = {
        "429": Http(429, {"error": {"message": "slow down"}}, soon), "503": Http(503, "<html>busy</html>", soon), "500": Http(500, b"", soon), "400": Http(400, {"error": {"message": "no"}}),
        "401": Http(401, {"error": "who?"}), "404": Http(404, [1]), "too long": Http(400, {"error": {"message": "maximum context length is 1000 tokens", "code": "context_length_exceeded"}}),
        "reset": RESET, "reset in the body": Http(wire=(sized + half, .005, RESET)), "hung up in the body": Http(wire=(sized + half,)), "hung up": Http(wire=(0,)), "reset in the head": Http(wire=(HEAD, RESET)),
        "length too short": Http(wire=(HEAD + b"content-length: 9\r\n\r\n" + body,)), "length no number": Http(wire=(HEAD + b"content-length: many\r\n\r\n" + body,)),
        "no HTTP": Http(wire=(b"\x00\xff garbage\r\n\r\n" * 3,)), "no JSON": Http(body=body[:-7]), "HTML": Http(body="<html>hello</html>"), "no UTF-8": Http(body=b"\xff\xfe" + body),
        "no choices": Http(body={"choices": []}), "an error as an answer": Http(body={"error": {"message": "overloaded", "code": chance.choice([503, 400, "x", None])}}), "a list": Http(body=[1, 2]),
        "deep JSON": Http(body=b"[" * 50_000), "bad chunks": Http(wire=(HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n" + body,)), "a stream that breaks": Http(wire=(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {\"choices\": [{\"index\": 0, \"delta\": {\"content\": \"a\"}}]}\n\nda", RESET))}
    if may_hang: faults |= {"no answer": HANG}
    name = chance.choice(list(faults))
    return name, faults[name]

def slowly(sent: dict) -> Http:
    "A good answer that comes in pieces."
    body = json.dumps(sent).encode()
    parts = [body[i:i + len(body) // 4 + 1] for i in range(0, len(body), len(body) // 4 + 1)]
    return Http(wire=(HEAD + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body), *(x for part in parts for x in (part, .004))))
