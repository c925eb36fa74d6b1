// Keeps certain words to oneself: what goes out with one is refused, what comes in is cleaned.
// An example to start from; one exported object per event. `context`, `answer` and the rest are
// described in wit/deps/tidegate-plugin; names become camelCase, options `undefined`.
import { write } from 'tidegate:plugin/log@0.1.0';

const SCHEMA = {
  type: 'object',
  properties: {
    words: {
      description: 'What must not leave, as it is written.',
      type: 'array',
      items: { type: 'string', minLength: 1 },
    },
  },
  required: ['words'],
  additionalProperties: false,
};

export const configuration = {
  schema: () => JSON.stringify(SCHEMA),
};

// Says what happened, never what was in it: logs are read by people who may not see that.
const note = (what) => write('info', what);

// The value with every word taken out of its strings.
function clean(value, words) {
  if (typeof value === 'string') {
    return words.reduce((text, word) => text.replaceAll(word, () => '[removed]'), value);
  }
  if (Array.isArray(value)) {
    return value.map((item) => clean(item, words));
  }
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, clean(item, words)]));
  }
  return value;
}

// The JSON text without the words, or undefined where there is none. An answer that is written
// anew has its numbers as JavaScript holds them: integers beyond 2^53 are rounded.
function cleanJson(json, config) {
  const value = JSON.parse(json);
  const cleaned = JSON.stringify(clean(value, JSON.parse(config).words));
  return cleaned === JSON.stringify(value) ? undefined : cleaned;
}

// only: before-call before-prompt
// Refuses arguments that hold one of the words.
function before(config, args) {
  if (cleanJson(args, config) === undefined) {
    return { decision: { tag: 'proceed' } };
  }
  note('refused: a word in the arguments');
  const why = 'A word in the arguments must stay here. Leave it out.';
  return { decision: { tag: 'refuse', val: why } };
}

// end
// only: after-call after-prompt after-read after-completion
// Takes the words out of a result; an error is passed on as it is.
function after(config, answer) {
  const cleaned = answer.tag === 'result' ? cleanJson(answer.val, config) : undefined;
  if (cleaned === undefined) {
    return { tag: 'proceed' };
  }
  note('cleaned: a word in the answer');
  return { tag: 'replace', val: cleaned };
}

// end
// only: before-call
export const beforeCall = {
  before: (context, config, args, round) => before(config, args),
};

// end
// only: after-call
export const afterCall = {
  after: (context, config, answer, state) => after(config, answer),
};

// end
// only: before-prompt
export const beforePrompt = {
  before: (context, config, args, round) => before(config, args),
};

// end
// only: after-prompt
export const afterPrompt = {
  after: (context, config, answer, state) => after(config, answer),
};

// end
// only: before-read
export const beforeRead = {
  before(context, config, round) {
    if (clean(context.target, JSON.parse(config).words) === context.target) {
      return { decision: { tag: 'proceed' } };
    }
    note('refused: a word in the URI');
    return { decision: { tag: 'refuse', val: 'This resource must stay here.' } };
  },
};

// end
// only: after-read
export const afterRead = {
  after: (context, config, answer, state) => after(config, answer),
};

// end
// only: before-completion
export const beforeCompletion = {
  before(context, config, argument) {
    if (cleanJson(argument, config) === undefined) {
      return { decision: { tag: 'proceed' } };
    }
    note('answered: a word in what is completed');
    return { decision: { tag: 'answer', val: '{"completion":{"values":[]}}' } };
  },
};

// end
// only: after-completion
export const afterCompletion = {
  after: (context, config, answer, state) => after(config, answer),
};

// end
// only: shown
export const shown = {
  shown: (context, config, kind, items) =>
    items.map((item) => ({ tag: cleanJson(item, config) === undefined ? 'show' : 'hide' })),
};

// end
// only: on-question
export const onQuestion = {
  question(context, config, params) {
    if (cleanJson(params, config) === undefined) {
      return { tag: 'proceed' };
    }
    note('refused: a word in a question');
    return { tag: 'refuse', val: 'A question held a word that must stay here.' };
  },
};

// end
