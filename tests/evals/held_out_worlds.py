"The worlds that scores are reported on: look at these only to fix a question."
import json
from datetime import date, datetime, timedelta

from making import grow, prose, top, total, values, where


def web_log(r, size):
    paths = "/ /cart /login /search /help /account/orders /static/app.js".split()
    ips, t = [f"10.0.{r.randint(0, 9)}.{i * 7 + 11}" for i in range(12)], datetime(2025, 9, 14, 4)
    def make(i):
        nonlocal t
        t += timedelta(seconds=r.randint(0, 20))
        return dict(ip=r.choice(ips), time=f"{t:%d/%b/%Y:%H:%M:%S}", verb=r.choice(["GET", "GET", "GET", "POST"]),
            path=r.choice(paths), status=r.choice([200] * 7 + [302, 404, 404, 500]),
            size=r.randint(120, 9000), req=f"q{2000 + i * 7}")
    line = lambda d: '{ip} - [{time} +0000] "{verb} {path} HTTP/1.1" {status} {size} req={req}'.format(**d)
    rows = grow(size, line, make)
    rare, big = r.sample(rows[30:], 2)
    rare["path"], big["size"] = "/admin/backup.zip", r.randint(20000, 90000)
    context = "\n".join(map(line, rows))
    path, ip, one = r.choice(paths[1:]), r.choice(ips), r.choice(rows)
    broken, hits = total(where(rows, status=500), None, "ip"), total(rows, None, "path")
    return context, [
        (len(where(rows, status=404)), (),
         "How many requests got the status 404?",
         "Count the responses with status code 404."),
        (len(where(rows, verb="POST", path=path)), (),
         f"How many POST requests went to {path}?",
         f"Count the POST requests for the path {path}."),
        (rare["ip"], ips,
         "Which IP address asked for /admin/backup.zip?",
         "Somebody tried to download /admin/backup.zip. From which IP address?"),
        (big["ip"], ips,
         "The largest response (the number after the status is its size in bytes) went to which IP address?",
         "Sizes in bytes follow the status code. Which IP address received the biggest response?"),
        (total(where(rows, path=path), "size"), (),
         f"How many bytes were sent for requests of {path}? The size is the number after the status.",
         f"Sum the response sizes (the field after the status code) of all requests for {path}."),
        (total(where(rows, ip=ip), "size"), (),
         f"How many bytes did {ip} receive in total? The number after the status code is the size.",
         f"Add up the sizes, found right after the status, of everything sent to {ip}."),
        (one["status"], (),
         f"What status did the request with req={one['req']} get?",
         f"Look up request {one['req']}: what is its status code?"),
        (one["ip"], ips,
         f"From which IP address did request {one['req']} come?",
         f"Whose request is req={one['req']}? Give the IP address."),
        ((top(broken), broken[top(broken)]), ips,
         "Which IP address ran into the most 500 errors, and how many did it get?",
         "Find the IP address with the largest number of responses of status 500. Which one is it, and how many?"),
        (len(where(rows, path=top(hits), status=200)), (),
         "What is the most requested path? Say how many of its requests ended with status 200.",
         "Take the path with the most requests and count how many of those got a 200.")]


def loans(r, size):
    titles = [f"{a} {b}" for a in "Winter Coastal Simple Northern Practical".split()
              for b in "Birds Cooking Gardens Sailing".split()]
    branches, start = "Elm Mill Hill Quay Park".split(), date(2023, 2, 1)
    line = lambda d: "| {loan} | {title} | {branch} | {taken} | {days} | {fee:.2f} | {state} |".format(**d)
    rows = grow(size, line, lambda i: dict(loan=f"L{5000 + i}", title=r.choice(titles), branch=r.choice(branches),
        taken=str(start + timedelta(days=r.randint(0, 500))), days=r.randint(1, 40),
        fee=r.choice([0.0, 0.0, r.randint(2, 60) / 4]), state="returned"))
    late, lost, one = r.sample(rows[30:], 3)
    late["days"], lost["state"] = r.randint(90, 300), "lost"
    head = "| loan | title | branch | taken | days | fee | state |\n|---|---|---|---|---|---|---|\n"
    context = head + "\n".join(map(line, rows))
    b, t, n = r.choice(branches), r.choice(titles), r.randint(15, 33)
    fees, lent = total(rows, "fee", "branch"), total(rows, None, "title")
    return context, [
        (len(where(rows, branch=b)), (),
         f"How many loans were made at the {b} branch?",
         f"Count the loans of the branch {b}."),
        (sum(d["days"] > n for d in rows), (),
         f"How many loans lasted longer than {n} days?",
         f"For how many loans is the number of days above {n}?"),
        (late["title"], titles,
         "Which title was out for the longest time in a single loan?",
         "Find the loan with the most days. Which title was lent?"),
        (lost["loan"], values(rows, "loan"),
         "One loan was never given back: its state is lost. What is its loan number?",
         "Give me the loan id (first column) of the row whose state is 'lost'."),
        (total(where(rows, branch=b), "fee"), (),
         f"What is the total of all fees at the {b} branch?",
         f"How much money in fees did {b} take?"),
        (total(where(rows, title=t), "days"), (),
         f"For how many days was '{t}' out on loan in total?",
         f"Sum the days over all loans of the title {t}."),
        (one["title"], titles,
         f"Which title was lent in loan {one['loan']}?",
         f"What is the title in row {one['loan']}?"),
        (one["taken"], values(rows, "taken"),
         f"On what date was loan {one['loan']} taken?",
         f"When was {one['loan']} taken out? Give the date as written."),
        ((top(fees), len(where(rows, branch=top(fees)))), branches,
         "Which branch has the highest total of fees, and how many loans did it make?",
         "Add up the fees by branch. Which branch comes out on top, and how many loans does it have?"),
        (total(where(rows, title=top(lent)), "days"), (),
         "Which title was lent most often? Tell me the total number of days it was out.",
         "Find the title with the most loans and sum the days of its loans.")]


def tickets(r, size):
    products, levels = "router printer tablet camera scanner".split(), ["low", "normal", "normal", "high"]
    tags = "setup billing update noise power".split()
    texts = ("The customer asks for a call back in the morning.|It stopped after the last update."
             "|The manual was not in the box.|Works again after a restart."
             "|Sent back under warranty.|A second unit shows the same fault.").split("|")
    start = date(2025, 1, 6)
    def make(i):
        return dict(id=f"S{300 + i}", opened=str(start + timedelta(days=i // 20)), product=r.choice(products),
            priority=r.choice(levels), hours=r.randint(1, 40) / 4,
            tags=r.sample(tags, r.randint(1, 2)), text=r.choice(texts))
    rows = grow(size, json.dumps, make)
    rare, long = r.sample(rows[20:], 2)
    rare["text"], long["hours"] = "There was a spider inside the case.", r.randint(80, 160) / 4
    context = "\n".join(map(json.dumps, rows))
    p, tag, one = r.choice(products), r.choice(tags), r.choice(rows)
    urgent, worked = total(where(rows, priority="high"), None, "product"), total(rows, "hours", "product")
    return context, [
        (len(where(rows, priority="high")), (),
         "How many tickets have high priority?",
         "Count the tickets whose priority is 'high'."),
        (sum(tag in d["tags"] for d in rows), (),
         f"How many tickets carry the tag {tag}?",
         f"On how many tickets is '{tag}' one of the tags?"),
        (rare["id"], values(rows, "id"),
         "Which ticket id is about a spider?",
         "A customer found a spider in a device. What is the id of that ticket?"),
        (long["product"], products,
         "Which product was the ticket with the most hours about?",
         "Find the ticket that took the most hours: what product is it for?"),
        (worked[p], (),
         f"How many hours were spent on {p} tickets in total?",
         f"Add up the hours of all tickets about the product {p}."),
        (total(where(rows, priority="low"), "hours"), (),
         "What is the sum of the hours of all tickets with low priority?",
         "How many hours went into low priority tickets?"),
        (one["product"], products,
         f"Which product is ticket {one['id']} about?",
         f"What product does the ticket with id {one['id']} concern?"),
        (one["hours"], (),
         f"How many hours does ticket {one['id']} have?",
         f"Look up {one['id']} and tell me its hours."),
        ((top(urgent), urgent[top(urgent)]), products,
         "Which product has the most high-priority tickets, and how many are they?",
         "Among tickets of priority high, which product is the most frequent? Give the product and the number."),
        (len(where(rows, product=top(worked))), (),
         "Which product took the most hours in total? Say how many tickets it has.",
         "Sum hours by product, pick the largest, and tell me how many tickets that product has.")]


def config(r, size):
    regions, words = "eu us asia africa".split(), "orders users stock prices mail search audit media quotes tax".split()
    ports = r.sample(range(3000, 30000), 5000)
    def make(i):
        return dict(name=f"{r.choice(words)}-{100 + i}", host=f"n{r.randint(10, 99)}.internal", port=ports[i],
            region=r.choice(regions), replicas=r.randint(1, 8), memory_mb=r.randint(2, 60) * 64,
            enabled=r.choice(["true", "true", "false"]))
    line = lambda d: "\n".join([f"[{d['name']}]"] + [f"{k} = {v}" for k, v in d.items() if k != "name"]) + "\n"
    rows = grow(size, line, make)
    big = r.choice(rows[20:])
    big["memory_mb"] = r.randint(70, 120) * 64
    context = "\n".join(map(line, rows))
    area, one, other = r.choice(regions), *r.sample(rows, 2)
    copies, count = total(rows, "replicas", "region"), total(rows, None, "region")
    names = values(rows, "name")
    return context, [
        (len(where(rows, enabled="false")), (),
         "How many services are disabled (enabled = false)?",
         "Count the sections in which enabled is false."),
        (count[area], (),
         f"How many services run in the region {area}?",
         f"How many sections of this file have region = {area}?"),
        (other["name"], names,
         f"Which service listens on port {other['port']}?",
         f"Find the section that has the port {other['port']}. What is it called?"),
        (big["name"], names,
         "Which service has the largest memory_mb?",
         "Name the section with the highest memory_mb."),
        (total(rows, "replicas"), (),
         "How many replicas are configured over all services?",
         "Add up the replicas of every section in this file."),
        (total(rows, "memory_mb"), (),
         "What is the total memory_mb of all services together?",
         "Sum the memory_mb values of the whole file."),
        (one["port"], (),
         f"What port does the service {one['name']} use?",
         f"Look up the port in the section {one['name']}."),
        (one["region"], regions,
         f"In which region does {one['name']} run?",
         f"What region is set for {one['name']}?"),
        ((top(count), count[top(count)]), regions,
         "Which region has the most services, and how many?",
         "Name the region with the largest number of sections, and that number."),
        (big["port"], (),
         "Find the service with the largest memory_mb. On which port does it listen?",
         "What is the port of the section whose memory_mb is the highest?")]


def journal(r, size):
    places = "Gull Point|Stone Hut|Lake Ansa|Birch Camp|Twin Rocks|Salt Beach".split("|")
    skies, n = ["Snow fell", "The sky was clear", "Fog came in", "It rained"], max(12, size // 900)
    days, parts = [], []
    for i in range(1, n + 1):
        d = dict(day=i, km=r.randint(3, 28), place=r.choice(places), sky=r.choice(skies), seals=r.randint(1, 9))
        body = [prose(r) for _ in range(size // n // 65)]
        body += ["We met a reindeer."] * r.choice([0, 0, 1, 2])
        r.shuffle(body)
        days.append(d)
        parts.append([f"Day {i}.", f"We walked {d['km']} km.", f"{d['sky']} at noon.", f"We saw {d['seals']} seals.",
                      *body, f"We camped at {d['place']}."])
    far, broke, one = r.sample(days[5:], 3)
    far["km"] = r.randint(30, 44)
    parts[far["day"] - 1][1] = f"We walked {far['km']} km."
    parts[broke["day"] - 1].insert(6, "The radio broke for good.")
    context = "\n\n".join(" ".join(p) for p in parts)
    camps, place, sky = total(days, None, "place"), r.choice(places), r.choice(skies)
    return context, [
        (len(where(days, sky=sky)), (),
         f"On how many days do the notes say that {sky[0].lower() + sky[1:]} at noon?",
         f"How many of the entries say '{sky} at noon'?"),
        (context.count("reindeer"), (),
         "How many times is a reindeer mentioned in this journal?",
         "Count how often the word reindeer occurs."),
        (broke["day"], (),
         "On which day (its number) did the radio break?",
         "Give the number of the day whose entry says that the radio broke."),
        (far["day"], (),
         "On which day did the group walk the farthest? Give the day's number.",
         "Find the entry with the most km walked. Which day number is it?"),
        (total(days, "km"), (),
         "How many km did they walk in total?",
         "What is the total distance walked over the whole journal, in km?"),
        (total(days, "seals"), (),
         "How many seals did they see altogether?",
         "Add up the seals seen on all days."),
        (one["place"], places,
         f"Where did they camp on day {one['day']}?",
         f"Name the camp of day {one['day']}."),
        (one["km"], (),
         f"How many km did they walk on day {one['day']}?",
         f"What distance, in km, is noted for day {one['day']}?"),
        ((top(camps), camps[top(camps)]), places,
         "At which place did they camp most often, and how many times?",
         "Which camp was used more than any other? Also say how often."),
        (far["place"], places,
         "On the day with the longest walk, where did they camp?",
         "Find the day they walked the most km. At which place did they camp that day?")]


def stock(r, size):
    goods = [f"{a} {b}" for a in "copper oak linen glass clay".split() for b in "bowl tray basket jug".split()]
    halls = "north south east west".split()
    def make(i):
        return dict(sku=f"K{4000 + i * 3}", name=r.choice(goods), hall=r.choice(halls),
            pieces=r.choice([0, *range(1, 80, 2)]), price=r.randint(200, 9000) / 100)
    rows = grow(size, str, make)
    dear, odd = r.sample(rows[10:], 2)
    dear["price"], odd["name"] = r.randint(20000, 40000) / 100, "marble chess set"
    context = {d["sku"]: {k: v for k, v in d.items() if k != "sku"} for d in rows}
    h, g, one, cut = r.choice(halls), r.choice(goods), r.choice(rows), r.randint(20, 70)
    pieces, kinds = total(rows, "pieces", "hall"), total(rows, None, "hall")
    skus = values(rows, "sku")
    return context, [
        (kinds[h], (),
         f"How many items are kept in the {h} hall?",
         f"How many entries have {h} as their hall?"),
        (sum(d["price"] > cut for d in rows), (),
         f"How many items cost more than {cut}?",
         f"Count the entries whose price is above {cut}."),
        (dear["sku"], skus,
         "What is the key of the most expensive item?",
         "Which item (give its key) has the highest price?"),
        (odd["sku"], skus,
         "Under which key is the marble chess set?",
         "Find the item named 'marble chess set' and give its key."),
        (pieces[h], (),
         f"How many pieces are there in the {h} hall altogether?",
         f"Add up the pieces of all items in hall {h}."),
        (total(where(rows, name=g) or [dict(pieces=0)], "pieces"), (),
         f"How many pieces of '{g}' are there in total, over all entries?",
         f"Sum the pieces of every item named {g}."),
        (one["price"], (),
         f"What is the price of {one['sku']}?",
         f"How much does the item {one['sku']} cost?"),
        (one["hall"], halls,
         f"In which hall is {one['sku']} kept?",
         f"Where is item {one['sku']}? Give the hall."),
        ((top(pieces), kinds[top(pieces)]), halls,
         "Which hall holds the most pieces, and how many items (entries) does it have?",
         "Sum the pieces by hall. Which hall has the largest sum, and how many entries are in it?"),
        (dear["pieces"], (),
         "Find the most expensive item. How many pieces of it are there?",
         "For the entry with the highest price, what is the number of pieces?")]


WORLDS = web_log, loans, tickets, config, journal, stock
