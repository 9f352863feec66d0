'use strict';

// The page keeps its state here and nowhere else: no cookie, no storage.
let key = '';
let current = null;   // {id, name, version, task}
let stopping = null;  // AbortController of a generation

const $ = (id) => document.getElementById(id);
const show = (id, visible) => { $(id).hidden = !visible; };

function element(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

// ask sends a request with the key. Its errors carry what the server said.
async function ask(path, body, signal) {
  const headers = {};
  if (key) headers.Authorization = 'Bearer ' + key;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const answer = await fetch(path, {
    method: body === undefined ? 'GET' : 'POST', headers, signal, body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.ok) return answer;
  const text = await answer.text();
  let message = text || 'the server answered ' + answer.status;
  try {
    const said = JSON.parse(text).error;
    message = said.message || said;
  } catch { /* not JSON: as it stands */ }
  const e = new Error(message);
  e.status = answer.status;
  throw e;
}

const json = async (path, body) => (await ask(path, body)).json();

function complain(e) {
  if (e.status === 401) {
    show('key-form', true);
    show('main', false);
    if (!key) { show('notice', false); $('key').focus(); return; }
    key = '';
  }
  $('notice').textContent = e.message;
  show('notice', true);
}

// guarded runs an action and shows what goes wrong.
async function guarded(action) {
  show('notice', false);
  try {
    await action();
  } catch (e) {
    if (e.name !== 'AbortError') complain(e);
  }
}

async function loadModels() {
  const models = (await json('/v1/models')).data;
  show('key-form', false);
  const select = $('model');
  select.replaceChildren(...models.map((m) => new Option(m.id, m.id)));
  select.disabled = models.length === 0;
  if (models.length === 0) throw new Error('No model is ready on this server.');
  await chooseModel(models[0].id);
}

// place gives the paths of a model: NAME, or NAME:VERSION where there are several versions.
async function describe(id) {
  const find = async (name, version) => ({
    id, name, version, meta: await json('/v2/models/' + encodeURIComponent(name) + (version ? '/versions/' + encodeURIComponent(version) : '')),
  });
  try {
    return await find(id, '');
  } catch (e) {
    const cut = id.lastIndexOf(':');
    if (e.status !== 404 || cut < 1) throw e;
    return find(id.slice(0, cut), id.slice(cut + 1));
  }
}

const teiPath = (route) => '/models/' + encodeURIComponent(current.name) + route + (current.version ? '?version=' + encodeURIComponent(current.version) : '');

async function chooseModel(id) {
  if (stopping) stopping.abort();
  current = await describe(id);
  const info = await json(teiPath('/info'));
  const kind = Object.keys(info.model_type)[0];
  current.task = { generator: 'generate', classifier: 'classify', reranker: 'classify', embedding: 'embed' }[kind] || '';
  for (const task of ['generate', 'classify', 'embed']) show(task, task === current.task);
  const chat = kind === 'generator' && info.model_type.generator.chat;
  show('chat-mode', chat);
  if (!chat) document.querySelector('input[name=mode][value=continue]').checked = true;
  show('no-task', !current.task);
  show('output', false);
  show('figures', false);
  showPrivacy(current.meta.privacy);
  showAbout(info);
  show('main', true);
}

function facts(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value]) => [element('dt', name), element('dd', value)]));
}

// atMost rounds up to four digits: a bound that is shown must not be smaller than it is.
function atMost(x) {
  if (!(x > 0)) return String(x);
  const scale = 10 ** (3 - Math.floor(Math.log10(x)));
  const up = Math.ceil(x * scale) / scale;
  return up < 1e-3 ? up.toExponential(3) : String(Number(up.toPrecision(4)));
}

function showPrivacy(p) {
  const verdict = $('verdict');
  const [text, className] = {
    'private': ['Differentially private: ε = ' + atMost(p.epsilon) + ', δ = ' + atMost(p.delta), 'private'],
    'not private': ['Not private: ' + (p.not_private || 'its directory says so'), 'not'],
    'unreadable': ['Unknown: the statement can\'t be read', 'not'],
  }[p.kind] || ['No privacy statement', 'none'];
  verdict.textContent = text;
  verdict.className = 'verdict ' + className;
  const pairs = [];
  if (p.kind === 'private') {
    pairs.push(['One unit is', p.unit], ['Neighbours differ by', p.relation], ['Accountant', p.accountant]);
  }
  facts($('facts'), pairs.filter(([, value]) => value));
  $('statement').textContent = p.statement;
}

function showAbout(info) {
  const tensor = (t) => t.name + ' ' + t.datatype + ' [' + t.shape.map((n) => (n < 0 ? '?' : n)).join(', ') + ']';
  facts($('about'), [
    ['Versions', current.meta.versions.join(', ')],
    ['Longest text', info.max_input_length ? info.max_input_length + ' tokens' : 'not stated'],
    ['Inputs', current.meta.inputs.map(tensor).join(', ')],
    ['Outputs', current.meta.outputs.map(tensor).join(', ')],
  ]);
}

// events reads a stream of server-sent events; each is one object.
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error('the answer ended early');
    rest += value;
    for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.slice(end + 2)) {
      const data = rest.slice(0, end).replace(/^data: /, '');
      if (data === '[DONE]') return;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message);
      yield event;
    }
  }
}

async function generate() {
  const chat = document.querySelector('input[name=mode]:checked').value === 'chat';
  const prompt = $('prompt').value;
  const request = {
    model: current.id, max_tokens: Number($('tokens').value), temperature: Number($('temperature').value), stream: true,
    stream_options: { include_usage: true },
  };
  if (chat) request.messages = [{ role: 'user', content: prompt }]; else request.prompt = prompt;
  const output = $('output');
  const made = element('span', '');
  output.replaceChildren(...(chat ? [made] : [element('span', prompt, 'given'), made]));
  output.setAttribute('aria-busy', 'true'); // read out when it is whole
  show('output', true);
  show('figures', false);
  const begun = performance.now();
  stopping = new AbortController();
  $('go').disabled = true;
  $('stop').disabled = false;
  let finish = 'ended early';
  let tokens = '';
  try {
    const answer = await ask(chat ? '/v1/chat/completions' : '/v1/completions', request, stopping.signal);
    for await (const event of events(answer)) {
      if (event.usage) tokens = event.usage.completion_tokens + ' tokens, ';
      for (const choice of event.choices) {
        made.append(chat ? choice.delta.content || '' : choice.text);
        if (choice.finish_reason) finish = choice.finish_reason === 'length' ? 'ended by the bound on tokens' : 'ended by the model';
      }
    }
  } catch (e) {
    if (e.name === 'AbortError') finish = 'stopped by you';
    else if (!made.textContent) show('output', false);
    throw e;
  } finally {
    stopping = null;
    $('go').disabled = false;
    $('stop').disabled = true;
    output.removeAttribute('aria-busy');
    show('figures', !output.hidden);
    $('figures').textContent = tokens + ((performance.now() - begun) / 1000).toFixed(2) + ' s, ' + finish;
  }
}

async function classify() {
  const text = $('text').value;
  const pair = $('pair').value;
  const scores = await json(teiPath('/predict'), { inputs: pair ? [text, pair] : text, truncate: true });
  const table = element('table');
  for (const { label, score } of scores) {
    const row = table.insertRow();
    row.append(element('th', label));
    row.lastChild.scope = 'row';
    const bar = element('progress');
    bar.max = 1;
    bar.value = score;
    bar.setAttribute('aria-label', label);
    row.insertCell().append(bar);
    row.lastChild.className = 'bar';
    row.insertCell().textContent = (100 * score).toFixed(1) + ' %';
    row.lastChild.className = 'number';
  }
  $('output').replaceChildren(table);
  show('output', true);
}

async function embed() {
  const lines = $('lines').value.split('\n').map((l) => l.trim()).filter(Boolean);
  if (lines.length < 2) throw new Error('Write at least two texts, one a line.');
  const vectors = await json(teiPath('/embed'), { inputs: lines, truncate: true });
  const table = element('table');
  const head = table.createTHead().insertRow();
  head.append(element('th', 'Cosine similarity'), ...lines.map((_, i) => element('th', String(i + 1))));
  const body = table.createTBody();
  lines.forEach((line, i) => {
    const row = body.insertRow();
    row.append(element('th', i + 1 + '. ' + line));
    row.lastChild.scope = 'row';
    for (const other of vectors) {
      const cosine = vectors[i].reduce((sum, x, k) => sum + x * other[k], 0);
      row.insertCell().textContent = cosine.toFixed(3);
      row.lastChild.className = 'number';
    }
  });
  const scroll = element('div', undefined, 'scroll');
  scroll.append(table);
  $('output').replaceChildren(scroll);
  show('output', true);
}

function onSubmit(id, action) {
  $(id).addEventListener('submit', (event) => {
    event.preventDefault();
    guarded(action);
  });
}

onSubmit('generate', generate);
onSubmit('classify', classify);
onSubmit('embed', embed);
onSubmit('key-form', async () => {
  key = $('key').value;
  $('key').value = '';
  await loadModels();
});
$('model').addEventListener('change', () => guarded(() => chooseModel($('model').value)));
$('stop').addEventListener('click', () => stopping && stopping.abort());
guarded(loadModels);
