"""Ask a language model about two novels by Jane Austen, a text that is never put into its window.

With OPENAI_API_KEY set it asks OpenAI (OPENAI_MODEL, by default gpt-4o-mini), otherwise the small model of `rlm[local]`.
"""
import os, re
from pathlib import Path
from rlm import RLM, RLMError

NOVELS = Path(__file__).parent.parent/"nbs"/"data"/"two_novels.txt"

QUESTIONS = {  # a question, and what plain Python finds
    "How many times does the name Darcy occur?": lambda text: text.count("Darcy"),
    "How many words does the text have?": lambda text: len(text.split()),
    "What is the longest word in the text?": lambda text: max(re.findall(r"[a-z]+", text, re.I), key=len),
    "How many lines contain the word happy?": lambda text: sum("happy" in line for line in text.splitlines()),
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
    print(f"{'question':44}{'the model':>22}{'plain Python':>16}")
    for question, answer, truth in table:
        print(f"{question:44}{' '.join(answer.split())[:20]:>22}{truth:>16}  {'' if answer.strip() == truth else '≠'}")
    if "OPENAI_API_KEY" not in os.environ:
        print("\nThe bundled model is small (135 million parameters) and often wrong. For a larger one set OPENAI_API_KEY, or give\n"
              'RLM(backend="local", backend_kwargs={"model_path": "model.gguf"}) any GGUF file.')

if __name__ == "__main__": main()
