// Grafana's own data source for Prometheus asks promlake: `PROMLAKE=… node --test tests/grafana/`. With PROMETHEUS=… that is asked
// instead, which shows whether the expectations are right.
import { after, before, describe } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { discovery } from './discovery.mjs';
import { Grafana } from './grafana.mjs';
import { queries } from './queries.mjs';
import { server } from './server.mjs';
import { Shop } from './shop.mjs';

const context = {
  /** Of the samples that were scraped before anything was asked, while nothing kept the exporters waiting, in milliseconds. */
  range: () => ({ from: context.shop.began, to: context.shop.ready }),

  async until(what, condition) {
    for (const end = Date.now() + 10_000; Date.now() < end; await sleep(20)) {
      const value = await condition();
      if (value) return value;
    }
    throw new Error(`not within 10 s: ${what}`);
  },
};

before(async () => {
  context.grafana = await Grafana.load();
  context.shop = await Shop.open(process.env);
});
after(() => context.shop?.stop());

describe('what editors, variables and filters ask for', () => discovery(context));
describe('what panels, Explore and annotations ask for', () => queries(context));
describe("what Grafana's server asks for by itself", () => server(context));
