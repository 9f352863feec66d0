"""The demo's public text: plain sentences, and tables with their sentences from eleven domains.

A domain is a list of fields with their values and a list of sentences; a sentence names the fields it needs in
braces. Values in quotes stay as they are; TITLE and PLACE are drawn anew for each record, so that a model can only
learn to copy them.
"""

import re

from demo_words import invented, title

TITLE, PLACE = title, invented

# Everyday words that a general text has too. The private records use some of them, and others that no public text has.
AILMENTS = ["knee pain", "back pain", "asthma", "a rash", "migraine", "insomnia", "hay fever", "a cough", "headaches", "a cold"]
CARES = ["rest", "exercises", "an ointment", "a blood test", "warm tea", "fresh air", "antibiotics", "sleep"]

DOMAINS = [
    ({"name": TITLE, "type": ["hotel", "guest house", "inn", "hostel"], "town": PLACE, "rooms": ["12", "20", "35", "60", "84"],
      "price": ["cheap", "moderate", "high"]},
     ["{name} is a {type} in {town}.", "The {type} {name} in {town} has {rooms} rooms.",
      "{name} is a {type} in {town} with {price} prices.", "With {rooms} rooms, {name} is a {type} in {town}; prices are {price}.",
      "Travellers to {town} can stay at {name}, a {type} with {rooms} rooms."]),
    ({"name": TITLE, "type": ["novel", "guide", "atlas", "cookbook", "history"], "writer": PLACE, "pages": ["90", "160", "240", "310", "420"],
      "year": ["1954", "1968", "1977", "1989", "1996", "2004"]},
     ["{name} is a {type} by {writer}.", "The {type} {name} was printed in {year}.", "{writer} wrote {name}, a {type} of {pages} pages, in {year}.",
      "{name}, a {type} by {writer}, has {pages} pages."]),
    ({"name": TITLE, "type": ["phone", "camera", "radio", "printer", "lamp"], "maker": PLACE, "colour": ["black", "white", "red", "grey", "yellow"],
      "weight": ["200 grams", "350 grams", "one kilogram", "two kilograms"], "price": ["cheap", "moderate", "high"]},
     ["{name} is a {colour} {type} made by {maker}.", "The {name} {type} weighs {weight}.", "{maker} sells the {name}, a {type} at a {price} price.",
      "Made by {maker}, the {name} is a {colour} {type} that weighs {weight}."]),
    ({"name": TITLE, "type": ["museum", "gallery", "library", "theatre"], "town": PLACE, "opened": ["1872", "1901", "1935", "1962", "1998"],
      "open": ["daily", "on weekdays", "at weekends"]},
     ["{name} is a {type} in {town} that opened in {opened}.", "The {type} {name} is open {open}.",
      "Opened in {opened}, the {name} {type} in {town} can be visited {open}.", "In {town} there is a {type} called {name}."]),
    ({"line": TITLE, "from": PLACE, "to": PLACE, "stops": ["4", "6", "9", "15"], "runs": ["hourly", "daily", "every ten minutes", "at night"]},
     ["The {line} line goes from {from} to {to}.", "{line} trains run {runs} between {from} and {to}.",
      "From {from} to {to}, the {line} line makes {stops} stops and runs {runs}.", "The {line} line has {stops} stops."]),
    ({"plant": TITLE, "type": ["rose", "apple", "fern", "herb", "maple"], "height": ["half a metre", "one metre", "three metres", "ten metres"],
      "soil": ["dry", "wet", "sandy", "chalky"], "flowers": ["in spring", "in summer", "in autumn"]},
     ["{plant} is a {type} that likes {soil} soil.", "The {type} {plant} grows to {height}.", "{plant} flowers {flowers} and grows to {height}.",
      "In {soil} soil the {plant} {type} reaches {height} and flowers {flowers}."]),
    ({"name": TITLE, "type": ["soup", "stew", "cake", "salad", "bread"], "main": ["beans", "carrots", "oats", "cheese", "lemon", "lentils"],
      "time": ["ten minutes", "half an hour", "an hour", "two hours"], "serves": ["two", "four", "six"]},
     ["{name} is a {type} made with {main}.", "The {type} {name} takes {time} and serves {serves}.", "{name} needs {main} and {time}.",
      "Made with {main}, {name} is a {type} that serves {serves}."]),
    ({"bridge": TITLE, "river": PLACE, "length": ["80 metres", "150 metres", "400 metres", "one kilometre"], "built": ["1790", "1846", "1911", "1970"],
      "material": ["stone", "steel", "wood", "brick"]},
     ["The {bridge} crosses the {river}.", "{bridge} is a {material} bridge over the {river}, built in {built}.",
      "Built of {material} in {built}, {bridge} is {length} long.", "Over the {river} stands {bridge}, {length} long."]),
    ({"name": TITLE, "type": ["school", "college", "academy"], "town": PLACE, "pupils": ["120", "300", "450", "800"],
      "subject": ["music", "science", "languages", "farming", "drawing"]},
     ["{name} is a {type} in {town} with {pupils} pupils.", "The {type} {name} teaches {subject}.",
      "In {town}, {name} is known as a {type} for {subject}.", "{pupils} pupils learn {subject} at {name}, a {type} in {town}."]),
    ({"team": TITLE, "sport": ["hockey", "rowing", "chess", "tennis", "cricket"], "town": PLACE, "wins": ["3", "7", "11", "18"],
      "coach": PLACE},
     ["{team} plays {sport} in {town}.", "The {sport} team {team} has {wins} wins.", "{coach} is the coach of {team}, a {sport} team from {town}.",
      "With {wins} wins, {team} of {town} leads in {sport}."]),
    ({"remedy": TITLE, "type": ["tea", "balm", "oil", "syrup"], "maker": PLACE, "helps": AILMENTS, "use": ["daily", "at night", "in spring"]},
     ["{remedy} is a {type} for {helps}.", "The {type} {remedy} helps with {helps} and is used {use}.",
      "{maker} makes {remedy}, a {type} for {helps}."]),
]

PLAIN = [
    "The road from {a} to {b} follows the river for {n} miles.",
    "{a} is a small town with a market in the {season}.",
    "People in {a} say that the {season} is the best time to visit the {thing}.",
    "The {thing} at {a} was painted {colour} last {season}.",
    "A train leaves {a} every morning and reaches {b} before noon.",
    "In the {season} the {thing} near {a} is closed, but the one in {b} stays open.",
    "There are {n} shops on the main street of {a}, and most of them sell {goods}.",
    "{a} makes {goods}, which are sold in {b} and in the towns around it.",
    "The {colour} {thing} stands between the old church and the school of {a}.",
    "When it rains, the path to {a} is wet and the {thing} is hard to reach.",
    "The shop has {goods} for those who need them, and the owner is kind to all.",
    "Since {year} the {thing} has been used by the people of {a}.",
    "After {n} days of work the {thing} was ready again.",
    "You can walk from the {thing} to {b} in {n} minutes.",
    "They found that the {goods} from {a} last longer than those from {b}.",
    "People in {a} who have {ailment} are often given {care}.",
    "For {ailment} some take {care}, others wait until {day}.",
    "Since {day} the market of {a} has sold {goods}.",
    "Last week the {thing} was seen by many from {b}, and people from {a} came too.",
    "The plan was to build a new {thing} in {a}, and to return to it in a year.",
]

_FILL = {
    "season": ["spring", "summer", "autumn", "winter"],
    "thing": ["bridge", "mill", "garden", "station", "library", "harbour", "tower", "market hall", "museum"],
    "colour": ["white", "red", "green", "blue", "yellow"],
    "goods": ["shoes", "clocks", "lamps", "bicycles", "baskets", "blankets", "kettles", "books", "chairs"],
    "n": ["two", "three", "five", "seven", "ten", "twelve", "twenty"],
    "ailment": AILMENTS,
    "care": CARES,
    "day": ["Monday", "Tuesday", "Friday", "Sunday", "March", "May", "July", "October", "yesterday"],
    "year": ["1890", "1925", "1950", "1985", "2001"],
}


def pair(rng):
    """One table and its sentence. A table is `field : value | ...` or, one time in three, `field[value], ...`."""
    fields, sentences = rng.choice(DOMAINS)
    sentence = rng.choice(sentences)
    needed = set(re.findall(r"{(\w+)}", sentence))
    values = {f: v(rng) if callable(v) else rng.choice(v) for f, v in fields.items() if f in needed}
    if rng.random() < 1 / 3:
        source = ", ".join(f"{f}[{v}]" for f, v in values.items())
    else:
        source = " | ".join(f"{f} : {v}" for f, v in values.items())
    return source, sentence.format(**values)


def plain(rng):
    """Two or three plain sentences."""
    chosen = rng.sample(PLAIN, rng.choice([2, 2, 3]))
    return " ".join(_sentence(rng, s) for s in chosen)


def _sentence(rng, template):
    filled = template.format(a=invented(rng), b=invented(rng), **{k: rng.choice(v) for k, v in _FILL.items()})
    return filled[0].upper() + filled[1:]
