"Code that fails with a value in its message, in a REPL where `patient` is a text and `df` a table that has it."
LEAKS = {
    "ValueError": ["int(patient)", "raise ValueError(patient)", "float(patient)", "[1].index(patient)", "import uuid; uuid.UUID(patient)"],
    "KeyError": ["{}[patient]", "df.loc[patient]", "df[patient]"],
    "AssertionError": ["assert not patient, f'{patient} is there'"],
    "TypeError": ["raise TypeError(patient)", "dict(**{patient: 1}, **{patient: 2})", "(lambda: 1)(**{patient: 1})"],
    "UnicodeDecodeError": ["(patient.encode() + b'\\xff').decode()"],
    "FileNotFoundError": ["open(patient)"],
    "AttributeError": ["getattr(df, patient)", "import types; getattr(types.SimpleNamespace(**{patient: 1}), patient + 's')"],
    "NameError": ["eval(patient)"],
    "ModuleNotFoundError": ["__import__(patient)"],
    "SyntaxError": ["eval(patient + ' 1')", "import ast; ast.literal_eval(patient + ' 1')", "raise SyntaxError(patient)"],
    "SystemExit": ["import sys; sys.exit(patient)"],
    "KeyboardInterrupt": ["raise KeyboardInterrupt(patient)"],
    "Own": ["class Own(Exception):\n    def __str__(self): return patient\nraise Own()"],
    "RuntimeError": [
        "try: int(patient)\nexcept ValueError: raise RuntimeError(patient)",
        "try: int(patient)\nexcept ValueError as e: raise RuntimeError from e",
        "e = RuntimeError(); e.__notes__ = [patient]; raise e"],
    "ExceptionGroup": ["raise ExceptionGroup(patient, [ValueError(patient), ExceptionGroup(patient, [KeyError(patient)])])"],
    "SubcallError": ["llm_query(patient)", "llm_query('Who?', model=patient)"],
    "": [
        "import warnings; warnings.warn(patient); x = 1",
        "import sys; print(patient, file=sys.stderr)",
        "import logging; logging.getLogger('quiet').error(patient)",
        "import threading\nt = threading.Thread(target=lambda: int(patient)); t.start(); t.join()",
        "import asyncio\nasync def fail(): int(patient)\nasyncio.get_running_loop().call_soon(int, patient); await asyncio.sleep(0)",
        "answers = llm_query_batched([patient])",
        "class Bad:\n    def __repr__(self): raise ValueError(patient)\nBad()"]}
CASES = [(error, code) for error, codes in LEAKS.items() for code in codes]
