// What a browser needs for the page of a worker with many connectors; see BenchmarkPage.
import { open, run, set, shot } from './harness.mjs';

run(async () => {
  const page = await open();
  await page.addInitScript(() => {
    window.longest = 0;
    new PerformanceObserver(l => l.getEntries().forEach(e => { window.longest = Math.max(window.longest, e.duration); })).observe({ type: 'longtask', buffered: true });
  });
  const measure = async (path, unit) => {
    await page.goto(set.url + path);
    await page.locator('table').first().waitFor();
    const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0);
    const bytes = (await (await fetch(set.url + path)).text()).length;
    await page.evaluate(() => { window.longest = 0; });
    await page.evaluate(() => new Promise(ok => { let n = 0; document.addEventListener('htmx:sseMessage', () => { if (++n === 4) ok(); }); }));
    const longest = await page.evaluate(() => window.longest); // 0: none over 50 ms
    console.log(`${paint.toFixed(0)} ms-first-paint-${unit}`);
    console.log(`${longest.toFixed(0)} ms-longest-update-${unit}`);
    console.log(`${(bytes / 1024).toFixed(0)} KiB-${unit}`);
  };
  await measure('/ui/', 'overview');
  await shot(page, 'load-overview');
  await measure('/ui/?all=1', 'overview-of-all');
  await measure('/ui/connectors/connector-001', 'connector');
});
