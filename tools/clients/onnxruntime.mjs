// onnxruntime-node runs model directories that ghostwriter wrote: MODELS is their folder. Its numbers must be those that the server at
// URL gives for the same tensors.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import ort from 'onnxruntime-node';

const session = await ort.InferenceSession.create(join(process.env.MODELS, 'sorter', 'model.onnx'));
const rows = { input_ids: [2, 9, 17, 3, 2, 30, 3, 0], attention_mask: [1, 1, 1, 1, 1, 1, 1, 0], token_type_ids: [0, 0, 0, 0, 0, 0, 0, 0] };
const feeds = Object.fromEntries(Object.entries(rows).map(([name, data]) => [name, new ort.Tensor('int64', BigInt64Array.from(data.map(BigInt)), [2, 4])]));
const { logits } = await session.run(feeds);
const answer = await fetch(process.env.URL + '/v2/models/sorter/infer', {
  method: 'POST', headers: { Authorization: 'Bearer ' + process.env.KEY },
  body: JSON.stringify({ inputs: Object.entries(rows).map(([name, data]) => ({ name, shape: [2, 4], datatype: 'INT64', data })) }),
});
assert.equal(answer.status, 200);
const [output] = (await answer.json()).outputs;
assert.deepEqual(output.shape, logits.dims);
output.data.forEach((x, i) => assert.ok(Math.abs(x - logits.data[i]) < 1e-5));
console.log(`InferenceSession.run on a trained directory: ${logits.dims.join('x')} logits, those of /v2/models/sorter/infer`);
