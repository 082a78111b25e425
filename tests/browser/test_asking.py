"What a user sees in JupyterLab when a run asks whether code may run."
import re

SET_UP = '''
import pandas as pd
from rlm import RLM
from rlm.lm import ScriptedLM
df = pd.DataFrame({"city": ["Lima", "Oslo"], "amount": [30, 10]})
replies = ["The sum first.\\n```repl\\nprint(df.amount.sum())\\n```", "Now drop what is not needed.\\n```repl\\nfor column in ['amount']:\\n    df.drop(columns=column, inplace=True)\\n```", "FINAL(40)"]
rlm = RLM(ScriptedLM(replies), environment="jupyter", environment_kwargs={"approve": "changes", "sync_from_user_ns": True})
'''

def type_at(notebook, text):
    "Type an answer where Lab asks for one."
    box = notebook.page.locator(".jp-Stdin-input:enabled")
    box.last.wait_for(timeout=30_000)
    box.last.fill(text)
    box.last.press("Enter")
    notebook.page.wait_for_timeout(500)  # the next question has its box

def test_a_question_and_its_answers(opened, tmp_path):
    notebook = opened("asking.ipynb", SET_UP, "result = rlm.completion('Tidy up.')", "list(df)").run(0).start(1)
    notebook.see(1, "May change something: line 2 changes df.")
    notebook.see(1, "waiting for your approval")
    notebook.page.wait_for_timeout(1500)
    notebook.picture(tmp_path / "asking.png", 1)
    type_at(notebook, "edit")
    notebook.see(1, "2      df.drop")
    type_at(notebook, "2: df = df.drop(columns=column)")
    notebook.see(1, "df = df.drop")
    type_at(notebook, "")
    notebook.see(1, re.compile("May it run"))
    type_at(notebook, "yes")
    notebook.wait(1).run(2)
    assert "You changed this" in notebook.text(1) and "amount" in notebook.text(2)
    notebook.save().reload()
    assert not notebook.dirty() and "You changed this" in notebook.text(1)
    notebook.picture(tmp_path / "asked.png", 1)

def test_the_stop_button_at_a_question(opened):
    notebook = opened("stop_asking.ipynb", SET_UP, "result = rlm.completion('Tidy up.')", "list(df), rlm.last_result.stop_reason").run(0).start(1)
    notebook.see(1, "May change something")
    notebook.stop().wait(1, timeout=10)
    notebook.run(2)
    assert "KeyboardInterrupt" in notebook.text(1) and "interrupted" in notebook.text(2) and "amount" in notebook.text(2)
