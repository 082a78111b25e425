"""Small, plain data, as it lies about in a notebook: what a model fails at here, it fails at for want of a method.

`DEV` is for tuning, `TEST` for reporting, as with the worlds of long texts.
"""
from making import CITIES, NAMES, Tie

FOOD = ("flour sugar salt rice honey oats lentils beans coffee tea pepper vinegar mustard raisins almonds butter cheese "
        "onions garlic carrots apples plums walnuts barley cocoa").split()

def least_and_most(of):
    "The keys with the smallest and with the largest value, if each is alone."
    order = sorted(of, key=of.get)
    if of[order[0]] == of[order[1]] or of[order[-1]] == of[order[-2]]: raise Tie(order)
    return order[0], order[-1]


def pantry(r, size):
    have = {name: r.randint(1, 400) for name in r.sample(FOOD, r.randint(8, len(FOOD)))}
    least, most = least_and_most(have)
    one, two = r.sample(list(have), 2)
    cut, long = r.randint(50, 300), sum(len(n) > 5 for n in have)
    return have, [
        (len(have), (), "How many kinds of food are in this pantry?", "How many entries does this dict have?"),
        (sum(n > cut for n in have.values()), (),
         f"Of how many foods are there more than {cut} grams?", f"How many of the amounts are above {cut}?"),
        (most, tuple(have), "Of which food is there most?", "Which entry has the largest amount?"),
        (least, tuple(have), "Of which food is there least?", "Which entry has the smallest amount?"),
        (sum(have.values()), (), "How much do all foods weigh together?", "What do all amounts add up to?"),
        (have[one] + have[two], (), f"How much {one} and {two} is there together?", f"Add the amounts of {one} and {two}."),
        (have[one], (), f"How much {one} is there?", f"What is the amount of {one}?"),
        (have[two], (), f"How many grams of {two} are left?", f"Look up {two}: what is its amount?"),
        (have[most] - have[least], (), "How much more is there of the largest amount than of the smallest?",
         "Subtract the smallest amount from the largest one."),
        (long * 2, (), "Count the foods whose name has more than 5 letters, and double that count.",
         "Twice the number of foods with names longer than 5 letters: how much is it?")]


def scores(r, size):
    found = [r.randint(-200, 999) for _ in range(r.randint(20, 400))]
    order, cut, i = sorted(found), r.randint(100, 800), r.randint(3, 15)
    if order[0] == order[1] or order[-1] == order[-2]: raise Tie(order)
    return found, [
        (len(found), (), "How many scores are in this list?", "How long is this list?"),
        (sum(n > cut for n in found), (), f"How many scores are above {cut}?", f"Count the numbers greater than {cut}."),
        (order[-1], (), "What is the highest score?", "Find the largest number."),
        (order[0], (), "What is the lowest score?", "Find the smallest number."),
        (sum(found), (), "What do the scores add up to?", "What is the sum of this list?"),
        (sum(n for n in found if n < 0), (), "What is the sum of the negative scores?", "Add up all scores below zero."),
        (found[-1], (), "What is the last score?", "Which number stands at the end of the list?"),
        (found[i], (), f"Which score has index {i}? Indices start at 0.", f"What is the element at index {i} (the first has index 0)?"),
        (order[-1] - order[0], (), "By how much is the highest score above the lowest?",
         "What is the difference between the largest and the smallest number?"),
        (order[-1] + order[-2], (), "What do the two highest scores add up to?", "Add the two largest numbers of the list.")]


def roster(r, size):
    ages = {name.title(): r.randint(18, 90) for name in r.sample(NAMES, r.randint(8, len(NAMES)))}
    least, most = least_and_most(ages)
    one, two = r.sample(list(ages), 2)
    cut = r.randint(30, 75)
    return "\n".join(f"{name}: {age}" for name, age in ages.items()), [
        (len(ages), (), "How many people are on this list?", "How many lines does this text have?"),
        (sum(n > cut for n in ages.values()), (), f"How many people are older than {cut}?", f"Count those whose age is above {cut}."),
        (most, tuple(ages), "Who is the oldest?", "Who has the highest age?"),
        (least, tuple(ages), "Who is the youngest?", "Who has the lowest age?"),
        (sum(ages.values()), (), "What do all ages add up to?", "What is the sum of the ages?"),
        (sum(n for n in ages.values() if n > cut), (), f"Add up the ages of everybody older than {cut}.",
         f"What do the ages above {cut} add up to?"),
        (ages[one], (), f"How old is {one}?", f"What is the age of {one}?"),
        (ages[two], (), f"Which age is noted for {two}?", f"Look up {two}. How old is that person?"),
        (ages[most] - ages[least], (), "How many years lie between the oldest and the youngest?",
         "By how many years is the oldest older than the youngest?"),
        (abs(ages[one] - ages[two]), (), f"How many years lie between {one} and {two}?",
         f"What is the difference in age of {one} and {two}, in years?")]


def rainfall(r, size):
    rows = [dict(city=c, mm=r.randint(5, 190)) for c in r.sample(CITIES, r.randint(6, len(CITIES)))]
    mm = {d["city"]: d["mm"] for d in rows}
    least, most = least_and_most(mm)
    one, two = r.sample(list(mm), 2)
    cut = r.randint(30, 150)
    return rows, [
        (len(rows), (), "For how many cities is rain noted?", "How many rows are there?"),
        (sum(n < cut for n in mm.values()), (), f"How many cities had less than {cut} mm?", f"Count the rows with mm below {cut}."),
        (most, tuple(mm), "Which city was the wettest?", "Which city has the highest mm?"),
        (least, tuple(mm), "Which city was the driest?", "Which city has the lowest mm?"),
        (sum(mm.values()), (), "How many mm fell in all cities together?", "What is the sum of mm?"),
        (sum(n for n in mm.values() if n >= cut), (), f"Add up the mm of the cities with at least {cut} mm.",
         f"What do the mm values of {cut} and more add up to?"),
        (mm[one], (), f"How many mm fell in {one}?", f"What is the mm of {one}?"),
        (mm[two], (), f"How much rain did {two} get?", f"Look up the mm of {two}."),
        ((most, mm[most] - mm[least]), tuple(mm), "Which city had the most rain, and how many mm more than the driest one?",
         "Name the wettest city and say by how many mm it is above the driest."),
        (round(sum(mm.values()) / len(mm), 1), (), "What is the average of mm, rounded to one decimal?",
         "How many mm did a city get on average? Round to one decimal.")]


def votes(r, size):
    cast = [r.choice(FOOD[:9]) for _ in range(r.randint(60, 600))]
    of = {name: cast.count(name) for name in FOOD[:9]}
    least, most = least_and_most(of)
    one, two = r.sample(list(of), 2)
    return " ".join(cast), [
        (len(cast), (), "How many votes were cast?", "How many words does this text have?"),
        (len(set(cast)), (), "How many different foods got a vote?", "How many distinct words are there?"),
        (most, tuple(of), "Which food got the most votes?", "Which word is the most frequent?"),
        (least, tuple(of), "Which food got the fewest votes?", "Which word is the rarest?"),
        (of[one] + of[two], (), f"How many votes did {one} and {two} get together?", f"How often do {one} and {two} occur, added up?"),
        (len(cast) - of[one], (), f"How many votes were not for {one}?", f"How many of the words are not {one}?"),
        (of[one], (), f"How many votes did {one} get?", f"How often does the word {one} occur?"),
        (cast[-1], tuple(of), "What was the last vote for?", "What is the last word?"),
        (of[most] - of[least], (), "How many votes lie between the first and the last food?",
         "By how many is the most frequent word more frequent than the rarest?"),
        ((most, of[most]), tuple(of), "Which food won, and with how many votes?", "Name the most frequent word, and how often it occurs.")]


def lengths(r, size):
    metres = {f"{a}{b}": r.randint(20, 900) for a in "ABCDE" for b in range(1, r.randint(3, 9))}
    least, most = least_and_most(metres)
    one, two = r.sample(list(metres), 2)
    cut = r.randint(200, 700)
    return "\n".join(["trail,metres"] + [f"{name},{n}" for name, n in metres.items()]), [
        (len(metres), (), "How many trails are in this table?", "How many rows does the table have, the header not counted?"),
        (sum(n > cut for n in metres.values()), (), f"How many trails are longer than {cut} metres?", f"Count the rows with metres above {cut}."),
        (most, tuple(metres), "Which trail is the longest?", "Which trail has the most metres?"),
        (least, tuple(metres), "Which trail is the shortest?", "Which trail has the fewest metres?"),
        (sum(metres.values()), (), "How many metres are all trails together?", "What is the sum of the column metres?"),
        (sum(n for k, n in metres.items() if k[0] == "A"), (), "How many metres are the trails whose name begins with A together?",
         "Add up the metres of the trails A1, A2 and so on."),
        (metres[one], (), f"How long is trail {one}, in metres?", f"What does the table say for {one}?"),
        (metres[two], (), f"How many metres has trail {two}?", f"Look up the length of trail {two}."),
        (metres[most] - metres[least], (), "By how many metres is the longest trail longer than the shortest?",
         "Subtract the length of the shortest trail from that of the longest."),
        ((most, metres[most]), tuple(metres), "Which trail is the longest, and how long is it?", "Name the longest trail and its metres.")]


DEV, TEST = (pantry, scores, roster), (rainfall, votes, lengths)
