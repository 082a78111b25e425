"The worlds that prompts are tuned on."
import json
from datetime import date, datetime, timedelta

from making import CITIES, NAMES, grow, prose, top, total, values, where


def app_log(r, size):
    services, levels = ["auth", "billing", "search", "upload", "mailer"], ["INFO"] * 6 + ["WARN"] * 2 + ["ERROR"]
    words = "request served|cache refreshed|session opened|retry scheduled|file received|queue drained".split("|")
    t = datetime(2025, 3, r.randint(1, 9), 6)
    def make(i):
        nonlocal t
        t += timedelta(seconds=r.randint(1, 40))
        return dict(id=f"R{10000 + i * 3}", time=f"{t:%H:%M:%S}", level=r.choice(levels), service=r.choice(services),
            user=r.choice(NAMES), took=r.randint(3, 900), text=r.choice(words), day=f"{t:%Y-%m-%d}")
    line = lambda d: "{day} {time} {level} {service} id={id} user={user} took={took}ms {text}".format(**d)
    rows = grow(size, line, make)
    rare, slow = r.sample(rows[40:], 2)
    rare["text"], slow["took"] = "certificate expired", r.randint(2000, 9000)
    context = "\n".join(map(line, rows))
    s, u, one = r.choice(services), r.choice(NAMES), r.choice(rows)
    noisy = top(total(where(rows, level="WARN"), None, "service"))
    errors = total(where(rows, level="ERROR"), None, "user")
    return context, [
        (len(where(rows, level="ERROR")), (),
         "How many log lines have the level ERROR?",
         "Count the ERROR lines in this log."),
        (len(where(rows, service=s, user=u)), (),
         f"How many lines were logged by the {s} service for user {u}?",
         f"In this log, how often does user {u} show up in the {s} service?"),
        (slow["user"], NAMES,
         "Which user made the slowest request of all, going by the took value?",
         "One request took longer than every other. Which user was it for?"),
        (rare["service"], services,
         "Which service logged the message 'certificate expired'?",
         "There is a single line about a certificate that expired. What service is it from?"),
        (total(where(rows, service=s), "took"), (),
         f"How many milliseconds did all requests of the {s} service take together?",
         f"Add up the took values of every line from {s}."),
        (total(where(rows, level="WARN"), "took"), (),
         "What do the took values of all WARN lines add up to, in ms?",
         "Give me the total of took (in milliseconds) over the lines with level WARN."),
        (one["time"], values(rows, "time"),
         f"At what time of day (HH:MM:SS) was the request with id {one['id']} logged?",
         f"Tell me the time, as HH:MM:SS, of the line with id={one['id']}."),
        (one["user"], NAMES,
         f"Which user made request {one['id']}?",
         f"Look up id {one['id']}: who was the user?"),
        ((top(errors), errors[top(errors)]), NAMES,
         "Which user has the most ERROR lines, and how many ERROR lines does that user have?",
         "Name the user with the largest number of errors (level ERROR) and say how many errors it is."),
        (len(where(rows, service=noisy)), (),
         "Find the service with the most WARN lines. How many lines, of any level, does that service have in total?",
         "One service has more WARN lines than the others: how many lines of all levels did it log?")]


def orders(r, size):
    products = "lamp chair desk shelf rug mirror clock stool bench".split()
    start, line = date(2024, 1, 1), lambda d: ",".join(map(str, d.values()))
    rows = grow(size, line, lambda i: dict(order_id=f"A{1000 + i}", date=str(start + timedelta(days=r.randint(0, 365))),
        customer=r.choice(NAMES), city=r.choice(CITIES), product=r.choice(products), quantity=r.randint(1, 9),
        amount=r.randint(500, 90000) / 100))
    rare, big, one = r.sample(rows[30:], 3)
    rare["product"], big["amount"] = "globe", r.randint(100000, 200000) / 100
    context = "\n".join([",".join(rows[0])] + [line(d) for d in rows])
    city, who, what = r.choice(CITIES), r.choice(NAMES), r.choice(products)
    spent, units = total(rows, "amount", "customer"), total(rows, "quantity", "product")
    return context, [
        (len(where(rows, city=city)), (),
         f"How many orders went to {city}?",
         f"What is the number of orders with {city} as the city?"),
        (sum(d["quantity"] > 5 for d in rows), (),
         "How many orders have a quantity greater than 5?",
         "Count the orders of more than 5 pieces (column quantity)."),
        (big["customer"], NAMES,
         "Which customer placed the single order with the largest amount?",
         "Find the most expensive order. Which customer is it from?"),
        (rare["order_id"], values(rows, "order_id"),
         "Only one order is for the product globe. What is its order_id?",
         "Find the order_id of the order in which someone bought a globe."),
        (total(where(rows, customer=who), "amount"), (),
         f"What is the total amount of all orders by {who}? Round to two decimals.",
         f"How much did the customer {who} spend in total, to the cent?"),
        (total(where(rows, product=what), "quantity"), (),
         f"How many units of the product {what} were sold altogether? Use the quantity column.",
         f"Add up the quantity of every order for a {what}."),
        (one["amount"], (),
         f"What is the amount of order {one['order_id']}?",
         f"Look at order_id {one['order_id']}. What amount was charged?"),
        (one["city"], CITIES,
         f"To which city was order {one['order_id']} sent?",
         f"Give the city of order {one['order_id']}."),
        ((top(spent), len(where(rows, customer=top(spent)))), NAMES,
         "Which customer spent the most in total, and how many orders did they place?",
         "Find the customer whose orders add up to the largest amount. Who is it, and how many orders do they have?"),
        (len(where(rows, product=top(units))), (),
         "Which product sold the most units (sum of quantity)? Tell me how many orders there are for that product.",
         "Take the product with the highest total quantity. How many orders contain it?")]


def sensors(r, size):
    stations, t = "harbour ridge valley forest airport canal quarry".split(), datetime(2025, 6, 1)
    def make(i):
        nonlocal t
        t += timedelta(minutes=10)
        return dict(time=f"{t:%Y-%m-%d %H:%M}", station=r.choice(stations), temp_c=r.randint(-50, 340) / 10,
            rain_mm=r.choice([0.0, 0.0, r.randint(1, 90) / 10]), battery=r.randint(15, 100), status="ok")
    rows = grow(size, json.dumps, make)
    rare, cold, hot, one = r.sample(rows[30:], 4)
    rare["status"], cold["temp_c"], hot["temp_c"] = "flooded", -r.randint(80, 190) / 10, r.randint(360, 440) / 10
    context = "\n".join(map(json.dumps, rows))
    s, rain = r.choice(stations), total(rows, "rain_mm", "station")
    return context, [
        (len(where(rows, station=s)), (),
         f"How many readings come from the station {s}?",
         f"Count the readings whose station is {s}."),
        (sum(d["temp_c"] > 30 for d in rows), (),
         "In how many readings is temp_c above 30?",
         "How many readings are hotter than 30 degrees?"),
        (cold["station"], stations,
         "Which station had the coldest reading?",
         "Find the lowest temp_c in the data: at which station was it?"),
        (rare["station"], stations,
         "Which station reported the status 'flooded'?",
         "All readings but one have the status ok. Which station is the odd one from?"),
        (total(where(rows, station=s), "rain_mm"), (),
         f"How much rain fell at the station {s} in total, in mm?",
         f"What is the sum of rain_mm over all readings of {s}?"),
        (total(rows, "rain_mm"), (),
         "Add up rain_mm over all stations and readings.",
         "What is the total of rain_mm in this file?"),
        (one["battery"], (),
         f"What was the battery level in the reading of {one['time']}?",
         f"Look up the reading taken at {one['time']} and give me its battery value."),
        (one["station"], stations,
         f"Which station sent the reading of {one['time']}?",
         f"The reading at time {one['time']}: what station is it from?"),
        ((top(rain), len(where(rows, station=top(rain)))), stations,
         "Which station got the most rain in total, and how many readings does it have?",
         "Sum rain_mm by station. Which station has the largest sum, and how many readings did it send?"),
        (hot["battery"], (),
         "Find the hottest reading. What was the battery level in that same reading?",
         "What does battery say in the reading with the highest temp_c?")]


def novel(r, size):
    titles = [f"The {a} {b}" for a in "Silent Broken Golden Hidden Narrow Burning Second Frozen".split()
              for b in "Gate Orchard Letter Road Bell Harvest Wager Stair".split()]
    inns = "Red Fox|Anchor|Blue Door|Three Larches|Old Post|Wheatsheaf".split("|")
    people, trades = ["Tomas", "Ilse", "Rufus", "Greta"], "miller baker smith ferryman tailor".split()
    r.shuffle(titles)
    n = min(len(titles), max(10, size // 2500))
    chapters, payments = [], []
    for i in range(1, n + 1):
        paid = [dict(who=r.choice(people), coins=r.randint(2, 60), chapter=i) for _ in range(r.randint(2, 6))]
        mid = [f"{p['who']} paid {p['coins']} coins to the {r.choice(trades)}." for p in paid[1:]]
        mid += ["A lantern was lit."] * r.choice([0, 0, 1, 2, 3, 4])
        mid += ["Somebody played the violin."] * r.choice([0, 1])
        mid += [prose(r) for _ in range(size // n // 65)]
        r.shuffle(mid)
        first = f"{paid[0]['who']} paid {paid[0]['coins']} coins to the {r.choice(trades)}."
        chapters.append(dict(number=i, title=titles[i - 1], inn=r.choice(inns), body=[first] + mid))
        payments += paid
    one, key = r.sample(chapters[3:], 2)
    thief = r.choice(people)
    key["body"].insert(len(key["body"]) // 2, "Under a loose stone lay the silver key.")
    r.choice(chapters[3:])["body"].insert(5, f"{thief} secretly burned the map.")
    def text(c): return f"CHAPTER {c['number']}: {c['title']}\n\n{' '.join(c['body'])} They slept at the {c['inn']}.\n"
    context = "\n".join(map(text, chapters))
    spent = total(payments, "coins", "who")
    lit = {c["number"]: context.split("CHAPTER ")[c["number"]].count("lantern") for c in chapters}
    who = r.choice(people)
    return context, [
        (sum("violin" in text(c) for c in chapters), (),
         "In how many chapters does somebody play the violin?",
         "How many chapters of this book contain the word violin?"),
        (context.count("lantern"), (),
         "How many times does the word 'lantern' occur in the whole book?",
         "Count every occurrence of the word lantern in this text."),
        (key["number"], (),
         "In which chapter (its number) is the silver key found?",
         "Give the number of the chapter that mentions a silver key."),
        (thief, people,
         "Which character burned the map?",
         "Somebody in this novel secretly burned the map. Who was it?"),
        (spent[who], (),
         f"How many coins did {who} pay in the whole book?",
         f"Every so often {who} pays some coins. How many coins is that in total?"),
        (total(payments, "coins"), (),
         "How many coins are paid in this book altogether, by everyone?",
         "Characters keep paying coins to people. What is the grand total of coins paid?"),
        (one["title"], values(chapters, "title"),
         f"What is the title of chapter {one['number']}?",
         f"How is chapter {one['number']} called?"),
        (one["inn"], inns,
         f"At which inn did they sleep at the end of chapter {one['number']}?",
         f"Chapter {one['number']} ends with a night at an inn. Name the inn."),
        ((top(spent), len(where(payments, who=top(spent)))), people,
         "Which character paid the most coins in total, and how many payments did that character make?",
         "Who paid more coins than anyone else over the whole book? Also say how many times they paid."),
        (titles[top(lit) - 1], values(chapters, "title"),
         "Which chapter has the most mentions of the word lantern? Answer with that chapter's title.",
         "Find the chapter where 'lantern' occurs most often and give me its title.")]


def chat(r, size):
    users, t = NAMES[:7], datetime(2025, 5, 2, 8)
    talk = ("is the build green again?|I will look at it after lunch|the deadline moved to Friday"
            "|can someone review my branch?|thanks, that fixed it|see you at the stand-up"
            "|the staging server is slow today|who has the room at three?"
            "|I pushed a small change|the deadline is still tight").split("|")
    def make(i):
        nonlocal t
        t += timedelta(minutes=r.randint(1, 9))
        d = dict(time=f"{t:%Y-%m-%d %H:%M}", user=r.choice(users), euros=0, ticket="", text=r.choice(talk))
        if i % 5 == 1: d.update(euros=r.randint(4, 60))
        elif i % 7 == 2: d.update(ticket=f"T-{100 + i}")
        if d["euros"]: d["text"] = f"lunch receipt, {d['euros']} euros"
        if d["ticket"]: d["text"] = f"closed ticket {d['ticket']}"
        return d
    line = lambda d: "[{time}] {user}: {text}".format(**d)
    rows = grow(size, line, make)
    closed, paid = [d for d in rows if d["ticket"]], [d for d in rows if d["euros"]]
    odd, link = r.sample([d for d in rows[30:] if not d["ticket"] and not d["euros"]], 2)
    odd["text"], link["text"] = "I left my umbrella in the meeting room", "notes are at wiki/release-plan"
    context = "\n".join(map(line, rows))
    u, one = r.choice(users), r.choice(closed)
    wrote, shut, euros = total(rows, None, "user"), total(closed, None, "user"), total(paid, "euros", "user")
    return context, [
        (wrote[u], (),
         f"How many messages did {u} write?",
         f"Count the messages that come from {u}."),
        (sum("deadline" in d["text"] for d in rows), (),
         "How many messages mention the deadline?",
         "In how many messages does the word deadline occur?"),
        (odd["user"], users,
         "Who left an umbrella in the meeting room?",
         "One message is about a forgotten umbrella. Who wrote it?"),
        (link["user"], users,
         "Who shared the link to wiki/release-plan?",
         "Which person posted where the notes are (wiki/release-plan)?"),
        (euros[u], (),
         f"How many euros do the lunch receipts of {u} add up to?",
         f"What is the total, in euros, of {u}'s lunch receipts?"),
        (total(paid, "euros"), (),
         "What is the sum of all lunch receipts in this chat, in euros?",
         "People post lunch receipts here. How many euros are they altogether?"),
        (one["user"], users,
         f"Who closed ticket {one['ticket']}?",
         f"Which person wrote that they closed {one['ticket']}?"),
        (one["time"], values(rows, "time"),
         f"At what date and time (as in the transcript) was ticket {one['ticket']} closed?",
         f"When was {one['ticket']} closed? Give date and time the way the chat shows them."),
        ((top(shut), shut[top(shut)]), users,
         "Who closed the most tickets, and how many did they close?",
         "Find the person with the largest number of closed tickets. Who is it and how many are there?"),
        (euros[top(wrote)], (),
         "Who wrote the most messages? Tell me how many euros that person's lunch receipts come to.",
         "Take the most talkative person in this chat and add up that person's lunch receipts, in euros.")]


def staff(r, size):
    teams, langs = "design support legal finance research".split(), "Spanish French Polish Hindi Arabic".split()
    rows = grow(size, str, lambda i: dict(name=f"{r.choice(NAMES)}{i:03}", team=r.choice(teams),
        office=r.choice(CITIES[:6]), salary=r.randint(280, 900) * 100, started=r.randint(1998, 2024),
        speaks=r.sample(langs, r.randint(1, 3))))
    boss, one = r.sample(rows[10:], 2)
    odd = r.choice([d for d in rows[10:] if d is not boss])
    boss["salary"], odd["team"] = r.randint(1200, 2000) * 100, "archive"
    team, office, lang, year = r.choice(teams), r.choice(CITIES[:6]), r.choice(langs), r.randint(2003, 2020)
    cities, pay = total(rows, None, "office"), total(rows, "salary", "team")
    names = values(rows, "name")
    return rows, [
        (len(where(rows, team=team)), (),
         f"How many people are in the {team} team?",
         f"What is the head count of the team {team}?"),
        (sum(lang in d["speaks"] for d in rows), (),
         f"How many people speak {lang}?",
         f"Count everyone who lists {lang} among the languages they speak."),
        (boss["name"], names,
         "Who has the highest salary? Give the name.",
         "What is the name of the best paid person in this list?"),
        (odd["name"], names,
         "There is exactly one person in the archive team. What is their name?",
         "Who works in the archive team?"),
        (total(where(rows, office=office), "salary"), (),
         f"What do the salaries of everyone in the {office} office add up to?",
         f"What is the total salary paid in {office}?"),
        (sum(d["salary"] for d in rows if d["started"] >= year), (),
         f"What is the sum of the salaries of the people who started in {year} or later?",
         f"Add up the salary of everybody whose started year is at least {year}."),
        (one["office"], CITIES,
         f"In which office does {one['name']} work?",
         f"Where is {one['name']} based? Give the office."),
        (one["salary"], (),
         f"What is the salary of {one['name']}?",
         f"How much does {one['name']} earn?"),
        ((top(cities), cities[top(cities)]), CITIES,
         "Which office has the most people, and how many is that?",
         "Name the largest office by head count, with the head count."),
        (len(where(rows, team=top(pay))), (),
         "Which team has the largest total salary? Say how many people are in it.",
         "Sum the salaries by team. How many people does the team with the highest sum have?")]


WORLDS = app_log, orders, sensors, novel, chat, staff
