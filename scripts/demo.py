"""Ask a language model about two novels by Jane Austen, a text that is never put into its window.

With OPENAI_API_KEY set it asks OpenAI (OPENAI_MODEL, by default gpt-4o-mini), otherwise the small model of `rlm[local]`.
"""
import os, textwrap
from pathlib import Path
from rlm import RLM, RLMError

NOVELS = Path(__file__).parent.parent/"nbs"/"data"/"two_novels.txt"

QUESTIONS = {  # a question, and what plain Python finds
    "How many times does the name Willoughby occur?": lambda text: text.count("Willoughby"),
    "How many times does the word happy occur?": lambda text: text.count("happy"),
    "How many words does the text have?": lambda text: len(text.split()),
    "How many times does the name Darcy occur?": lambda text: text.count("Darcy"),
    "Which line of the text is the longest?": lambda text: max(text.splitlines(), key=len),
}

def backend() -> dict:
    "Which model, as keywords of `RLM`."
    if not os.environ.get("OPENAI_API_KEY"): return {"backend": "local"}
    return {"backend": "openai", "backend_kwargs": {"model_name": os.environ.get("OPENAI_MODEL", "gpt-4o-mini")}}

def main():
    text = NOVELS.read_text()
    rlm = RLM(**backend(), max_iterations=6, verbose=True)
    print(f"{len(text):,} characters of Jane Austen; the model sees the first and the last of them.\n")
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
        print("\nThe bundled model is small (135 million parameters): it can do what the worked example in its prompt shows, counting "
              'a word,\nand little else. For a larger one set OPENAI_API_KEY, or use any GGUF file: RLM(backend="local", '
              'backend_kwargs={"model_path": "model.gguf"}).')

if __name__ == "__main__": main()
