// What Grafana's editors, variables and filters ask for.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { answer } from './grafana.mjs';
import { SHOP } from './shop.mjs';

const METRICS = [
  'ALERTS',
  'ALERTS_FOR_STATE',
  'instance:shop_requests:rate10s',
  'job:payments:rate10s',
  'payment_duration_seconds',
  'payment_open',
  'payment_queue_seconds',
  'payment_queue_seconds_count',
  'payment_queue_seconds_sum',
  'payment_refunds_total',
  'scrape_duration_seconds',
  'scrape_samples_post_metric_relabeling',
  'scrape_samples_scraped',
  'scrape_series_added',
  'shop.room.size',
  'shop_info',
  'shop_odd',
  'shop_request_duration_seconds_bucket',
  'shop_request_duration_seconds_count',
  'shop_request_duration_seconds_sum',
  'shop_requests_total',
  'shop_slow',
  'shop_temperature_celsius',
  'up',
];
const LABELS = [
  '__name__',
  'alertname',
  'alertstate',
  'bank',
  'code',
  'endpoint',
  'instance',
  'job',
  'kind',
  'le',
  'quantile',
  'service.name',
  'severity',
  'team',
  'version',
];
const WITHOUT_NAME = LABELS.filter((name) => name !== '__name__');
const REQUESTS = ['__name__', 'code', 'endpoint', 'instance', 'job'];
const INSTANCES = [...SHOP.instances, 'payments-1'].sort();
const ROOM = 'till, the first';

const texts = (found) => found.map(({ text }) => text).sort();
const sent = (source, path) => source.promlib.sent.filter((request) => request.path === path);

export function discovery(context) {
  const source = (settings) => context.grafana.dataSource(context.shop.url, { timeInterval: '1s', ...settings });
  const range = () => context.grafana.timeRange(context.range());

  test('"Save & test" succeeds and finds a Prometheus', async () => {
    assert.deepEqual(await source().callHealthCheck(), {
      status: 'OK',
      message: 'Successfully queried the Prometheus API.',
      details: { application: 'Prometheus', features: { rulerApiEnabled: false } },
    });
  });

  test('a new data source loads recording rules and finds that there are exemplars', async () => {
    const shop = source();
    await shop.init();
    // Nothing waits for the rules.
    await context.until('rules', () => Object.keys(shop.ruleMappings).length);
    // Some builds of Prometheus leave out labels that are empty.
    for (const [rule] of Object.values(shop.ruleMappings)) rule.labels ??= {};
    assert.deepEqual(shop.ruleMappings, {
      'instance:shop_requests:rate10s': [
        { query: 'sum by (instance) (rate(shop_requests_total[10s]))', labels: { team: 'shop' } },
      ],
      'job:payments:rate10s': [
        { query: 'histogram_count(sum by (job) (rate(payment_duration_seconds[10s])))', labels: {} },
      ],
    });
    assert.equal(shop.exemplarsAvailable, true);
  });

  test('rules that nobody wants to see are not asked for', async () => {
    const shop = source({ disableRecordingRules: true });
    await shop.init();
    assert.deepEqual([shop.ruleMappings, sent(shop, '/api/v1/rules').length], [{}, 0]);
  });

  test('metadata have type, help and unit of every metric', async () => {
    const shop = source();
    const metadata = await shop.languageProvider.queryMetricsMetadata();
    assert.deepEqual(metadata.shop_requests, { type: 'counter', help: 'Requests that were answered.', unit: '' });
    assert.deepEqual(metadata.shop_request_duration_seconds, {
      type: 'histogram',
      help: 'How long requests took.',
      unit: 'seconds',
    });
    assert.deepEqual(metadata.payment_duration_seconds, {
      type: 'histogram',
      help: 'How long payments took.',
      unit: '',
    });
    assert.deepEqual(metadata.payment_queue_seconds, { type: 'summary', help: 'How long payments waited.', unit: '' });
    assert.deepEqual(metadata.shop, { type: 'info', help: 'Which version runs.', unit: '' });
    assert.deepEqual(metadata['shop.room.size'], { type: 'gauge', help: 'A name in UTF-8.', unit: '' });
    // Grafana adds what a classic histogram and a summary are made of.
    assert.equal(metadata.shop_request_duration_seconds_bucket.type, 'counter');
    assert.equal(metadata.payment_queue_seconds_sum.type, 'counter');
    assert.equal(
      Object.keys(await shop.languageProvider.queryMetricsMetadata(2)).filter(
        (name) => metadata[name]?.unit !== undefined,
      ).length,
      2,
    );
  });

  const methods = ['GET', 'POST'];
  const clients = { labels: {}, series: { seriesEndpoint: true }, search: { enableSearchApi: true } };
  for (const [client, settings] of Object.entries(clients)) {
    for (const httpMethod of methods) {
      test(
        `the ${client} client finds metrics, labels and values, by ${httpMethod}`,
        async () => {
          const shop = source({ ...settings, httpMethod });
          const { languageProvider } = shop;
          await languageProvider.start(range());
          assert.deepEqual([...languageProvider.retrieveMetrics()].sort(), METRICS);
          assert.deepEqual(languageProvider.retrieveHistogramMetrics(), ['shop_request_duration_seconds_bucket']);
          // Series have no label of their own for the name, as Grafana counts.
          const isSeries = client === 'series';
          assert.deepEqual([...languageProvider.retrieveLabelKeys()].sort(), isSeries ? WITHOUT_NAME : LABELS);

          const keys = await languageProvider.queryLabelKeys(range(), '{__name__="shop_requests_total"}');
          assert.deepEqual([...keys].sort(), isSeries ? REQUESTS.slice(1) : REQUESTS);
          assert.deepEqual(await languageProvider.queryLabelValues(range(), 'instance'), INSTANCES);
          assert.deepEqual(await languageProvider.queryLabelValues(range(), 'bank', 'payment_open{bank!="north"}'), [
            'south',
          ]);
          assert.deepEqual(await languageProvider.queryLabelValues(range(), 'code', '{job="shop",code=~"5.."}'), [
            '500',
          ]);
          assert.deepEqual(await languageProvider.queryLabelValues(range(), 'absent'), []);
          assert.deepEqual(await languageProvider.queryLabelValues(range(), '"service.name"'), [ROOM]);
          assert.deepEqual(await languageProvider.queryLabelValues(range(), '"service.name"', '{"shop.room.size"}'), [
            ROOM,
          ]);
          assert.equal(
            (await languageProvider.queryLabelKeys(range(), '{job="shop"}', 3)).length <=
              (isSeries ? LABELS.length : 3),
            true,
          );
          if (client === 'labels')
            assert.equal((await languageProvider.queryLabelValues(range(), '__name__', undefined, 5)).length, 5);

          // All by the requests that it is for, and by the method that is set where there is a choice.
          const used = { labels: '/api/v1/labels', series: '/api/v1/series', search: '/api/v1/search/label_names' }[
            client
          ];
          assert.notEqual(sent(shop, used).length, 0, `nothing was sent to ${used}`);
          if (client !== 'search')
            assert.deepEqual([...new Set(sent(shop, used).map(({ method }) => method))], [httpMethod]);
          if (client === 'search') assert.deepEqual(sent(shop, '/api/v1/labels'), []);
          assert.deepEqual([...new Set(shop.promlib.sent.map(({ status }) => status))], [200]);
        },
      );
    }
  }

  test('a time without samples has no metrics, and no labels', async () => {
    const { languageProvider } = source();
    const yesterday = context.grafana.timeRange({ from: Date.now() - 90_000_000, to: Date.now() - 86_400_000 });
    assert.deepEqual((await languageProvider.resourceClient.queryMetrics(yesterday)).metrics, []);
    assert.deepEqual(await languageProvider.queryLabelKeys(yesterday), []);
  });

  test('a search finds what is alike, best first, in batches and with metadata', async () => {
    const shop = source({ enableSearchApi: true });
    const client = shop.languageProvider.getSearchApiClient();
    const batches = [];
    const found = await client.searchMetricNames(range(), 'shop_request', {
      batchSize: 2,
      onBatch: (batch) => batches.push(batch),
    });
    // What begins so is the best, and among that the alphabet counts; others may be alike.
    const best = METRICS.filter((name) => name.startsWith('shop_request'));
    assert.deepEqual(
      found.results.slice(0, best.length),
      best.map((name) => ({ name })),
    );
    assert.equal(batches.length >= 2 && batches.every((batch) => batch.length <= 2), true);
    assert.deepEqual(batches.flat(), found.results);
    assert.deepEqual([found.hasMore, found.warnings], [false, []]);
    const [open] = (await client.searchMetricNames(range(), 'Payment_Open', { includeMetadata: true })).results;
    assert.deepEqual(open, { name: 'payment_open', type: 'gauge', help: 'Payments under way.' });
    const some = await client.searchMetricNames(range(), '', { limit: 3 });
    assert.deepEqual([some.results.map(({ name }) => name), some.hasMore], [METRICS.slice(0, 3), true]);
    const labels = await client.searchLabelNames(range(), 'inst', { match: '{job="shop"}' });
    assert.equal(labels.results[0].name, 'instance');
    const values = await client.searchLabelValues(range(), 'instance', 'payments');
    assert.equal(values.results[0].value, 'payments-1');
  });

  const completions = [
    // `^` is where the cursor stands.
    { name: 'metrics', text: 'shop_re^', type: 'METRIC_NAME', some: ['shop_requests_total'] },
    { name: 'metrics in a function', text: 'rate(shop_req^)', type: 'METRIC_NAME', some: ['shop_requests_total'] },
    { name: 'labels of a selector', text: 'shop_requests_total{^}', type: 'LABEL_NAME', all: REQUESTS.slice(1) },
    {
      name: 'labels beside another',
      text: 'shop_requests_total{job="shop",^}',
      type: 'LABEL_NAME',
      all: ['code', 'endpoint', 'instance'],
    },
    {
      name: 'labels without a metric',
      text: '{job="payments",^}',
      type: 'LABEL_NAME',
      all: ['bank', 'instance', 'quantile'],
    },
    {
      name: 'labels of a grouping',
      text: 'sum by (^) (shop_requests_total)',
      type: 'LABEL_NAME',
      all: REQUESTS.slice(1),
    },
    { name: 'values of a label', text: 'shop_requests_total{code="^"}', type: 'LABEL_VALUE', all: ['200', '500'] },
    {
      name: 'values within others',
      text: 'payment_open{job="payments",bank="^"}',
      type: 'LABEL_VALUE',
      all: ['north', 'south'],
    },
  ];
  for (const enableSearchApi of [false, true]) {
    test(`the editor completes ${completions.length} texts, ${enableSearchApi ? 'by search' : 'by labels'}`, async () => {
      const { code } = context.grafana;
      const { languageProvider } = source({ enableSearchApi });
      await languageProvider.start(range());
      const provider = new code.DataProvider({ languageProvider, historyProvider: [] });
      for (const { name, text, type, some = [], all } of completions) {
        const at = text.indexOf('^');
        const situation = code.getSituation(text.replace('^', ''), at);
        const word = /[\w:]*$/.exec(text.slice(0, at))[0] || undefined;
        const found = (await code.getCompletions(situation, provider, range(), word)).filter(
          (each) => each.type === type,
        );
        const labels = found.map(({ label }) => label).sort();
        if (all) assert.deepEqual(labels, all, name);
        for (const each of some) assert.equal(labels.includes(each), true, `${name}: ${labels}`);
      }
    });
  }

  const variables = [
    { query: 'label_names()', all: LABELS },
    { query: 'label_names(payment_open)', all: ['bank', 'instance', 'job'] },
    { query: 'label_values(instance)', all: INSTANCES },
    { query: 'label_values(shop_requests_total, code)', all: ['200', '500'] },
    { query: 'label_values(shop_requests_total{code="500"}, code)', all: ['500'] },
    { query: 'label_values(shop_temperature_celsius{instance=~"$shops"}, instance)', all: SHOP.instances },
    { query: 'label_values({"shop.room.size"}, service.name)', all: [ROOM] },
    { query: 'metrics(shop_temp.*)', all: ['shop_temperature_celsius'] },
    {
      query: 'query_result(shop_temperature_celsius > 22)',
      match: [/^shop_temperature_celsius\{instance="shop-2",job="shop"\} 22\.5 \d+$/],
    },
    {
      query: 'query_result(round(max_over_time(shop_slow{instance="shop-1"}[$__range])))',
      match: [/^\{instance="shop-1",job="shop"\} 1 \d+$/],
    },
    { query: 'query_result(scalar(shop_temperature_celsius{instance="shop-1"}))', all: ['21.5'] },
    {
      query: 'shop_temperature_celsius',
      all: SHOP.instances.map((instance) => `shop_temperature_celsius{instance="${instance}",job="shop"}`),
    },
    { query: 'payment_open{bank="north"}', all: ['payment_open{bank="north",instance="payments-1",job="payments"}'] },
  ];
  for (const { query, all, match } of variables) {
    test(`the variable ${query}`, async () => {
      const shop = source();
      context.grafana.templates.variables = { shops: [...SHOP.instances] };
      const options = { range: range(), scopedVars: {} };
      // Once as an old dashboard asks, and once as a new one does.
      const found = await shop.metricFindQuery(query, options);
      const { data } = await answer(shop.variables.query({ ...options, targets: [{ refId: 'v', query, qryType: 5 }] }));
      for (const each of [texts(found), texts(data)]) {
        if (all) assert.deepEqual(each, [...all].sort());
        match?.forEach((pattern, at) => assert.match(each[at], pattern));
        if (match) assert.equal(each.length, match.length);
      }
    });
  }

  test('ad-hoc filters offer names and values that fit the queries and the other filters', async () => {
    const shop = source();
    const options = { timeRange: range(), queries: [{ refId: 'A', expr: 'sum(rate(shop_requests_total[5m]))' }] };
    const filters = [{ key: 'code', operator: '=', value: '500' }];
    assert.deepEqual(texts(await shop.getTagKeys({ ...options, filters })), [
      '__name__',
      'endpoint',
      'instance',
      'job',
    ]);
    assert.deepEqual(texts(await shop.getTagValues({ ...options, key: 'instance', filters })), SHOP.instances);
    const several = [{ key: 'instance', operator: '=|', value: 'shop-1', values: ['shop-1', 'payments-1'] }];
    assert.deepEqual(texts(await shop.getTagValues({ timeRange: range(), key: 'job', filters: several })), [
      'payments',
      'shop',
    ]);
    assert.deepEqual(texts(await shop.getTagKeys({ timeRange: range(), filters: [] })), LABELS);
    assert.deepEqual(texts(await shop.getGroupByKeys({ ...options, filters: [] })), REQUESTS);
  });

  test("within scopes Grafana's server asks for them", async () => {
    const scopes = [
      {
        metadata: { name: 'shop' },
        spec: { title: 'shop', filters: [{ key: 'job', operator: 'equals', value: 'shop' }] },
      },
    ];
    const options = { timeRange: range(), queries: [{ refId: 'A', expr: 'shop_requests_total' }], scopes, filters: [] };
    assert.deepEqual(texts(await source().getTagKeys(options)), REQUESTS);
    // A POST has no route at the values of a label, in Prometheus either.
    const values = await source({ httpMethod: 'GET' }).getTagValues({ ...options, key: 'code' });
    assert.deepEqual(texts(values), ['200', '500']);
    assert.deepEqual(texts(await source().getTagValues({ ...options, key: 'code' })), []);
  });

  test('hints know types of metrics and recording rules', async () => {
    const shop = source();
    await Promise.all([shop.loadRules(), shop.languageProvider.start(range())]);
    const hints = (expr) => shop.getQueryHints({ refId: 'A', expr }, []).map(({ type }) => type);
    assert.deepEqual(hints('payment_refunds_total'), ['APPLY_RATE']);
    assert.deepEqual(hints('shop_temperature_celsius'), []);
    assert.deepEqual(hints('shop_request_duration_seconds_bucket'), ['HISTOGRAM_QUANTILE', 'APPLY_RATE']);
    assert.deepEqual(hints('payment_duration_seconds'), ['HISTOGRAM_QUANTILE', 'HISTOGRAM_AVG', 'HISTOGRAM_COUNT']);
    const expand = shop
      .getQueryHints({ refId: 'A', expr: 'instance:shop_requests:rate10s' }, [])
      .find(({ type }) => type === 'EXPAND_RULES');
    const { expr } = shop.modifyQuery({ refId: 'A', expr: 'instance:shop_requests:rate10s' }, expand.fix.action);
    assert.equal(expr, 'sum by (instance) (rate(shop_requests_total[10s]))');
  });
}
