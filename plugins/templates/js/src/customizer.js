// Hides tools that say of themselves that they destroy, and describes others anew. An example to
// start from; the contract is in wit/deps/tidegate-plugin.

const SCHEMA = {
  type: 'object',
  properties: {
    destructive: {
      description: 'Whether tools are published that say of themselves that they destroy.',
      type: 'boolean',
      default: false,
    },
    describe: {
      description: "Descriptions in place of the connector's own, by the tool's original name.",
      type: 'object',
      additionalProperties: { type: 'string' },
    },
  },
  additionalProperties: false,
};

export const configuration = {
  schema: () => JSON.stringify(SCHEMA),
};

export const customize = {
  edits(scope, config, tools) {
    const { destructive = false, describe = {} } = JSON.parse(config);
    return tools.map((json) => JSON.parse(json)).flatMap((tool) => {
      const hidden = !destructive && tool.annotations?.destructiveHint === true;
      const description = Object.hasOwn(describe, tool.name) ? describe[tool.name] : undefined;
      if (!hidden && description === undefined) {
        return [];
      }
      return [{ tool: tool.name, description, hidden, defaults: [], locked: [] }];
    });
  },
};
