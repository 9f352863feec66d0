// @huggingface/transformers loads model directories that ghostwriter wrote: MODELS is their folder. What it computes by itself must
// be what the server at URL answers for the same models.
import assert from 'node:assert/strict';
import { env, pipeline } from '@huggingface/transformers';

env.allowRemoteModels = false;
env.localModelPath = process.env.MODELS + '/';
const options = { dtype: 'fp32', subfolder: '', local_files_only: true };
const ask = async (path, body) => {
  const answer = await fetch(process.env.URL + path, { method: 'POST', headers: { Authorization: 'Bearer ' + process.env.KEY }, body: JSON.stringify(body) });
  assert.equal(answer.status, 200);
  return answer.json();
};

const classify = await pipeline('text-classification', 'sorter', options);
const texts = ['the answer number 3', 'something else'];
const theirs = await classify(texts, { top_k: null });
const ours = await ask('/models/sorter/predict', { inputs: texts.map((t) => [t]) });
theirs.forEach((row, i) => row.forEach((r, k) => {
  assert.equal(r.label, ours[i][k].label);
  assert.ok(Math.abs(r.score - ours[i][k].score) < 1e-5, `${r.label}: ${r.score} and ${ours[i][k].score}`);
}));

const write = await pipeline('text-generation', 'writer', options);
const prompt = 'name : The Vaults | eatType : pub';
const [{ generated_text: text }] = await write(prompt, { max_new_tokens: 40, do_sample: false });
const answer = await ask('/v1/completions', { model: 'writer', prompt, max_tokens: 40, temperature: 0 });
assert.equal(text, prompt + answer.choices[0].text);
console.log('text-classification: the same labels and scores as /predict; text-generation with cached keys and values: the same 40 tokens as /v1/completions');
