// The openai package against the server: URL and KEY name it. Every answer is checked; the first that is wrong ends the
// script with an error.
import assert from 'node:assert/strict';
import OpenAI, { APIUserAbortError, AuthenticationError, BadRequestError, NotFoundError } from 'openai';

const client = new OpenAI({ baseURL: process.env.URL + '/v1', apiKey: process.env.KEY, maxRetries: 0 });
const done = [];
const step = async (name, f) => { await f(); done.push(name); };

await step('models.list', async () => {
  const ids = [];
  for await (const m of client.models.list()) ids.push(m.id);
  assert.deepEqual(ids, ['feedback', 'sorter', 'vectors', 'writer']);
});
await step('models.retrieve', async () => assert.equal((await client.models.retrieve('writer')).object, 'model'));

const prompt = 'name : The Vaults';
let text;
await step('completions.create', async () => {
  const c = await client.completions.create({ model: 'writer', prompt, max_tokens: 24, temperature: 0 });
  text = c.choices[0].text;
  assert.ok(text.length > 10);
  assert.equal(c.usage.total_tokens, c.usage.prompt_tokens + c.usage.completion_tokens);
});
await step('completions, streamed', async () => {
  let streamed = '', usage;
  const stream = await client.completions.create({ model: 'writer', prompt, max_tokens: 24, temperature: 0, stream: true, stream_options: { include_usage: true } });
  for await (const part of stream) {
    streamed += part.choices[0]?.text ?? '';
    usage = part.usage ?? usage;
  }
  assert.equal(streamed, text);
  assert.ok(usage.completion_tokens > 0);
});
await step('completions with stop, n, logprobs, token ids', async () => {
  const stop = text.slice(5, 8);
  const c = await client.completions.create({ model: 'writer', prompt, max_tokens: 24, temperature: 0, stop, logprobs: 2 });
  assert.equal(c.choices[0].text, text.slice(0, text.indexOf(stop)));
  assert.equal(c.choices[0].finish_reason, 'stop');
  assert.equal(c.choices[0].logprobs.tokens.length, c.choices[0].logprobs.token_logprobs.length);
  const many = await client.completions.create({ model: 'writer', prompt: [[1, 2, 3], [4, 5]], max_tokens: 3, n: 2, seed: 1 });
  assert.equal(many.choices.length, 4);
});
const messages = [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: [{ type: 'text', text: prompt }] }];
let said;
await step('chat.completions.create', async () => {
  const c = await client.chat.completions.create({ model: 'writer', messages, max_completion_tokens: 20, temperature: 0, logprobs: true, top_logprobs: 2 });
  said = c.choices[0].message.content;
  assert.equal(c.choices[0].message.role, 'assistant');
  assert.equal(c.choices[0].logprobs.content.map((t) => t.token).join(''), said);
});
await step('chat.completions.stream (the helper, with its events)', async () => {
  const runner = client.chat.completions.stream({ model: 'writer', messages, max_completion_tokens: 20, temperature: 0, stream_options: { include_usage: true } });
  let deltas = '';
  runner.on('content', (delta) => { deltas += delta; });
  const final = await runner.finalChatCompletion();
  assert.equal(deltas, said);
  assert.equal(final.choices[0].message.content, said);
  assert.ok(final.usage.total_tokens > 0);
});
await step('abort', async () => {
  const stream = await client.chat.completions.create({ model: 'writer', messages, temperature: 0, logit_bias: { 767: -100 }, stream: true });
  for await (const part of stream) {
    if (part.choices[0]?.delta?.content) { stream.controller.abort(); break; }
  }
  const control = new AbortController();
  const waiting = client.completions.create({ model: 'writer', prompt, max_tokens: 100, n: 8, logit_bias: { 767: -100 } }, { signal: control.signal });
  setTimeout(() => control.abort(), 20);
  await assert.rejects(waiting, APIUserAbortError);
});
await step('embeddings.create (base64, the default)', async () => {
  const input = ['hello world', 'goodbye'];
  const packed = await client.embeddings.create({ model: 'vectors', input });
  const plain = await client.embeddings.create({ model: 'vectors', input, encoding_format: 'float' });
  assert.equal(packed.data.length, 2);
  packed.data.forEach((d, i) => {
    assert.ok(Math.abs(d.embedding.reduce((s, x) => s + x * x, 0) - 1) < 1e-5);
    d.embedding.forEach((x, k) => assert.equal(Math.fround(x), Math.fround(plain.data[i].embedding[k])));
  });
});
await step('typed errors', async () => {
  await assert.rejects(client.completions.create({ model: 'nosuch', prompt }), (e) => e instanceof NotFoundError && e.code === 'model_not_found' && e.param === 'model');
  await assert.rejects(client.models.retrieve('nosuch'), NotFoundError);
  await assert.rejects(client.completions.create({ model: 'writer', prompt, max_tokens: 0 }), (e) => e instanceof BadRequestError && e.param === 'max_tokens' && e.type === 'invalid_request_error');
  await assert.rejects(client.chat.completions.create({ model: 'writer', messages, tools: [{ type: 'function', function: { name: 'f' } }] }), (e) => e instanceof BadRequestError && e.code === 'unsupported');
  const stranger = new OpenAI({ baseURL: process.env.URL + '/v1', apiKey: 'not-a-key-of-this-server', maxRetries: 0 });
  await assert.rejects(stranger.models.list(), AuthenticationError);
});
console.log(done.join('; '));
