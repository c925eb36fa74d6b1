"""A server of one tool that greets.

An example to start from; the contract is in wit/deps/tidegate-plugin. An error is raised as
`Err`.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import server
from wit_world.imports import log, types

SCHEMA = {
    "type": "object",
    "properties": {
        "greeting": {
            "description": "How everybody is greeted.",
            "type": "string",
            "minLength": 1,
            "default": "Hello",
        }
    },
    "additionalProperties": False,
}

GREET = {
    "name": "greet",
    "description": "Greets somebody by name.",
    "inputSchema": {
        "type": "object",
        "properties": {"name": {"type": "string", "minLength": 1}},
        "required": ["name"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": True},
}


class Configuration(exports.Configuration):
    def schema(self):
        return json.dumps(SCHEMA)


class Server(exports.Server):
    def describe(self, config):
        return server.Description(title="plugin-name", version="0.1.0", instructions=None)


class Tools(exports.Tools):
    def list(self, config):
        return [json.dumps(GREET)]

    def call(self, context, config, arguments):
        if context.target != "greet":
            raise Err(types.Failure_Unknown())
        greeting = json.loads(config).get("greeting", "Hello")
        name = json.loads(arguments)["name"]
        log.write(log.Level.INFO, "greeted somebody")
        return json.dumps({"content": [{"type": "text", "text": f"{greeting}, {name}!"}]})
