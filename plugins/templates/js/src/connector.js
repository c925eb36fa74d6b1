// A server of one tool that greets. An example to start from; the contract is in
// wit/deps/tidegate-plugin. What is thrown becomes the error of the result.
import { write } from 'tidegate:plugin/log@0.1.0';

const SCHEMA = {
  type: 'object',
  properties: {
    greeting: {
      description: 'How everybody is greeted.',
      type: 'string',
      minLength: 1,
      default: 'Hello',
    },
  },
  additionalProperties: false,
};

const GREET = {
  name: 'greet',
  description: 'Greets somebody by name.',
  inputSchema: {
    type: 'object',
    properties: { name: { type: 'string', minLength: 1 } },
    required: ['name'],
    additionalProperties: false,
  },
  annotations: { readOnlyHint: true },
};

export const configuration = {
  schema: () => JSON.stringify(SCHEMA),
};

export const server = {
  describe: (config) => ({ title: 'plugin-name', version: '0.1.0' }),
};

export const tools = {
  list: (config) => [JSON.stringify(GREET)],

  call(context, config, args) {
    if (context.target !== 'greet') {
      throw { tag: 'unknown' };
    }
    const { greeting = 'Hello' } = JSON.parse(config);
    const { name } = JSON.parse(args);
    write('info', 'greeted somebody');
    return JSON.stringify({ content: [{ type: 'text', text: `${greeting}, ${name}!` }] });
  },
};
