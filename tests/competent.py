"A model for the working documentation: it reads its task and the output of its code, and is right. Served over HTTP."
import os

from server import ChatServer

CHECK = """for name in ('user_data', 'api_key'):
    try: eval(name)
    except NameError: print(f"{name} is not defined")
    else: print(f"{name} is defined")"""

def block(code: str) -> str: return f"```repl\n{code}\n```"

def competent(body: dict) -> str:
    "The next reply in a conversation."
    said = [m["content"] for m in body["messages"]]
    task = [s.rpartition("Task: ")[2] for s in said if "Task: " in s][-1]
    asked = said[-1].endswith(f"Task: {task}")
    output = said[-1].removeprefix("Output:\n").strip()
    if task == "Generate a random number between 1 and 100.":
        return block("import random\nrandom_number = random.randint(1, 100)\nFINAL(random_number)")
    if task == "What was the number you just generated?":
        return "FINAL(I have no earlier number: each completion starts afresh.)"
    if task == "Pick a color.": return 'FINAL("Blue")'
    if task == "Why did you pick that one?":
        earlier = [s for s in said[5:-1] if s.startswith("FINAL(")]
        if not earlier: return "FINAL(Which one?)"
        color = earlier[-1][6:-1].strip('"')
        return f"FINAL(I picked {color} because it is calm and easy on the eyes.)"
    if task == "Set x = 500 in the repl": return block("x = 500\nprint(x)") if asked else "FINAL(x is 500)"
    if task.startswith("Read the value of x from the repl"): return block("x = x * 2\nFINAL(x)")
    if task == "computed_value = 12345 * 6789":
        return block(f"{task}\nprint(computed_value)") if asked else f"FINAL({output})"
    if task.startswith("Check if 'user_data' is defined"):
        return block(CHECK) if asked else f"FINAL({', but '.join(output.splitlines())}.)"
    if task == "Add 5 to the Score column of df.":
        return block("df['Score'] += 5\nprint(df)") if asked else "FINAL(Added 5 to each score.)"
    return "FINAL(I don't know.)"

def start() -> ChatServer:
    "Serve it on loopback, and let the `openai` package find it."
    server = ChatServer(competent).__enter__()
    os.environ.update(OPENAI_BASE_URL=server.base_url, OPENAI_API_KEY="any-key-will-do")
    return server
