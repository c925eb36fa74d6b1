"""Hides tools that say of themselves that they destroy, and describes others anew.

An example to start from; the contract is in wit/deps/tidegate-plugin.
"""

import json

from wit_world import exports
from wit_world.exports import customize

SCHEMA = {
    "type": "object",
    "properties": {
        "destructive": {
            "description": "Whether tools are published that say of themselves that they destroy.",
            "type": "boolean",
            "default": False,
        },
        "describe": {
            "description": "Descriptions in place of the connector's own, by the tool's original name.",
            "type": "object",
            "additionalProperties": {"type": "string"},
        },
    },
    "additionalProperties": False,
}


class Configuration(exports.Configuration):
    def schema(self):
        return json.dumps(SCHEMA)


class Customize(exports.Customize):
    def edits(self, scope, config, tools):
        config = json.loads(config)
        return [edit for tool in tools if (edit := self.edit(config, json.loads(tool)))]

    def edit(self, config, tool):
        """What there is to change about one tool."""
        name = tool["name"]
        destroys = tool.get("annotations", {}).get("destructiveHint") is True
        hidden = destroys and not config.get("destructive", False)
        description = config.get("describe", {}).get(name)
        if not hidden and description is None:
            return None
        return customize.Edit(
            tool=name,
            name=None,
            title=None,
            description=description,
            hidden=hidden,
            defaults=[],
            locked=[],
            input_schema=None,
        )
