// The main paths through the page and its failures, in the order in which somebody meets them.
import { accessible, api, ask, fits, open, patience, run, see, set, shot, step } from './harness.mjs';

const name = set.prefix + '-shop';
const base = { 'connector.class': 'io.debezium.connector.postgresql.PostgresConnector', 'tasks.max': '1', 'plugin.name': 'pgoutput',
  'database.hostname': set.host, 'database.port': set.port, 'database.user': 'postgres', 'database.password': 's3cret-of-test', 'database.dbname': 'postgres' };
const shop = { ...base, 'topic.prefix': set.prefix, 'table.include.list': 'public.customers,public.countries', 'slot.name': set.prefix + '_shop', 'publication.name': set.prefix + '_shop',
  'publication.autocreate.mode': 'filtered', 'signal.data.collection': 'public.signals', 'retriable.restart.connector.wait.ms': '500' };
const at = path => `${set.url}/ui/${path}`;

run(async () => {
  const page = await open();

  await step('an empty worker says what to do', async () => {
    await page.goto(set.url + '/', { waitUntil: 'commit' });
    await see(page, 'There are no connectors yet');
    await accessible(page, 'empty');
    await shot(page, 'overview-empty');
  });

  await step('the overview shows a connector that is made elsewhere', async () => {
    await api('POST', '/connectors', { name, config: shop });
    await see(page, name);
    await page.locator('.state.running').first().waitFor();
  });
});
