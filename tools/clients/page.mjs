// The page at / in Chromium: URL and KEY name the server, CHROMIUM the browser. It clicks through the page as a user would, fails on
// any error of the browser's console or request to elsewhere, and writes pictures into SHOTS where that is set.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const profile = mkdtempSync(join(tmpdir(), 'page-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM, headless: true, viewport: { width: 1000, height: 1100 },
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const done = [];
try {
  const page = context.pages()[0] ?? await context.newPage();
  const wrong = [];
  let refused = 0;
  page.on('console', (m) => { if (m.type() === 'error' || m.type() === 'warning') wrong.push(m.text()); });
  page.on('pageerror', (e) => wrong.push(String(e)));
  page.on('request', (r) => { if (!r.url().startsWith(process.env.URL + '/')) wrong.push('a request to ' + r.url()); });
  page.on('response', (r) => { if (r.status() === 401) refused++; });
  const shot = async (name) => { if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, name + '.png'), fullPage: true }); };
  const result = () => page.getByRole('region', { name: 'Result' });

  const field = (label) => page.getByLabel(label, { exact: true }).locator('visible=true');
  page.setDefaultTimeout(15_000);

  await page.goto(process.env.URL + '/');
  await field('Key').fill('wrong-wrong-wrong');
  await page.getByRole('button', { name: 'Use key' }).click();
  await page.getByText('the API key is not valid').waitFor();
  await shot('key');
  await field('Key').fill(process.env.KEY);
  await page.getByRole('button', { name: 'Use key' }).click();
  await page.getByRole('heading', { name: 'Try it' }).waitFor();
  assert.equal(refused, 2);
  wrong.splice(0, wrong.length, ...wrong.filter((w) => !w.includes('401'))); // the two refusals
  assert.equal(await page.evaluate(() => localStorage.length + sessionStorage.length + document.cookie.length), 0);
  done.push('asks for the key, refuses a wrong one, stores none');

  await field('Model').selectOption('feedback');
  await field('Text').fill('Thank you, that was excellent and great care');
  await page.getByRole('button', { name: 'Classify' }).click();
  await result().getByRole('rowheader').first().waitFor();
  const labels = await result().getByRole('rowheader').allTextContents();
  assert.deepEqual([...labels].sort(), ['complaint', 'praise', 'question']);
  await shot('classify');
  done.push('classifies: ' + labels[0]);

  await field('Model').selectOption('vectors');
  await page.getByLabel('Texts').fill('hello there\nhello you\nsomething else');
  await page.getByRole('button', { name: 'Compare' }).click();
  await result().getByRole('cell').first().waitFor();
  const cells = await result().getByRole('cell').allTextContents();
  assert.equal(cells.length, 9);
  for (const i of [0, 4, 8]) assert.equal(cells[i], '1.000');
  await shot('embed');
  done.push('compares vectors');

  await field('Model').selectOption('writer');
  await field('Text').fill('name : The Vaults | eatType : pub');
  await page.getByLabel('Temperature').fill('0');
  await page.getByRole('button', { name: 'Generate' }).click();
  await page.getByText(/tokens, .* s, ended by/).waitFor();
  const text = await result().textContent();
  assert.ok(text.startsWith('name : The Vaults | eatType : pub') && text.length > 45, text);
  const direct = await fetch(process.env.URL + '/v1/completions', { method: 'POST', headers: { Authorization: 'Bearer ' + process.env.KEY },
    body: JSON.stringify({ model: 'writer', prompt: 'name : The Vaults | eatType : pub', max_tokens: 60, temperature: 0 }) });
  assert.equal(text, 'name : The Vaults | eatType : pub' + (await direct.json()).choices[0].text);
  await shot('generate');
  await page.getByLabel('Answer as a chat').check();
  await page.getByRole('button', { name: 'Generate' }).click();
  await page.getByText(/tokens, .* s, ended by/).waitFor();
  await page.getByLabel('Continue a text').check();
  await page.getByLabel('Temperature').fill('2');
  await page.getByLabel('Most new tokens').fill('100');
  await page.getByRole('button', { name: 'Generate' }).click();
  await page.getByRole('button', { name: 'Stop' }).click({ timeout: 2000 }).catch(() => {}); // it may be over already
  await page.getByText(/s, (stopped by you|ended by)/).waitFor();
  done.push('generates, streamed, equal to the API; chats; stops');

  const statement = await page.getByLabel('Privacy statement').textContent();
  const verdict = await page.locator('#verdict').textContent();
  const told = (await (await fetch(process.env.URL + '/v2/models/writer', { headers: { Authorization: 'Bearer ' + process.env.KEY } })).json()).privacy;
  assert.equal(told.kind, 'private');
  assert.equal(statement, told.statement);
  const shown = Number(/ε = ([0-9.]+)/.exec(verdict)[1]);
  assert.ok(shown >= told.epsilon && shown < told.epsilon * 1.002, verdict); // rounded, but never down
  done.push('shows the statement: ' + verdict);

  await page.getByLabel('Most new tokens').fill('4000');
  await page.getByRole('button', { name: 'Generate' }).click();
  await page.getByRole('alert').waitFor();
  assert.match(await page.getByRole('alert').textContent(), /token/);
  wrong.splice(0, wrong.length, ...wrong.filter((w) => !w.includes('400'))); // that one
  done.push('shows errors');

  await page.emulateMedia({ colorScheme: 'dark' });
  await shot('dark');
  await page.setViewportSize({ width: 390, height: 800 });
  await shot('narrow');
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page is wider than a narrow window');
  await page.setViewportSize({ width: 1000, height: 1100 });
  await page.keyboard.press('Tab');
  assert.notEqual(await page.evaluate(() => document.activeElement.tagName), 'BODY');
  done.push('dark, narrow, by keyboard');
  assert.deepEqual(wrong, []);
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
console.log(done.join('; '));
