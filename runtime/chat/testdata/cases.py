#!/usr/bin/env python3
"""Renders the templates beside this file with transformers 4.57.3 and jinja2 3.1 and writes cases.json.

    python3 cases.py          (pip install transformers==4.57.3 jinja2)

The templates are written after the formats that the models' documentation describes. The time is fixed.
"""
import datetime, json, pathlib
import transformers.utils.chat_template_utils as chat

HERE = pathlib.Path(__file__).parent


class Fixed(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 3, 7, 9, 5, 1)


chat.datetime = Fixed

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a place, \"now\" <é>.",
          "parameters": {"type": "object", "properties": {
              "place": {"type": "string", "description": "Where"}, "days": {"type": ["integer", "null"]},
              "list": {"type": "array", "items": {"type": "number"}, "description": "x"}}, "required": ["place"]}}}]
user, assistant = "user", "assistant"
CONVERSATIONS = {
    "one": dict(messages=[{"role": user, "content": "Hello, how are you?"}]),
    "system": dict(messages=[{"role": "system", "content": " You are a careful assistant.\n"}, {"role": user, "content": "  Hi! "}]),
    "turns": dict(messages=[{"role": user, "content": "Hello"}, {"role": assistant, "content": " Hi there.\n"},
                            {"role": user, "content": "Was ist <b>größer</b>? 日本語 🙂\n\nline"}]),
    "all": dict(messages=[{"role": "system", "content": "Be brief."}, {"role": user, "content": "a"}, {"role": assistant, "content": "<think>\nhm\n</think>\n\nb"},
                          {"role": user, "content": "c"}, {"role": assistant, "content": "<think>x</think>d"}]),
    "wrong": dict(messages=[{"role": assistant, "content": "first"}, {"role": assistant, "content": "second"}]),
    "empty": dict(messages=[{"role": user, "content": ""}]),
    "parts": dict(messages=[{"role": "system", "content": [{"type": "text", "text": "S"}]}, {"role": user, "content": [{"type": "text", "text": " Hi "}, {"type": "text", "text": "there"}]}]),
    "tools": dict(messages=[{"role": user, "content": "Weather in Paris?"},
                            {"role": assistant, "content": "", "tool_calls": [{"type": "function", "function": {"name": "get_weather", "arguments": {"place": "Paris", "days": 2}}}]},
                            {"role": "tool", "content": "{\"t\": 20.5}"}, {"role": user, "content": "Thanks"}], tools=TOOLS),
    "tools-one": dict(messages=[{"role": user, "content": "Weather?"}], tools=TOOLS),
}

cases = []
for path in sorted((HERE / "templates").glob("*.jinja")):
    for name, c in CONVERSATIONS.items():
        for generation in (True, False):
            case = dict(template=path.stem, conversation=name, add_generation_prompt=generation)
            try:
                rendered, _ = chat.render_jinja_template(
                    conversations=[c["messages"]], tools=c.get("tools"), chat_template=path.read_text(),
                    add_generation_prompt=generation, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
                case["want"] = rendered[0]
            except Exception as e:
                case["error"] = f"{type(e).__name__}: {e}"
            cases.append(case)
with open(HERE / "cases.json", "w") as f:
    json.dump(dict(conversations=CONVERSATIONS, cases=cases), f, ensure_ascii=False, indent=1)
    f.write("\n")
print(len(cases), "cases,", sum("error" in c for c in cases), "errors")
