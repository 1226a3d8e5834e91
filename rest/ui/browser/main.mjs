// The main paths through the page and its failures, in the order in which somebody meets them.
import { accessible, act, api, ask, fits, follow, open, problems, run, see, set, shot, step, until } from './harness.mjs';

const name = set.prefix + '-shop';
const base = { 'connector.class': 'io.debezium.connector.postgresql.PostgresConnector', 'tasks.max': '1', 'plugin.name': 'pgoutput',
  'database.hostname': set.host, 'database.port': set.port, 'database.user': 'postgres', 'database.password': 's3cret-of-test', 'database.dbname': 'postgres' };
const shop = { ...base, 'topic.prefix': set.prefix, 'table.include.list': 'public.customers,public.countries', 'slot.name': set.prefix + '_shop', 'publication.name': set.prefix + '_shop',
  'publication.autocreate.mode': 'filtered', 'read.only': 'true', 'retriable.restart.connector.wait.ms': '500', 'topic.creation.default.partitions': '1', 'topic.creation.default.replication.factor': '1' };
const at = path => `${set.url}/ui/${path}`;
const state = (page, which) => page.locator(`.bar .state.${which.toLowerCase()}`).waitFor();
const press = (page, label) => page.getByRole('button', { name: label, exact: true }).click();

run(async () => {
  const page = await open();
  page.on('dialog', d => d.accept());

  await step('an empty worker says what to do', async () => {
    await page.goto(set.url + '/', { waitUntil: 'commit' });
    await see(page, 'There are no connectors yet');
    await accessible(page, 'empty overview');
    await shot(page, 'overview-empty');
  });

  await step('the overview shows a connector that a script makes', async () => {
    await api('POST', '/connectors', { name, config: shop });
    await page.locator('table').getByRole('link', { name }).waitFor();
    await page.locator('tbody .state.running').waitFor();
    await see(page, 'Nothing needs attention');
  });

  await step('the connector shows its way from the log head on, its tables and what it said', async () => {
    await follow(page, () => page.locator('table').getByRole('link', { name }).click(), at('connectors/' + name));
    await state(page, 'RUNNING');
    await see(page, 'at the head', '.path');
    await see(page, 'at most 256 MiB', '.kept');
    await see(page, '200 rows ✓', 'tr');
    await see(page, 'Snapshot ended', '.log');
    await page.locator('.chart canvas').first().waitFor();
    await shot(page, 'connector');
  });

  await step('events come by themselves, with what an update changed', async () => {
    await follow(page, () => page.getByRole('link', { name: 'public.customers', exact: true }).click(), /\/events\?topic=/);
    await page.locator('.op.read').first().waitFor();
    await ask("sql update public.customers set email = 'new@example.com' where id = 7");
    await page.locator('.op.update').first().waitFor();
    await see(page, 'new@example.com', '.what');
    await page.locator('summary', { has: page.locator('.op.update') }).first().click();
    await ask("sql update public.customers set email = 'newer@example.com' where id = 8");
    await see(page, 'newer@example.com', '.what');
    if (await page.locator('details[open]').count() !== 1) throw new Error('an open event was closed by news');
    await accessible(page, 'events');
    await shot(page, 'events');
    await follow(page, () => page.getByRole('link', { name: 'Link to this record' }).first().click(), /[?&]at=/);
    await page.locator('li.here').waitFor();
    await follow(page, () => page.locator('li.here').getByRole('link', { name: 'with its schema' }).click(), /[?&]schema=1/);
    await see(page, 'Schema of the value', 'li.here');
    await see(page, 'io.debezium.connector.postgresql.Source', 'li.here');
    await page.goto(at(`connectors/${name}/events?topic=${set.prefix}.public.customers&key=8`));
    await see(page, '"id":8', '.key');
  });

  await step('a table is read again, beside the stream', async () => {
    await page.goto(at('connectors/' + name));
    await page.getByRole('button', { name: 'Snapshot again: public.countries' }).click();
    await see(page, 'public.countries is read again', '#said');
    await see(page, 'Signal', '.log');
  });

  await step('pause, resume, restart, stop', async () => {
    await act(page, 'Pause');
    await state(page, 'PAUSED');
    await act(page, 'Resume');
    await state(page, 'RUNNING');
    await act(page, 'Restart');
    await see(page, 'restart: done', '#said');
    await state(page, 'RUNNING');
    await act(page, 'Stop');
    await state(page, 'STOPPED');
    await see(page, 'The database keeps its log for it meanwhile', '.note');
    await act(page, 'Resume');
    await state(page, 'RUNNING');
  });

  await step('the config is validated while it is written, and shown as a difference', async () => {
    await follow(page, () => page.getByRole('link', { name: 'Config', exact: true }).click(), at(`connectors/${name}/config`));
    await see(page, 'Valid:', '#problems');
    const box = page.getByRole('textbox', { name: /Config as JSON/ });
    const text = await box.inputValue();
    if (text.includes('s3cret')) throw new Error('the page shows a password');
    await box.fill(text.replace('"' + set.port + '"', '"no number"'));
    await see(page, 'database.port', '#problems');
    await shot(page, 'config-problem');
    await box.fill('{ no JSON');
    await see(page, 'this is no JSON object', '#problems');
    await box.fill(text.replace('"tasks.max"', '"heartbeat.interval.ms": "60000",\n  "tasks.max"'));
    await see(page, 'Valid:', '#problems');
    await press(page, 'Show what would change');
    await see(page, 'heartbeat.interval.ms', '#diff');
    await accessible(page, 'config');
    await shot(page, 'config-diff');
    await follow(page, () => act(page, 'Save and restart its tasks'), at('connectors/' + name));
    const now = await api('GET', `/connectors/${name}/config`);
    if (now['heartbeat.interval.ms'] !== '60000' || now['database.password'] !== 's3cret-of-test') throw new Error('saved ' + JSON.stringify(now));
    await state(page, 'RUNNING');
  });

  await step('the doctor finds nothing', async () => {
    await follow(page, () => page.getByRole('link', { name: 'Doctor', exact: true }).click(), at(`connectors/${name}/doctor`));
    await see(page, /Nothing is wrong|It works/, '#diagnosis');
    await accessible(page, 'doctor');
    await shot(page, 'doctor');
  });

  const second = set.prefix + '-orders';
  await step('a new connector from the form: what is missing, the doctor, its topics, the start', async () => {
    await follow(page, () => page.getByRole('link', { name: 'New connector' }).click(), at('new'));
    await shot(page, 'new');
    await accessible(page, 'new: kinds');
    await follow(page, () => page.getByRole('link', { name: /^PostgreSQL/ }).click(), /\/new\?class=/);
    const fill = (k, v) => page.locator(`[id="f.${k}"]`).fill(v);
    await fill('name', second);
    await see(page, 'to correct', '#problems');
    await fill('database.hostname', set.host);
    await fill('database.port', set.port);
    await fill('database.user', 'postgres');
    await fill('database.password', 's3cret-of-test');
    await fill('database.dbname', 'postgres');
    await fill('topic.prefix', set.prefix + 'o');
    await fill('table.include.list', 'public.orders');
    await page.getByText('Further settings').click();
    await page.locator('#more').fill(`slot.name=${set.prefix}_orders\npublication.name=${set.prefix}_orders\npublication.autocreate.mode=filtered\ntopic.creation.default.partitions=1\ntopic.creation.default.replication.factor=1`);
    await see(page, 'Valid:', '#problems');
    await accessible(page, 'new: form');
    await press(page, 'Examine it: what it would do');
    await see(page, set.prefix + 'o.public.orders', '#plan');
    await see(page, '"customer": 1', '#sample');
    await shot(page, 'new-plan');
    if ((await page.content()).includes('s3cret')) throw new Error('the page shows a password');
    await follow(page, () => act(page, 'Start it'), at('connectors/' + second));
    await state(page, 'RUNNING');
    await see(page, '2 rows ✓', 'tr');
  });

  await step('a bad config is refused with a reason, in the form and by the doctor', async () => {
    await page.goto(at('new?class=' + base['connector.class']));
    const fill = (k, v) => page.locator(`[id="f.${k}"]`).fill(v);
    await fill('name', 'bad');
    await fill('database.hostname', set.host);
    await fill('database.port', '1');
    await fill('database.user', 'postgres');
    await fill('database.dbname', 'postgres');
    await fill('topic.prefix', 'bad');
    await see(page, /refused|cannot|Unable/, '#problems');
    await press(page, 'Examine it: what it would do');
    await see(page, 'to mend', '#plan');
    await shot(page, 'new-bad');
  });

  await step('the database goes away: the page says so, and why, and what to do', async () => {
    await ask('stop');
    await page.goto(at('connectors/' + name));
    await see(page, 'To look at', '.error');
    await see(page, /connection refused|terminating|shutting down|the server ended/, '.error .cause');
    await see(page, 'What to do:', '.error');
    await accessible(page, 'database away');
    await shot(page, 'database-away');
    await page.goto(at(''));
    await see(page, 'to look at', '.headline');
    await shot(page, 'overview-database-away');
  });

  await step('the database comes back: the page is well again by itself', async () => {
    await ask('start');
    await see(page, 'Nothing needs attention', '.headline');
    await ask("sql insert into public.countries values ('no', 'Norway')");
    await page.goto(at(`connectors/${name}/events?topic=${set.prefix}.public.countries`));
    await see(page, 'Norway');
  });

  await step('a task that fails shows cause and cure', async () => {
    await api('PUT', `/connectors/${second}/stop`);
    await until('its tasks to have ended', async () => (await api('GET', `/connectors/${second}/status`)).tasks.length === 0);
    const slot = `'${set.prefix}_orders'`; // its connection may end a little later than the task
    await ask(`sql do $$ begin while exists (select from pg_replication_slots where slot_name = ${slot} and active) loop perform pg_sleep(0.05); end loop; perform pg_drop_replication_slot(${slot}); end $$`);
    await api('PUT', `/connectors/${second}/resume`);
    await page.goto(at('connectors/' + second));
    await see(page, 'Task 0 failed', '.error');
    await see(page, 'replication slot', '.error .cause');
    await see(page, 'What to do:', '.error');
    await accessible(page, 'failed task');
    await shot(page, 'failed');
    await page.goto(at(''));
    await see(page, '1 failed', '.headline');
    await accessible(page, 'overview');
    await shot(page, 'overview-failed');
    await page.goto(at('connectors/' + second));
    await follow(page, () => act(page, 'Delete'), at(''));
  });

  await step('the cluster, and the level of a logger', async () => {
    await follow(page, () => page.getByRole('link', { name: 'Cluster' }).click(), at('cluster'));
    await act(page, 'Set on all workers');
    await see(page, 'root = INFO: done', '#level');
    await accessible(page, 'cluster');
    await shot(page, 'cluster');
  });

  await step('by keyboard alone: skip link, list, pause', async () => {
    await page.goto(at(''));
    await page.locator('table').getByRole('link', { name }).waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter'); // skip to the content
    const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
    for (let i = 0; i < 10 && await focused() !== name; i++) await page.keyboard.press('Tab');
    if (await focused() !== name) throw new Error('the connector cannot be reached by Tab: ' + await focused());
    await follow(page, () => page.keyboard.press('Enter'), at('connectors/' + name));
    await state(page, 'RUNNING');
    await page.getByRole('button', { name: 'Pause', exact: true }).focus();
    await page.keyboard.press('Enter');
    await state(page, 'PAUSED');
    await page.getByRole('button', { name: 'Resume', exact: true }).focus();
    await page.keyboard.press('Enter');
    await state(page, 'RUNNING');
  });

  await step('dark, and on a phone', async () => {
    const views = ['', 'connectors/' + name, `connectors/${name}/events`, `connectors/${name}/config`, `connectors/${name}/doctor`, 'new', 'new?class=' + base['connector.class'], 'cluster'];
    for (const [kind, options] of Object.entries({ dark: { colorScheme: 'dark' }, phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true } })) {
      const other = await open(options);
      for (const v of views) {
        await other.goto(at(v));
        await other.locator('h1').waitFor();
        if (v.endsWith('/doctor')) await see(other, 'checks are well', '#diagnosis');
        const label = `${kind}: ${v || 'overview'}`;
        if (kind === 'dark') await accessible(other, label, true); // the rest was looked at above
        await fits(other, label);
        if (kind === 'phone' || !v.includes('?')) await shot(other, `${kind}-${(v || 'overview').replace(name, 'connector').replace(/[^a-z]+/g, '-').slice(0, 40)}`);
      }
      await other.context().close();
    }
  });

  await step('requests that do not come from the page are refused', async () => {
    const post = (url, headers) => fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers } });
    let r = await post(at(`do/connectors/${name}/pause`), {});
    if (r.status !== 403) throw new Error('without a token: ' + r.status);
    const token = JSON.parse(await page.locator('body').getAttribute('hx-headers'))['X-Token'];
    r = await post(at(`do/connectors/${name}/pause`), { 'X-Token': token, Origin: 'http://evil.example' });
    if (r.status !== 403) throw new Error('from another origin: ' + r.status);
    await page.goto(at('connectors/' + name)); // and a page that is too old says so where one looks
    await page.evaluate(() => document.body.setAttribute('hx-headers', '{"X-Token":"old"}'));
    await press(page, 'Pause');
    await see(page, 'reload the page', '#said');
    problems.splice(0, problems.length, ...problems.filter(p => !p.includes('403')));
  });

  await step('another worker joins and leaves: both pages tell', async () => {
    const told = async (base, text) => { // the page of the cluster is as old as its last look
      const list = page.getByRole('region', { name: 'Recent rebalances' });
      await until(`${text} on ${base}`, async () => {
        await page.goto(base + '/ui/cluster');
        await list.waitFor();
        return (await list.innerText()).includes(text);
      });
    };
    const [here, there] = [set.url, set.other].map(u => new URL(u).host);
    await told(set.url, 'led by ' + here);
    await ask('join');
    await told(set.url, 'joined: ' + there);
    await told(set.other, 'joined: ' + there); // it asks the leader
    await fits(page, 'rebalances');
    await accessible(page, 'rebalances');
    await shot(page, 'rebalances');
    await ask('leave');
    await told(set.url, 'left: ' + there);
  });

  await step('a read-only page offers nothing that changes something', async () => {
    await api('POST', '/connectors', { name: 'shown', config: { 'connector.class': 'org.apache.kafka.connect.file.FileStreamSinkConnector', topics: set.prefix + '.public.customers', 'tasks.max': '1' } }, set.readOnly);
    await page.goto(set.readOnly + '/ui/connectors/shown');
    await state(page, 'RUNNING');
    if (await page.locator('.bar button').count()) throw new Error('there are buttons');
    await see(page, 'at the end', '.path');
    await accessible(page, 'read-only');
    await shot(page, 'read-only');
    const token = JSON.parse(await page.locator('body').getAttribute('hx-headers'))['X-Token'];
    const r = await fetch(set.readOnly + '/ui/do/connectors/shown/pause', { method: 'POST', headers: { 'X-Token': token } });
    if (r.status !== 403 || !(await r.text()).includes('ui.read.only')) throw new Error('it acts: ' + r.status);
  });
});
