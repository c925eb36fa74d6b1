"""Keeps certain words to oneself: what goes out with one is refused, what comes in is cleaned.

An example to start from; one class per event. `context`, `answer` and the rest are described in
wit/deps/tidegate-plugin; names become snake_case, options `None`.
"""

import json

from wit_world import exports
from wit_world.imports import log, types
# only: shown
from wit_world.exports import shown
# end
# only: on-question
from wit_world.exports import on_question
# end

SCHEMA = {
    "type": "object",
    "properties": {
        "words": {
            "description": "What must not leave, as it is written.",
            "type": "array",
            "items": {"type": "string", "minLength": 1},
        }
    },
    "required": ["words"],
    "additionalProperties": False,
}


class Configuration(exports.Configuration):
    def schema(self):
        return json.dumps(SCHEMA)


def note(what):
    """Says what happened, never what was in it: logs are read by people who may not see that."""
    log.write(log.Level.INFO, what)


def clean(value, words):
    """The value with every word taken out of its strings."""
    if isinstance(value, str):
        for word in words:
            value = value.replace(word, "[removed]")
    elif isinstance(value, list):
        return [clean(item, words) for item in value]
    elif isinstance(value, dict):
        return {name: clean(item, words) for name, item in value.items()}
    return value


def clean_json(text, config):
    """The JSON text without the words, or `None` where there is none."""
    value = json.loads(text)
    cleaned = clean(value, json.loads(config)["words"])
    return None if cleaned == value else json.dumps(cleaned, ensure_ascii=False)


# only: before-call before-prompt
def before(config, arguments):
    """Refuses arguments that hold one of the words."""
    if clean_json(arguments, config) is None:
        return types.Outcome(types.Decision_Proceed(), None)
    note("refused: a word in the arguments")
    why = "A word in the arguments must stay here. Leave it out."
    return types.Outcome(types.Decision_Refuse(why), None)


# end
# only: after-call after-prompt after-read after-completion
def after(config, answer):
    """Takes the words out of a result; an error is passed on as it is."""
    if not isinstance(answer, types.Answer_Result):
        return types.Review_Proceed()
    cleaned = clean_json(answer.value, config)
    if cleaned is None:
        return types.Review_Proceed()
    note("cleaned: a word in the answer")
    return types.Review_Replace(cleaned)


# end
# only: before-call
class BeforeCall(exports.BeforeCall):
    def before(self, context, config, arguments, round):
        return before(config, arguments)


# end
# only: after-call
class AfterCall(exports.AfterCall):
    def after(self, context, config, answer, state):
        return after(config, answer)


# end
# only: before-prompt
class BeforePrompt(exports.BeforePrompt):
    def before(self, context, config, arguments, round):
        return before(config, arguments)


# end
# only: after-prompt
class AfterPrompt(exports.AfterPrompt):
    def after(self, context, config, answer, state):
        return after(config, answer)


# end
# only: before-read
class BeforeRead(exports.BeforeRead):
    def before(self, context, config, round):
        if clean(context.target, json.loads(config)["words"]) == context.target:
            return types.Outcome(types.Decision_Proceed(), None)
        note("refused: a word in the URI")
        return types.Outcome(types.Decision_Refuse("This resource must stay here."), None)


# end
# only: after-read
class AfterRead(exports.AfterRead):
    def after(self, context, config, answer, state):
        return after(config, answer)


# end
# only: before-completion
class BeforeCompletion(exports.BeforeCompletion):
    def before(self, context, config, argument):
        if clean_json(argument, config) is None:
            return types.Outcome(types.Decision_Proceed(), None)
        note("answered: a word in what is completed")
        return types.Outcome(types.Decision_Answer('{"completion":{"values":[]}}'), None)


# end
# only: after-completion
class AfterCompletion(exports.AfterCompletion):
    def after(self, context, config, answer, state):
        return after(config, answer)


# end
# only: shown
class Shown(exports.Shown):
    def shown(self, context, config, kind, items):
        held_back = [clean_json(item, config) is not None for item in items]
        return [shown.Verdict_Hide() if held else shown.Verdict_Show() for held in held_back]


# end
# only: on-question
class OnQuestion(exports.OnQuestion):
    def question(self, context, config, params):
        if clean_json(params, config) is None:
            return on_question.Decision_Proceed()
        note("refused: a word in a question")
        return on_question.Decision_Refuse("A question held a word that must stay here.")


# end
