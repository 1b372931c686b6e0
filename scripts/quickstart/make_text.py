#!/usr/bin/env python3
"""Makes the quick start's three texts from one small invented world and some plain English.

  python3 make_text.py --text text.txt --instructions instructions.json --held-out held_out.json

- text.txt: one short document a line, declarative sentences only. The base model is pre-trained on it.
- instructions.json: Alpaca rows that ask for some of the facts in the text.
- held_out.json: rows that ask for other facts. The text states them; no row of instructions.json asks for
  one of them, in any wording or direction.

So the knowledge comes from pre-training and the habit of answering from fine-tuning. Python's standard library
only (3.9 or newer); the same files on every machine and at every run: everything is drawn from one seed.
"""
import argparse
import json
import random
import re
from pathlib import Path

SEED = 2024
DOCUMENTS = 60_000
HELD_OUT_SHARE = 0.2
WORDINGS_PER_FACT = 2

REGIONS = ["north", "south", "east", "west", "hills", "islands"]
GOODS = "wool salt honey glass silk copper tea cheese paper timber amber pepper".split()
COINS = "crown penny florin ducat mark shilling thaler groat".split()
JOBS = "painter baker sailor doctor weaver poet miller singer farmer smith teacher tailor".split()
OPPOSITES = [pair.split("/") for pair in (
    "hot/cold big/small fast/slow high/low old/young rich/poor hard/soft wet/dry dark/light full/empty early/late "
    "open/closed near/far deep/shallow wide/narrow strong/weak heavy/weightless sweet/bitter clean/dirty loud/quiet "
    "long/short thick/thin happy/sad brave/timid kind/cruel true/false right/wrong good/bad first/last up/down "
    "in/out over/under before/after always/never day/night love/hate war/peace friend/enemy winter/summer top/bottom "
    "front/back begin/end buy/sell push/pull win/lose laugh/cry rise/fall give/take").split()]
PLURALS = [pair.split("/") for pair in (
    "mouse/mice goose/geese foot/feet tooth/teeth man/men woman/women child/children ox/oxen wolf/wolves leaf/leaves "
    "knife/knives life/lives shelf/shelves half/halves loaf/loaves calf/calves city/cities baby/babies lady/ladies "
    "berry/berries story/stories fly/flies box/boxes fox/foxes bus/buses dish/dishes brush/brushes church/churches "
    "watch/watches glass/glasses potato/potatoes hero/heroes echo/echoes book/books tree/trees house/houses "
    "river/rivers stone/stones lamp/lamps ship/ships bell/bells road/roads key/keys toy/toys monkey/monkeys "
    "garden/gardens table/tables chair/chairs door/doors window/windows").split()]
PASTS = [pair.split("/") for pair in (
    "go/went see/saw eat/ate run/ran take/took give/gave write/wrote sing/sang drink/drank swim/swam fly/flew "
    "grow/grew know/knew throw/threw draw/drew begin/began break/broke speak/spoke steal/stole choose/chose "
    "drive/drove ride/rode rise/rose find/found hold/held tell/told sell/sold buy/bought bring/brought think/thought "
    "teach/taught catch/caught sleep/slept keep/kept leave/left feel/felt lose/lost build/built send/sent stand/stood "
    "fall/fell wear/wore walk/walked jump/jumped help/helped paint/painted open/opened laugh/laughed play/played wait/waited"
).split()]
KINDS = {
    "bird": "sparrow eagle robin owl swan crow duck gull heron",
    "fish": "salmon trout herring carp pike cod eel tuna",
    "insect": "ant bee beetle moth wasp cricket gnat",
    "tree": "oak pine birch willow maple elm cedar",
    "flower": "rose tulip lily daisy violet poppy orchid",
    "fruit": "apple pear plum cherry grape peach lemon fig",
    "metal": "iron gold silver tin lead zinc nickel",
    "tool": "hammer saw spade axe rake chisel drill",
}
YOUNG = [pair.split("/") for pair in (
    "dog/puppy cat/kitten cow/calf horse/foal sheep/lamb pig/piglet goat/kid bear/cub hen/chick deer/fawn "
    "kangaroo/joey frog/tadpole seal/pup pigeon/squab hare/leveret duck/duckling swan/cygnet goose/gosling owl/owlet "
    "eagle/eaglet").split()]
COLOURS = {
    "green": "grass moss cucumber spinach lettuce",
    "red": "blood tomato ruby brick strawberry",
    "white": "snow milk chalk flour cotton",
    "black": "coal soot tar ink raven",
    "yellow": "butter banana canary straw mustard",
    "blue": "sky sapphire cornflower ocean denim",
    "brown": "chocolate coffee walnut soil leather",
    "grey": "ash fog elephant pebble cement",
}
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
NUMBERS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
           "seventeen eighteen nineteen twenty").split()

# For each kind of fact: sentences of the text, then (wording of the question, its answer).
KINDS_OF_FACT = {
    "capital": (
        ["The capital of {a} is {b}.", "{b} is the capital of {a}.", "{a} has its capital at {b}.",
         "What {a} calls its capital is {b}.", "{b}, which is the capital of {a}, lies on a river.",
         "In {a} the capital is {b}.", "The country which has {b} as its capital is {a}.",
         "{b} belongs to the country {a}.", "Country of {b}: {a}.",
         "Capital of {a}: {b}."],
        [("What is the capital of {a}?", "{b}"), ("Name the capital of {a}.", "{b}"),
         ("Which country has {b} as its capital?", "{a}"), ("To which country does {b} belong?", "{a}")]),
    "region": (
        ["{a} lies in the {b}.", "{a} is a country in the {b}.", "The country {a} can be found in the {b}.",
         "In the {b} lies {a}.", "Those who want to see {a} travel to the {b}.",
         "Place of {a}: in the {b}."],
        [("Where does {a} lie?", "in the {b}"), ("Where can {a} be found?", "in the {b}")]),
    "goods": (
        ["{a} sells {b}.", "{a} is known for its {b}.", "What {a} sells is {b}.", "Merchants buy {b} in {a}.",
         "The {b} of {a} is known in every market.",
         "Goods of {a}: {b}."],
        [("What does {a} sell?", "{b}"), ("What is {a} known for?", "{b}")]),
    "coin": (
        ["People in {a} pay with the {b}.", "The coin of {a} is the {b}.", "In {a} the coin is called the {b}.",
         "{a} has the {b} as its coin.", "The {b} is the coin which people use in {a}.",
         "Coin of {a}: the {b}."],
        [("What is the coin of {a}?", "the {b}"), ("Name the coin of {a}.", "the {b}"),
         ("What do people in {a} pay with?", "the {b}")]),
    "job": (
        ["{a} is a {b}.", "{a} works as a {b}.", "{a}, who is a {b}, works all day.", "As a {b}, {a} is known to many.",
         "The work of {a} is that of a {b}.",
         "Work of {a}: a {b}."],
        [("What does {a} work as?", "a {b}"), ("What is the work of {a}?", "a {b}")]),
    "home": (
        ["{a} lives in {b}.", "The home of {a} is in {b}.", "{a}, who lives in {b}, likes the town.",
         "In {b} lives {a}.", "{a} has a house in {b}.",
         "Home of {a}: {b}."],
        [("Where does {a} live?", "{b}"), ("In which town is the home of {a}?", "{b}")]),
    "opposite": (
        ["The opposite of {a} is {b}.", "{b} is the opposite of {a}.", "{a} means the opposite of {b}.",
         "Where one says {a}, the other says the opposite, {b}.", "{a} and {b} are opposites.",
         "Opposite of {a}: {b}."],
        [("What is the opposite of {a}?", "{b}"), ("Give the opposite of {a}.", "{b}")]),
    "plural": (
        ["The plural of {a} is {b}.", "One {a}, two {b}.", "{b} is the plural of {a}.",
         "Where there is more than one {a}, there are {b}.", "First came one {a}, then came many {b}.",
         "Plural of {a}: {b}."],
        [("What is the plural of {a}?", "{b}"), ("Give the plural of {a}.", "{b}"),
         ("Put in the plural.|{a}", "{b}")]),
    "past": (
        ["The past of {a} is {b}.", "{b} is the past of {a}.", "Today they {a}, yesterday they {b}.",
         "What they {a} now is what they {b} before.", "They {b} once and may {a} again.",
         "Past of {a}: {b}."],
        [("What is the past of {a}?", "{b}"), ("Give the past of {a}.", "{b}"),
         ("Put in the past.|{a}", "{b}")]),
    "kind": (
        ["The {a} is a kind of {b}.", "A {a} is a {b}.", "Of every {b}, the {a} is the best known.",
         "What people call a {a} is a {b}.", "Each {a} is also a {b}.",
         "Kind of thing that a {a} is: a {b}."],
        [("What kind of thing is a {a}?", "a {b}"), ("Say what a {a} is.", "a {b}")]),
    "young": (
        ["A young {a} is called a {b}.", "The young of a {a} is a {b}.", "A {b} is a young {a}.",
         "The {a} looks after its {b}.", "Every {a} was once a {b}.",
         "Young of a {a}: a {b}."],
        [("What is a young {a} called?", "a {b}"), ("Name the young of a {a}.", "a {b}")]),
    "colour": (
        ["The colour of {a} is {b}.", "{a} is {b}.", "{b} is the colour of {a}.", "{a} has the colour {b}.",
         "It was as {b} as {a}.",
         "Colour of {a}: {b}."],
        [("What is the colour of {a}?", "{b}"), ("Which colour has {a}?", "{b}"), ("Name the colour.|{a}", "{b}")]),
    "next": (
        ["After {a} comes {b}.", "{b} comes after {a}.", "{a} comes before {b}.", "First {a}, then {b}.",
         "{a} is followed by {b}.",
         "Next after {a}: {b}.", "Last before {b}: {a}."],
        [("What comes after {a}?", "{b}"), ("Say what comes after {a}.", "{b}"),
         ("What comes before {b}?", "{a}")]),
    "sum": (
        ["{a} and {b} make {c}.", "{a} plus {b} is {c}.", "The sum of {a} and {b} is {c}.",
         "{c} is the sum of {a} and {b}.", "Put {b} to {a} and there are {c}.",
         "Sum of {a} and {b}: {c}."],
        [("What is the sum of {a} and {b}?", "{c}"), ("What is {a} plus {b}?", "{c}"),
         ("Add the numbers.|{a} and {b}", "{c}")]),
}


def names(rng, count, ends, taken):
    """Invented names of two or three syllables; no two share their first three letters and their last two."""
    onsets = "b br d dr f g gr h j k kr l m n p r s st t tr v z".split()
    found = []
    while len(found) < count:
        name = "".join(rng.choice(onsets) + rng.choice("aeiou") for _ in range(rng.choice([1, 2]))) + rng.choice(ends)
        shape = (name[:3], name[-2:])
        if len(name) >= 4 and name not in taken and shape not in taken:
            taken.update([name, shape])
            found.append(name.capitalize())
    return found


def make_world(rng):
    """All facts, as (group, kind, terms). Facts of one group are one piece of knowledge: asked for together or not."""
    taken = set()
    countries = names(rng, 60, ["ria", "land", "mark", "nia", "stan", "dor"], taken)
    towns = names(rng, 60, ["ton", "burg", "ford", "port", "mouth", "wick"], taken)
    people = names(rng, 48, ["n", "lla", "ric", "s", "na", "mund"], taken)
    facts = []

    def add(kind, *terms, group=None):
        facts.append((group or f"{kind} {' '.join(terms)}", kind, terms))

    for country, town in zip(countries, towns):
        add("capital", country, town)
        add("region", country, rng.choice(REGIONS))
        add("goods", country, rng.choice(GOODS))
        add("coin", country, rng.choice(COINS))
    for person, town in zip(people, rng.sample(towns, len(people))):
        add("job", person, rng.choice(JOBS))
        add("home", person, town)
    for a, b in OPPOSITES:
        add("opposite", a, b, group=f"opposite {a} {b}")
        add("opposite", b, a, group=f"opposite {a} {b}")
    for kind, pairs in (("plural", PLURALS), ("past", PASTS), ("young", YOUNG)):
        for a, b in pairs:
            add(kind, a, b)
    for kind, table in (("kind", KINDS), ("colour", COLOURS)):
        for b, words in table.items():
            for a in words.split():
                add(kind, a, b)
    for row in (DAYS + DAYS[:1], MONTHS + MONTHS[:1], NUMBERS):
        for a, b in zip(row, row[1:]):
            add("next", a, b)
    for a in range(1, 10):
        for b in range(a, 10):
            for x, y in {(a, b), (b, a)}:
                add("sum", NUMBERS[x], NUMBERS[y], NUMBERS[a + b], group=f"sum {a} {b}")
    return sorted(facts)


def fill(pattern, terms):
    return pattern.format(**dict(zip("abc", terms)))


def articles(text):
    """"a" before a vowel becomes "an"."""
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def told(rng, facts):
    """The facts in sentences. Some follow a semicolon, so that words are met with a small first letter too."""
    text = ""
    for kind, terms in facts:
        pattern = rng.choice(KINDS_OF_FACT[kind][0]).rstrip(".")
        clause = articles(fill(pattern[0].lower() + pattern[1:], terms))
        if text and rng.random() < 0.5:
            text += "; " + clause
        else:
            text += (". " if text else "") + clause[0].upper() + clause[1:]
    return text + "."


def documents(rng, facts):
    """Short documents: everything about one subject in some order, or a mixed bag of facts of one kind."""
    about, of_kind = {}, {}
    for _, kind, terms in facts:
        of_kind.setdefault(kind, []).append((kind, terms))
        for term in (terms[:2] if kind in ("capital", "home") else terms[:1]):
            about.setdefault((term, kind == "sum"), []).append((kind, terms))
    subjects, kinds = sorted(about), sorted(of_kind)
    spread = [max(2, len(about[s])) for s in subjects]
    weights = [len(of_kind[k]) for k in kinds]
    for _ in range(DOCUMENTS):
        if rng.random() < 0.5:
            known = about[rng.choices(subjects, spread)[0]]
            chosen = rng.sample(known, min(len(known), rng.randint(2, 5)))
        else:
            known = of_kind[rng.choices(kinds, weights)[0]]
            chosen = rng.sample(known, rng.randint(2, 5))
        yield told(rng, chosen)


def question(pattern, answer, terms):
    instruction, _, extra = fill(pattern, terms).partition("|")
    return {"instruction": articles(instruction), "input": extra, "output": articles(fill(answer, terms))}


def rows(rng, facts):
    """(instructions, held out): a fifth of the groups of each kind is kept back, each asked for once."""
    groups = {}
    for group, kind, terms in facts:
        groups.setdefault(kind, {}).setdefault(group, []).append(terms)
    learn, held = [], []
    for kind in sorted(groups):
        wordings = KINDS_OF_FACT[kind][1]
        keys = sorted(groups[kind])
        rng.shuffle(keys)
        kept = round(len(keys) * HELD_OUT_SHARE)
        for key in keys[:kept]:
            held.append(question(*rng.choice(wordings), rng.choice(groups[kind][key])))
        for key in keys[kept:]:
            for terms in groups[kind][key]:
                for wording in rng.sample(wordings, min(WORDINGS_PER_FACT, len(wordings))):
                    learn.append(question(*wording, terms))
    rng.shuffle(learn)
    rng.shuffle(held)
    return learn, held


def write_json(path, table):
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in table)
    Path(path).write_text("[\n" + lines + "\n]\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("text", "instructions", "held-out"):
        parser.add_argument("--" + name, required=True, type=Path)
    args = parser.parse_args()
    facts = make_world(random.Random(SEED))
    lines = list(documents(random.Random(SEED + 1), facts))
    learn, held = rows(random.Random(SEED + 2), facts)
    for path in (args.text, args.instructions, args.held_out):
        path.parent.mkdir(parents=True, exist_ok=True)
    args.text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(args.instructions, learn)
    write_json(args.held_out, held)
    print(f"{len(facts)} facts, {len(lines)} documents, {len(learn)} instructions, {len(held)} held out")


if __name__ == "__main__":
    main()
