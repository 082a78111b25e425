"""Replies as models write them, and what is in each. The ugly ones come first.

Those of `QWEN` are verbatim from Qwen2.5-Coder-0.5B-Instruct (the last one from SmolLM2-135M-Instruct); the others were
written by hand after the habits of many models.
`blocks` are `(language, code)`, `final` is the answer's text, or `Var(name)`, `reasoning` what was thought.
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Var:
    name: str  # of a FINAL_VAR


@dataclass(frozen=True)
class Case:
    name: str
    reply: str
    blocks: tuple = ()
    final: object = None
    reasoning: str | None = None
    finish_reason: str = "stop"
    cut: bool = False


def repl(*codes): return tuple(("repl", c) for c in codes)
def python(*codes): return tuple(("python", c) for c in codes)


UGLY = [
    Case("fences of a few-shot prompt inside of a string", '''\
I'll classify the lines with a sub-model.

```repl
prompt = """Classify the line. Reply like this:
```json
{"label": "spam"}
```
or like this:
```json
{"label": "ham"}
```
Line: """
labels = llm_query_batched([prompt + l for l in context.splitlines()])
print(labels[:5])
```
''', repl('''\
prompt = """Classify the line. Reply like this:
```json
{"label": "spam"}
```
or like this:
```json
{"label": "ham"}
```
Line: """
labels = llm_query_batched([prompt + l for l in context.splitlines()])
print(labels[:5])''')),
    Case("fence that ends together with its string", '''\
```repl
out = llm_query(f"""Fix this:
```python
{context}
```""")
print(out)
```''', repl('out = llm_query(f"""Fix this:\n```python\n{context}\n```""")\nprint(out)')),
    Case("bare fences inside of a string", """\
```python
template = '''
```
{body}
```
'''
print(template.format(body=context[:50]))
```
Now we wait.""", python("template = '''\n```\n{body}\n```\n'''\nprint(template.format(body=context[:50]))")),
    Case("string never closed, and a second block", '''\
```repl
print("""Looking at the context
```

Then, once we have seen it:

```repl
print(len(context))
```''', repl('print("""Looking at the context', "print(len(context))")),
    Case("two strings never closed", "```repl\nx = \"\"\"a\n```\nand\n```repl\ny = \"\"\"b\n```",
         repl('x = """a', 'y = """b')),
    Case("closing fence forgotten", """\
```repl
n = context.count("Oslo")
```repl
print(n)
```
FINAL_VAR(n)""", repl('n = context.count("Oslo")', "print(n)"), Var("n")),
    Case("closed twice", """\
```repl
print(1)
```
```

Next I'd sum them up.

```repl
print(2)
```""", repl("print(1)", "print(2)")),
    Case("everything wrapped in one more fence", "```\n```repl\nprint(context[:100])\n```\n```",
         repl("print(context[:100])")),
    Case("closing fence on the last line of code", "Sure!\n```python\nprint(context[:500])```",
         python("print(context[:500])")),
    Case("never closed", "Let me see.\n\n```repl\nfor line in context.splitlines()[:3]:\n    print(line)\n",
         repl("for line in context.splitlines()[:3]:\n    print(line)")),
    Case("never closed, cut by length", "```repl\nwords = context.split()\nfor w in wor",
         finish_reason="length", cut=True),
    Case("second block cut by length", "```repl\nx = 1\n```\nand\n```repl\ny = [", repl("x = 1"),
         finish_reason="length", cut=True),
    Case("cut by length inside of a fence inside of a string", '```repl\np = """Say\n```json\n{}\n```\nor el',
         finish_reason="length", cut=True),
    Case("cut by length right after a block", "```repl\nprint(1)\n```\nThis will tell us", repl("print(1)"),
         finish_reason="length"),
    Case("cut by length in prose", "I would first look at the", finish_reason="length"),
    Case("cut by length in an example that would not run", '```json\n{"a": [1, 2', finish_reason="length"),
    Case("steps of a list, code indented with them", """\
1. **Look at the context**

   ```repl
   lines = context.splitlines()
   for l in lines:
       print(l)
   ```

2. **Count**

   - ```python
     print(len(lines))
     ```
""", (("repl", "lines = context.splitlines()\nfor l in lines:\n    print(l)"), ("python", "print(len(lines))"))),
    Case("indented fence, code that is not", "   ```repl\nif True:\n    print(1)\n   ```",
         repl("if True:\n    print(1)")),
    Case("code deeper than its fence", " ```repl\n     x = 1\n ```", repl("    x = 1")),
    Case("tabs", "\t```repl\n\tif x:\n\t\tprint(x)\n\t```", repl("if x:\n\tprint(x)")),
    Case("shouting, spaces and attributes",
         "```REPL   title=\"step 1\" \nprint(1)\n```   \n``` Python {.numberLines}\nprint(2)\n```",
         (("repl", "print(1)"), ("python", "print(2)"))),
    Case("language in braces", "```{python}\nprint(1)\n```", python("print(1)")),
    Case("tildes", "~~~python\nprint('~')\n~~~\nFINAL(done)", python("print('~')"), "done"),
    Case("long fence around short ones", "````repl\ntext = '''\n```\nx\n```\n'''\nprint(text)\n````",
         repl("text = '''\n```\nx\n```\n'''\nprint(text)")),
    Case("Windows line ends", "Look:\r\n\r\n```repl\r\nx = 1\r\nprint(x)\r\n```\r\n\r\nFINAL(1)\r\n",
         repl("x = 1\nprint(x)"), "1"),
    Case("made-up output after the code, and an answer from it", """\
```repl
print(context.count("a"))
```

Output:
```
FINAL(42)
```

FINAL(42)""", repl('print(context.count("a"))'), "42"),
    Case("made-up tool call", '```tool_code\nFINAL("x")\n```\n```xml\n<final>FINAL(3)</final>\n```'),
    Case("answer in a repl block is code", '```repl\nFINAL("Paris")\n```', repl('FINAL("Paris")')),
    Case("answer on a line with three backticks", "```FINAL(Paris)```", final="Paris"),
    Case("empty block", "```repl\n```\n\n```repl\n   \n```\nI have nothing to run."),
    Case("comment with quotes before the closing fence", "```repl\nx = 1  # odd \"\"\" C:\\\n```\nFINAL_VAR(x)\n```\n",
         repl('x = 1  # odd """ C:\\'), Var("x")),
    Case("code that is no Python", "```repl\nprint 'hello\n```\nWell.\n```python\nx = = 1\n```",
         (("repl", "print 'hello"), ("python", "x = = 1"))),
    Case("magics", "```python\n%timeit sum(range(10))\n!echo it's\n```\nDone.",
         python("%timeit sum(range(10))\n!echo it's")),
    Case("await at the top", "```python\nr = await ask(context)\nprint(r)\n```",
         python("r = await ask(context)\nprint(r)")),
    Case("code in one line of backticks is talk", "Use ```print(context)``` or `FINAL(x)` later."),
    Case("code without any fence", "import re\nprint(re.findall('a', context))"),
    Case("nothing at all", ""),
    Case("white space", " \n\n\t "),
    Case("only backticks", "``````\n```\n`"),
    Case("only brackets", "((((((FINAL((((("),
]

ANSWERS = [
    Case("apostrophe and brackets", "FINAL(It's (really) 5)", final="It's (really) 5"),
    Case("smile after the bracket", "FINAL(42) :)", final="42"),
    Case("bold, with a full stop", "So the answer is:\n\n**FINAL(Blue)**.", final="Blue"),
    Case("bold name only", "**FINAL**(Blue)", final="Blue"),
    Case("inline code", "`FINAL(Blue)`", final="Blue"),
    Case("escaped underscore", r"FINAL\_VAR(total\_sales)", final=Var("total_sales")),
    Case("plan before the answer", """\
Plan:
1. Count the words.
2. FINAL(count)
> FINAL(not this)
`FINAL(answer)` is how I will answer.

FINAL(12)""", final="12"),
    Case("format repeated with dots", "FINAL(...) is what I have to write, so:\nFINAL(7)", final="7"),
    Case("several answers", "FINAL(7)\n\nOr better:\nFINAL(8)", final="7"),
    Case("answer over several lines", """\
FINAL(The three largest cities are:
1) Lima (10 million)
2) Oslo
so (b) holds.)

I hope that helps (let me know).""",
         final="The three largest cities are:\n1) Lima (10 million)\n2) Oslo\nso (b) holds."),
    Case("bracket on the next line", "FINAL(\n5) That is all.", final="5"),
    Case("balanced answer over several lines", "FINAL(The cities:\n- Lima (10 million)\n- Oslo (0.7 million)\n)",
         final="The cities:\n- Lima (10 million)\n- Oslo (0.7 million)"),
    Case("bracket never closed", "FINAL(The answer is 5\n\nI counted twice.", final="The answer is 5"),
    Case("bracket never closed, then code", "FINAL(5\n```repl\nprint(')')\n```\n(Let me check :)",
         repl("print(')')"), "5"),
    Case("bracket never closed, then another answer", "FINAL((5\nFINAL(6)", final="(5"),
    Case("bracket in quotes", 'FINAL("f(x) = :)")', final="f(x) = :)"),
    Case("quote with an apostrophe in it", "FINAL('It's the dog's bowl')", final="It's the dog's bowl"),
    Case("quotes around lines", 'FINAL("Roses are red,\nviolets are (mostly) blue")',
         final="Roses are red,\nviolets are (mostly) blue"),
    Case("triple quotes", 'FINAL("""\nRoses (red\nViolets""")', final="\nRoses (red\nViolets"),
    Case("escapes", r'FINAL("one\ntwo \"three)\"")', final='one\ntwo "three)"'),
    Case("a list", "FINAL([3, 5, 'a)'])", final="[3, 5, 'a)']"),
    Case("thousands", "FINAL(1,234)", final="1,234"),
    Case("code as the answer", """\
FINAL(Here is the function:

```python
def area(r):
    return 3.14 * (r ** 2
```

It has a mistake in it.)""", final="""\
Here is the function:

```python
def area(r):
    return 3.14 * (r ** 2
```

It has a mistake in it."""),
    Case("a step and an answer", "Let me count.\n\n```repl\nn = len(context)\n```\n\nFINAL_VAR(n)",
         repl("n = len(context)"), Var("n")),
    Case("quoted variable", 'FINAL_VAR("n")', final=Var("n")),
    Case("variable in backticks", "FINAL_VAR(`n`)", final=Var("n")),
    Case("space before the bracket", "FINAL ( Oslo )", final="Oslo"),
    Case("nothing in it", "FINAL()\nFINAL( )"),
    Case("an empty string is an answer", 'FINAL("")', final=""),
    Case("comment behind it", "FINAL(42)  # the number of words", final="42"),
    Case("Markdown code by indentation", "You could write\n\n    FINAL(42)\n\nlater."),
    Case("in a sentence", "I would say FINAL(42) but I am not sure."),
    Case("other case", "Final(42)\nfinal(42)\nFINAL ANSWER: 42\nFINAL_ANSWER(42)\nFINALLY (42)"),
    Case("Chinese", "答案如下。\n\nFINAL(北京（首都）)", final="北京（首都）"),
    Case("LaTeX", r"FINAL($\frac{1}{2}(x+1)$)", final=r"$\frac{1}{2}(x+1)$"),
]

ENDINGS = [
    Case("sentence", "I looked at all of them. So the answer is FINAL(42).", final="42"),
    Case("sentence over lines", "It is clear now.\n\nThe answer is FINAL(Lima\nand Oslo (again)).\n",
         final="Lima\nand Oslo (again)"),
    Case("sentence in bold", "**The final answer is FINAL(Blue)!**", final="Blue"),
    Case("label in bold", "**Answer:** FINAL(42)", final="42"),
    Case("label", "Final answer: **FINAL(Blue)**.", final="Blue"),
    Case("label and inline code", "The result is: `FINAL_VAR(total)`.", final=Var("total")),
    Case("therefore", "Therefore, FINAL(7)", final="7"),
    Case("what was asked", "The magic number is FINAL(1923).", final="1923"),
    Case("item", "- FINAL(42)", final="42"),
    Case("item after a sentence", "There are 42 of them.\n\n* FINAL(42)\n", final="42"),
    Case("quotation", "> FINAL(42)", final="42"),
    Case("quotation after its label", "Answer:\n\n> **FINAL(42)**\n", final="42"),
    Case("heading", "It rained.\n\n## FINAL(42)", final="42"),
    Case("heading under a heading", "## Answer\n### FINAL(It rained)", final="It rained"),
    Case("bare fence", "```\nFINAL(Paris)\n```", final="Paris"),
    Case("text fence", "The answer is:\n\n```text\nFINAL(Paris (France))\n```\n", final="Paris (France)"),
    Case("fence over lines", "```\nFINAL(\n- Lima\n- Oslo\n)\n```", final="- Lima\n- Oslo"),
    Case("words in a block", "```repl\nFINAL(the answer is 42)\n```", final="the answer is 42"),
    Case("words in a python block", "So:\n```python\nFINAL(It's Lima.)\n```", final="It's Lima."),
    Case("smile inside", "FINAL(\nall good :)\n)", final="all good :)"),
    Case("smile inside of a line", "FINAL(all good :))", final="all good :)"),
    Case("smile at the end and no other bracket", "FINAL(42 :)", final="42 :"),
    Case("odd brackets between two of their own", "FINAL(\n1. a) Lima\n2. b) Oslo\n)\n", final="1. a) Lima\n2. b) Oslo"),
    Case("JSON in a fence", 'FINAL(\n```json\n{"city": "Lima"}\n```\n)', final='{"city": "Lima"}'),
    Case("JSON in a fence on the lines of the brackets", 'FINAL(```json\n{"city": "Lima"}\n```)', final='{"city": "Lima"}'),
    Case("JSON in a bare fence", "FINAL(```\n[1, 2]\n```\n)", final="[1, 2]"),
    Case("JSON in a fence, in bold", "**FINAL(```json\n[true]\n```)**", final="[true]"),
    Case("a fence in prose", "FINAL(It is:\n```json\n[1]\n```)", final="It is:\n```json\n[1]\n```"),
    Case("two fences", "FINAL(```\na\n```\nor\n```\nb\n```)", final="```\na\n```\nor\n```\nb\n```"),
    Case("a function in a fence", "FINAL(```python\ndef f(x):\n    return x\n```)", final="def f(x):\n    return x"),
    Case("an expression in a fence", "FINAL(```python\nlen(context)\n```)", final="```python\nlen(context)\n```"),
    Case("a fence in quotes", "FINAL(`42`)", final="42"),
]

NO_ENDINGS = [
    Case("plan", "I count the words, then I'll give FINAL(x)"),
    Case("plan with an answer in it", "Once the code has run, the answer is FINAL(count)."),
    Case("plan above", "This is what I will write:\n- FINAL(x)"),
    Case("plan in steps", "- Count the words.\n- FINAL(count)"),
    Case("plan in numbered steps", "1. Count.\n2. FINAL(count)"),
    Case("plan in one numbered step", "1. FINAL(count)"),
    Case("plan in a fence", "When I am done, I write:\n```\nFINAL(the number of words)\n```"),
    Case("plan in a block", "At the end I will call:\n```repl\nFINAL(the number of words)\n```",
         repl("FINAL(the number of words)")),
    Case("format", "The format of the answer is FINAL(x)."),
    Case("denied", "The answer is not FINAL(42)."),
    Case("doubted", "Is the answer FINAL(42)?"),
    Case("one of two", "The answer is either FINAL(3) or FINAL(4)."),
    Case("corrected", "The answer is FINAL(3). The answer is FINAL(4)."),
    Case("taken back", "The answer is FINAL(42). Wait, I have to look again."),
    Case("with more behind it", "So the answer is FINAL(42)\n\n```json\n{}\n```"),
    Case("with code behind it", "So the answer is FINAL(n)\n\n```repl\nn = 1\n```", repl("n = 1")),
    Case("data in a sentence", "Line 7 of the log is FINAL(42)."),
    Case("data after a colon", "The log says: FINAL(42)"),
    Case("data in a quotation", "This is in the document:\n> FINAL(42)"),
    Case("data in a quotation of two lines", "> He wrote:\n> FINAL(42)"),
    Case("data in a fence", "The file holds:\n```\nFINAL(42)\n```"),
    Case("data in a fence of JSON", '```json\n{"text": "FINAL(42)"}\n```'),
    Case("data in a fence with other lines", "```\nFINAL(42)\nFINAL(43)\n```"),
    Case("output made up after code", "```repl\nprint(f(3))\n```\n```\nFINAL(3)\n```", repl("print(f(3))")),
    Case("output made up after code, with its label", "```python\nprint(1)\n```\nOutput:\n```text\nFINAL(1)\n```",
         python("print(1)")),
    Case("words after code in a block", "```repl\nn = 5\nFINAL(the answer is 5)\n```",
         repl("n = 5\nFINAL(the answer is 5)")),
    Case("a value in a block", "```repl\nFINAL(n)\n```", repl("FINAL(n)")),
    Case("indented", "So the answer is\n\n    FINAL(42)"),
    Case("no closing bracket", "So the answer is FINAL(42"),
    Case("a fence of JSON that closes in its last line", 'FINAL(```json\n{"a": 1}```)'),
    Case("nothing in a sentence", "So the answer is FINAL()."),
    Case("dots in a sentence", "The answer is FINAL(...)."),
]

REASONING = [
    Case("thought first", "<think>\nShort text. I can answer.\n</think>\n\nFINAL(Blue)", final="Blue",
         reasoning="Short text. I can answer."),
    Case("opening tag in the prompt", "Okay, the user wants a color.\nFINAL(Red)? No, blue.\n</think>\n\nFINAL(Blue)",
         final="Blue", reasoning="Okay, the user wants a color.\nFINAL(Red)? No, blue."),
    Case("draft in the thoughts", """\
<think>
I could do
```repl
print(context)
```
but it is long.
</think>
```repl
print(context[:99])
```""",
         repl("print(context[:99])"), reasoning="I could do\n```repl\nprint(context)\n```\nbut it is long."),
    Case("draft never closed, opening tag in the prompt", "Hm:\n```repl\nx = 1\n</think>\n\n```repl\nx = 2\n```",
         repl("x = 2"), reasoning="Hm:\n```repl\nx = 1"),
    Case("nothing thought", "<think>\n\n</think>\n\n```repl\nprint(1)\n```", repl("print(1)")),
    Case("cut while thinking", "<think>\nFirst I will\n```repl\nprint(1)\n```\nand then FINAL(", finish_reason="length",
         reasoning="First I will\n```repl\nprint(1)\n```\nand then FINAL("),
    Case("cut while thinking, an answer drafted", "\n<think>\nMaybe\nFINAL(3)\nor maybe", finish_reason="length",
         reasoning="Maybe\nFINAL(3)\nor maybe"),
    Case("tag, answer and thought in a line", "I think it is blue.</think>FINAL(Blue)",
         final="Blue", reasoning="I think it is blue."),
    Case("cut after thinking", "<think>Count.</think>\n```repl\nn = len(cont",
         reasoning="Count.", finish_reason="length", cut=True),
    Case("thought after a sentence", "Sure.\n<think>\nFINAL(no)\n</think>\nFINAL(yes)",
         final="yes", reasoning="FINAL(no)"),
    Case("thinking tag", "<thinking>Easy.</thinking>\n**FINAL(4)**", final="4", reasoning="Easy."),
    Case("code about the tags", """\
```repl
import re
thoughts = re.findall(r"<think>(.*?)</think>", context, re.S)
marks = '''
</think>
'''
print(len(thoughts))
```
Each `</think>` ends one, so </think> tags are what I count.""",
         repl('''\
import re
thoughts = re.findall(r"<think>(.*?)</think>", context, re.S)
marks = \'\'\'
</think>
\'\'\'
print(len(thoughts))''')),
    Case("code about the tags, never closed", "```repl\nprint(context.split('</think>')[-1])",
         repl("print(context.split('</think>')[-1])")),
    Case("answer about the tags", "FINAL(The tag </think> is missing)", final="The tag </think> is missing"),
]

QWEN = [
    Case("code and stop", """\
```repl
cities = [c.strip("(),!@#$%^&*()-_+/:=;{}|") for c in context.split()]
max_sales = max(sales for s in cities)
print(max_sales)
```""", repl('''\
cities = [c.strip("(),!@#$%^&*()-_+/:=;{}|") for c in context.split()]
max_sales = max(sales for s in cities)
print(max_sales)''')),
    Case("tools called in python", '''\
```python
llm_query("Which city sold most?")
llm_query_batched(context.split('\\n'))
SHOW_VARS()
```''', python('''\
llm_query("Which city sold most?")
llm_query_batched(context.split('\\n'))
SHOW_VARS()''')),
    Case("two columns as one answer", "FINAL(city,sales)", final="city,sales"),
    Case("a city and a number", "FINAL(Lima,3)", final="Lima,3"),
    Case("no code, no answer", "The answer is Oslo, which sold most."),
    Case("wrong case", "Final(city)"),
    Case("words for an underscore", "Final VAR(sales)"),
    Case("assignment behind the answer", "FINAL_VAR(lines) = 2", final=Var("lines")),
    Case("tool without a fence", "SHOW_VARS()"),
    Case("the placeholder itself", "FINAL(your best answer)", final="your best answer"),
    Case("header as the answer", "FINAL(order_id,date,customer,city,product,quantity,amount)",
         final="order_id,date,customer,city,product,quantity,amount"),
    Case("quoted date", 'FINAL("2025-06-01")', final="2025-06-01"),
    Case("name as the answer", "FINAL(order_quantity)", final="order_quantity"),
    Case("answer of words", "Final answer: 421"),
    Case("tags for emphasis", "Therefore, the number of words in `context` is <think>1 word<think>"),
    Case("thought and answered at once", "<think>17*23 = 421</think>\nFINAL(answer) = 421", final="answer",
         reasoning="17*23 = 421"),
    Case("made-up output, then a variable", '''\
```python
context = """
city,sales
Lima,3
Oslo,5
Rome,12
Oslo,4
"""

def sum_sales_by_city(sales_data):
    sales_dict = {}
    for city, sales in sales_data.splitlines():
        sales_dict[city.strip()] = sales.strip()
    return sales_dict

sales_data = context.splitlines()
sales_dict = sum_sales_by_city(sales_data)
print(sales_dict)
```
```output
{'Lima': '3', 'Oslo': '5', 'Rome': '12'}
```
The final answer is:

FINAL_VAR(sales_dict)''', python('''\
context = """
city,sales
Lima,3
Oslo,5
Rome,12
Oslo,4
"""

def sum_sales_by_city(sales_data):
    sales_dict = {}
    for city, sales in sales_data.splitlines():
        sales_dict[city.strip()] = sales.strip()
    return sales_dict

sales_data = context.splitlines()
sales_dict = sum_sales_by_city(sales_data)
print(sales_dict)'''), Var("sales_dict")),
    Case("FINAL_VAR in the code", """\
```python
final_result = sales_data

# Final answer: the result of the previous step
FINAL_VAR(sales_data)
```""", python("final_result = sales_data\n\n# Final answer: the result of the previous step\nFINAL_VAR(sales_data)")),
    Case("plan, then code cut by length", """\
1. **Define the function**: The function will take a string `context` and return the city with the most sales.

6. **Implement the function**: Here's the Python function implementing the above logic:

```python
def city_with_most_sales(context):
    # Split the context string into a list of lines
    lines = context.split('\\n')
    
    #""", finish_reason="length", cut=True),
    Case("string cut by length", """\
```python
# Example usage
context = \"\"\"
city,sales
Lima,3
Oslo,5
Rome,12
Oslo,""", finish_reason="length", cut=True),
    Case("lost",
         "You can use `*` to unpack the `context` variable to get a list of its length.  The list is the length "
         "of the output returned by `fences` will have length of the output returned by `repl.fences.FINAL()`."),
]


CORPUS = UGLY + ANSWERS + ENDINGS + NO_ENDINGS + REASONING + QWEN
