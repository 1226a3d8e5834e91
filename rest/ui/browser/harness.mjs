// The browser, and how a test speaks with it and with the Go test that started it.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { readFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

export const set = JSON.parse(process.argv[2]);
const load = createRequire(join(set.modules, 'x.js'));
const { chromium } = load('playwright-core');
const axe = readFileSync(join(set.modules, 'axe-core', 'axe.min.js'), 'utf8');

export const patience = 90_000; // of every wait: the machine may be busy with other tests

// ask has the Go test do something: 'sql …', 'stop', 'start'.
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
export async function ask(what) {
  process.stdout.write('@' + what.replaceAll('\n', ' ') + '\n');
  if ((await answers.next()).done) throw new Error('the Go test has gone');
}

// api calls the REST API as a script does.
export async function api(method, path, body, base = set.url) {
  for (let tries = 0; ; tries++) {
    const r = await fetch(base + path, { method, headers: { 'Content-Type': 'application/json', Accept: 'application/json' }, body: body && JSON.stringify(body) });
    if (r.status === 409 && tries < 60) { // a rebalance
      await new Promise(ok => setTimeout(ok, 500));
      continue;
    }
    const text = await r.text();
    if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }
}

// until asks again and again for what no page shows.
export async function until(what, done) {
  for (const end = Date.now() + patience; !await done();) {
    if (Date.now() > end) throw new Error('waited in vain for ' + what);
    await new Promise(ok => setTimeout(ok, 100));
  }
}

const browser = await chromium.launch({ executablePath: set.browser, args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'] });

// open makes a page; what a page must never do is collected in problems.
export const problems = [];
const ours = [set.url, set.readOnly, set.other].filter(Boolean).map(u => new URL(u).host);
export async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: 'light', reducedMotion: 'reduce', ...options });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  // A view that is left in the midst of a request, and a validation that newer input has replaced.
  const away = /net::ERR_|Failed to fetch|Failed to load resource|^htmx:(sendAbort|afterRequest),/;
  page.on('console', m => { if (m.type() === 'error' && !away.test(m.text())) problems.push(`${page.url()}: console: ${m.text()}`); });
  page.on('pageerror', e => problems.push(`${page.url()}: ${e}`));
  page.on('request', r => {
    const u = new URL(r.url());
    if (u.protocol.startsWith('http') && !ours.includes(u.host)) problems.push(`${page.url()} asks for ${r.url()}`);
  });
  return page;
}

// see waits until the page shows the text.
export const see = (page, text, within = 'body') => page.locator(within).filter({ hasText: text }).first().waitFor();

// follow clicks a link, or does what else leads there, and waits until the new page is whole: what is typed or
// pressed before its scripts run is lost, and Playwright itself waits only until a page has begun.
export async function follow(page, go, where) {
  await go();
  await page.waitForURL(where);
}

// act presses a button whose request changes something and waits for the answer. A rebalance is waited for, as by api.
export async function act(page, label) {
  for (let tries = 0; ; tries++) {
    const [answer] = await Promise.all([
      page.waitForResponse(r => r.request().method() === 'POST' && new URL(r.url()).pathname.startsWith('/ui/do/')),
      page.getByRole('button', { name: label, exact: true }).click(),
    ]);
    if (answer.headers()['hx-redirect'] || tries === 5 || !/rebalance was underway|conflicting operation/.test(await answer.text())) return;
  }
}

// accessible fails for every violation that axe finds; contrast: of contrast only, which is what colours change.
export async function accessible(page, name, contrast = false) {
  const only = contrast ? { type: 'rule', values: ['color-contrast'] } : { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] };
  const found = await page.evaluate(axe + `; axe.run(document, { runOnly: ${JSON.stringify(only)} }).then(r => r.violations.map(v => v.id + ": " + v.help + " — " + v.nodes.map(n => n.html.slice(0, 160)).join(" | ")))`);
  for (const f of found) problems.push(`${name}: ${f}`);
}

// shot keeps a picture.
if (set.shots) mkdirSync(set.shots, { recursive: true });
export async function shot(page, name) {
  if (set.shots) await page.screenshot({ path: join(set.shots, name + '.png'), fullPage: true });
}

// noScroll: nothing but tables and code in boxes of their own may be wider than the screen.
export async function fits(page, name) {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (over > 0) problems.push(`${name}: the page is ${over} px wider than the screen`);
}

const began = Date.now();
let current;
export async function step(name, act) {
  current = name;
  await act();
  console.log(`${((Date.now() - began) / 1000).toFixed(1)} s  ${name}`);
}

// run runs the tests and ends the process.
export async function run(tests) {
  try {
    await tests();
    if (problems.length) throw new Error('problems that pages had:\n' + [...new Set(problems)].join('\n'));
  } catch (e) {
    console.log(`FAILED: ${current}: ${e.stack}`);
    let n = 0;
    for (const c of browser.contexts()) {
      for (const p of c.pages()) {
        await shot(p, `failed-${++n}`).catch(() => {});
        console.log(`page ${p.url()}:\n` + (await p.locator('main').innerText({ timeout: 5000 }).catch(() => '(no text)')).slice(0, 3000));
      }
    }
    process.exitCode = 1;
  }
  await browser.close();
  process.exit();
}
