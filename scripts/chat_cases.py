"""Conversations for chat templates, and how Transformers would render them (utils/chat_template_utils.py there)."""

import datetime
import json

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

NOW = 1753142400
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

HELLO = {"role": "user", "content": "Hello! "}
ANSWER = {"role": "assistant", "content": "Hi, how can I help?\n"}
SYSTEM = {"role": "system", "content": "  You answer in one sentence. "}
HARD = {"role": "user", "content": "Ünï\u2028cödé 👍 <b>\"quoted\"</b> & it's\\n {{ not_a_variable }} {% if %}\n\n"}
THOUGHTS = {"role": "assistant", "content": "<think>\nThey greet me.\n</think>\n\nHi there."}
REASONING = {"role": "assistant", "content": "Hi there.", "reasoning_content": "They greet me.\nPolitely."}
THINKING = {"role": "assistant", "content": "Hi there.", "thinking": "They greet me."}
PARTS = {"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "this?"}]}
IMAGE = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}
WEATHER_ARGUMENTS = {"city": "Zürich", "days": 3, "units": None, "detailed": True, "at": [46.5, 8], "more": {"a": "\"b\""}}


def call(name, arguments, number=1):
    return {"type": "function", "id": f"call{number:05}", "function": {"name": name, "arguments": arguments}}


CALL = {"role": "assistant", "content": "", "tool_calls": [call("get_weather", WEATHER_ARGUMENTS)]}
CALL_NULL = {"role": "assistant", "content": None, "tool_calls": [call("get_weather", {"city": "Rome"})]}
CALL_BARE = {"role": "assistant", "tool_calls": [call("get_weather", {"city": "Rome"})]}
CALL_TALK = {"role": "assistant", "content": "Let me see.", "reasoning_content": "A tool is needed.", "tool_calls": [call("get_weather", {})]}
CALLS = {"role": "assistant", "content": "", "tool_calls": [call("get_weather", {"city": "Rome"}), call("add", {"a": 1, "b": -2.5}, 2)]}
RESULT = {"role": "tool", "tool_call_id": "call00001", "name": "get_weather", "content": "{\"temperature\": 21.5}"}
RESULT_BARE = {"role": "tool", "content": "sunny"}
RESULT_2 = {"role": "tool", "tool_call_id": "call00002", "name": "add", "content": "-1.5"}
RESULT_PARTS = {"role": "tool", "tool_call_id": "call00001", "name": "get_weather", "content": [{"type": "text", "text": "sunny"}]}

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a \"city\".\nIn °C.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Its name"},
                "days": {"type": "integer", "minimum": 1, "default": 1},
                "units": {"type": ["string", "null"], "enum": ["C", "F", None]},
                "detailed": {"type": "boolean"},
                "at": {"type": "array", "items": {"type": "number"}},
                "more": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            },
            "required": ["city"],
        },
        "return": {"type": "string"},
    },
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds",
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]},
    },
}
NOTHING = {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}}

CONVERSATIONS = {
    "one question": [HELLO],
    "system": [SYSTEM, HELLO],
    "three turns": [HELLO, ANSWER, HARD],
    "system, three turns": [SYSTEM, HARD, ANSWER, HELLO],
    "thoughts": [SYSTEM, HELLO, THOUGHTS, HELLO],
    "thoughts at the end": [HELLO, THOUGHTS],
    "reasoning": [HELLO, REASONING, HELLO],
    "reasoning at the end": [HELLO, REASONING],
    "thinking": [HELLO, THINKING, HELLO],
    "system only": [SYSTEM],
    "empty system": [{"role": "system", "content": ""}, HELLO],
    "developer": [{"role": "developer", "content": "Be brief."}, HELLO],
    "assistant first": [ANSWER, HELLO],
    "twice the user": [HELLO, HELLO],
    "empty question": [{"role": "user", "content": ""}],
    "seven turns": [HELLO, THOUGHTS, HARD, ANSWER, HELLO, ANSWER, HELLO],
    "parts": [PARTS],
    "parts, system": [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, PARTS],
    "image": [IMAGE, ANSWER, HELLO],
    "no content": [{"role": "user"}],
    "odd role": [HELLO, {"role": "narrator", "content": "It rains."}],
    "system in the middle": [HELLO, SYSTEM, HELLO],
    "call": [SYSTEM, HELLO, CALL, RESULT],
    "call, null": [HELLO, CALL_NULL, RESULT, ANSWER],
    "call without content": [HELLO, CALL_BARE, RESULT_BARE],
    "call with talk": [HELLO, CALL_TALK, RESULT, ANSWER, HELLO],
    "two calls": [HELLO, CALLS, RESULT, RESULT_2, ANSWER, HELLO],
    "two rounds of calls": [HELLO, CALL_NULL, RESULT, CALL_TALK, RESULT_PARTS],
    "call at the end": [HELLO, CALL],
    "no messages": [],
}
# Names, variables of the template, and tools.
SETTINGS = {
    "": ({}, None),
    "tools": ({}, [WEATHER, ADD, NOTHING]),
    "thinking off": ({"enable_thinking": False, "thinking": False}, None),
    "thinking on, tools": ({"enable_thinking": True, "thinking": True, "reasoning_effort": "high"}, [ADD]),
}


def cases():
    """Every conversation under every setting, with and without the prompt to answer."""
    for setting, (variables, tools) in SETTINGS.items():
        for name, messages in CONVERSATIONS.items():
            for add_generation_prompt in (False, True):
                yield {
                    "name": f"{name}; {setting}; {add_generation_prompt}",
                    "tokens": TOKENS,
                    "messages": messages,
                    "tools": tools,
                    "variables": variables,
                    "add_generation_prompt": add_generation_prompt,
                    "now": NOW,
                }


class Generation(jinja2.ext.Extension):
    """The tag `generation`, which marks what an assistant says and changes nothing of it."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("same"), [], [], body).set_lineno(line)

    def same(self, caller):
        return caller()


def environment(now=NOW):
    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: datetime.datetime.fromtimestamp(now, datetime.timezone.utc).strftime(form)
    return made


COMPILED = {}


def render(source, case):
    """`text`, or `error` with its message."""
    try:
        if source not in COMPILED:
            COMPILED[source] = environment().from_string(source)
        variables = {"tools": case["tools"], "documents": None, **TOKENS, **case["variables"]}
        text = COMPILED[source].render(
            messages=case["messages"], add_generation_prompt=case["add_generation_prompt"], **variables
        )
        return {"text": text}
    except Exception as error:  # templates fail in any way there is
        return {"error": str(error)}
