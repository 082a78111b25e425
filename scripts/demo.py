"""Ask a language model about two novels by Jane Austen. The model never gets the text itself.

If OPENAI_API_KEY is set, a model of OpenAI answers: OPENAI_MODEL, by default gpt-4o-mini. Otherwise it is the model that
runs on this machine, Qwen2.5-Coder-1.5B.
"""
import os, textwrap
from pathlib import Path
from rlm import RLM, RLMError

NOVELS = Path(__file__).parent.parent/"nbs"/"data"/"two_novels.txt"

QUESTIONS = {  # each question, and how plain Python answers it
    "How many times does the name Willoughby occur?": lambda text: text.count("Willoughby"),
    "How many times does the word happy occur?": lambda text: text.count("happy"),
    "How many words does the text have?": lambda text: len(text.split()),
    "How many times does the name Darcy occur?": lambda text: text.count("Darcy"),
    "Which line of the text is the longest?": lambda text: max(text.splitlines(), key=len),
}

def backend() -> dict:
    "The model that answers, as keywords of `RLM`."
    if not os.environ.get("OPENAI_API_KEY"): return {"backend": "local"}
    return {"backend": "openai", "backend_kwargs": {"model_name": os.environ.get("OPENAI_MODEL", "gpt-4o-mini")}}

def main():
    text = NOVELS.read_text()
    rlm = RLM(**backend(), max_iterations=6, verbose=True)
    print(f"The text is two novels by Jane Austen, {len(text):,} characters. "
          "The model is shown only its beginning and its end.\n")
    table = []
    for question, find in QUESTIONS.items():
        try: answer = rlm.completion(question, context=text).response
        except RLMError as e: answer = f"({type(e).__name__}: {e})"
        table.append((question, answer, str(find(text))))
        print()
    short = lambda answer: textwrap.shorten(answer, 40, placeholder=" …")
    print(f"{'question':50}{'the model':42}plain Python")
    for question, answer, truth in table:
        print(f"{question:50}{short(answer):42}{short(truth)}{'' if answer.strip() == truth else '   (differs)'}")
    if backend()["backend"] == "local":
        print("\nThis model has 1.5 billion parameters and runs on your machine. For a larger one set OPENAI_API_KEY, or name\n"
              'a GGUF file of yours or of a hub: RLM("local/model.gguf").')

if __name__ == "__main__": main()
