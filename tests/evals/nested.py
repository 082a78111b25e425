"""Questions about records that hold records: does a preview that names the inner keys help?

    python tests/evals/nested.py after.jsonl
    python tests/evals/nested.py before.jsonl ../before     # the same with another checkout

Qwen2.5-Coder-1.5B, on two cores, needs about half a minute for each. What is in the file is not asked again.
"""
import json, random, sys
from pathlib import Path

sys.path.insert(0, sys.argv[2] if len(sys.argv) > 2 else str(Path(__file__).resolve().parents[2]))
from rlm import RLM
from rlm.evals import Task, evaluate

def orders(rnd):
    def order(i):
        return {"id": i, "placed": f"2024-0{rnd.randint(1, 9)}-1{rnd.randint(0, 9)}",
                "customer": {"name": rnd.choice(["Ana", "Ben", "Cleo", "Dan"]), "city": rnd.choice(["Lima", "Oslo", "Rome"])},
                "items": [{"sku": rnd.choice(["cup", "plate", "spoon", "bowl"]), "price": rnd.choice([2, 3, 5]), "qty": rnd.randint(1, 4)}
                          for _ in range(rnd.randint(1, 3))]}
    found = [order(i) for i in range(200)]
    sold = [(o["customer"]["city"], item["sku"], item["price"] * item["qty"], item["qty"]) for o in found for item in o["items"]]
    return found, {"shop": "North", "orders": found, "meta": {"page": 1, "currency": "EUR"}}, {
        "How many cups were sold in all? (Add up their quantities.)": sum(n for _, sku, _, n in sold if sku == "cup"),
        "What is the total revenue, that is price times quantity over all items?": sum(paid for _, _, paid, _ in sold),
        "How many orders came from customers in Oslo?": sum(o["customer"]["city"] == "Oslo" for o in found),
        "What revenue (price times quantity) did customers in Lima bring?": sum(paid for city, _, paid, _ in sold if city == "Lima"),
        "How many orders have more than one item?": sum(len(o["items"]) > 1 for o in found)}

def stations(rnd):
    def station(i):
        return {"code": f"S{i:03}", "place": {"country": rnd.choice(["Chile", "Norway", "Italy"]), "height": rnd.randint(0, 3000)},
                "active": rnd.random() < .8,
                "readings": [{"hour": h, "celsius": rnd.randint(-20, 35), "wind": rnd.randint(0, 90)} for h in range(0, 24, 6)]}
    found = [station(i) for i in range(150)]
    read = [(s["place"]["country"], r) for s in found for r in s["readings"]]
    return found, {"network": "demo", "stations": found, "made": {"year": 2024, "by": "script"}}, {
        "What is the highest temperature in all readings, in celsius?": max(r["celsius"] for _, r in read),
        "How many stations are in Norway?": sum(s["place"]["country"] == "Norway" for s in found),
        "In how many readings is the wind above 80?": sum(r["wind"] > 80 for _, r in read),
        "What is the height of the highest station?": max(s["place"]["height"] for s in found),
        "How many readings below 0 celsius do the stations in Italy have?": sum(r["celsius"] < 0 for country, r in read if country == "Italy")}

def tasks():
    for records, inside, answers in (orders(random.Random(3)), stations(random.Random(8))):
        for kind, context in ("list", records), ("dict", inside), ("text", json.dumps(records)):
            for question, answer in answers.items(): yield Task(question, context, answer, kind)

if __name__ == "__main__":
    rlm = RLM("local", verbose=False, max_iterations=6, max_timeout=240)
    print(evaluate(rlm, tasks(), record=sys.argv[1], name=Path(sys.argv[1]).stem, max_concurrent=1))
