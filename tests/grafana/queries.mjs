// What panels, Explore and annotations ask for: the requests of Grafana's server, and the frames that Grafana's code makes of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { answer } from './grafana.mjs';
import { SHOP } from './shop.mjs';

const STEP_MS = 1000;
const about = (value, wanted, part) =>
  assert.equal(Math.abs(value - wanted) <= Math.abs(wanted) * part, true, `${value} is not about ${wanted}`);
/** What hangs on the times of scrapes, which come late on a busy machine: the middle one is about what is wanted. */
const usually = (values, wanted, part = 0.1) => {
  assert.equal(values.length >= 5, true, `${values.length} values`);
  about([...values].sort((a, b) => a - b)[Math.floor(values.length / 2)], wanted, part);
};
const field = (frame, name) => frame.fields.find((each) => each.name === name);
const labelsOf = (frame) => frame.fields[1]?.labels;
const ascending = (values) => values.every((value, at) => at === 0 || value >= values[at - 1]);

export function queries(context) {
  const source = (settings) => context.grafana.dataSource(context.shop.url, { timeInterval: '1s', ...settings });
  // Late enough for windows of five seconds to be full.
  const range = () => ({ from: context.shop.began + 6000, to: context.shop.ready });
  const ask = (shop, targets, more = {}, when = range()) =>
    answer(shop.query(context.grafana.request(when, targets, more)));
  const frames = async (target, more, settings) => {
    const shop = source(settings);
    const response = await ask(shop, [target], more);
    assert.equal(response.error, undefined);
    return { frames: response.data, sent: shop.promlib.sent, shop };
  };
  const alone = async (...wanted) => {
    const all = (await frames(...wanted)).frames;
    assert.equal(all.length, 1, JSON.stringify(all.map(labelsOf)));
    return all[0];
  };

  for (const httpMethod of ['POST', 'GET']) {
    test(`a graph of a rate, by ${httpMethod}`, async () => {
      const { frames: found, sent } = await frames(
        { expr: 'rate(shop_requests_total[$__rate_interval])', range: true },
        {},
        { httpMethod },
      );
      assert.equal(found.length, 4);
      for (const each of found) {
        const { code, endpoint, instance, job } = labelsOf(each);
        assert.deepEqual([endpoint, job, SHOP.instances.includes(instance)], ['/api/article', 'shop', true]);
        const [times, values] = each.fields.map(({ values }) => values);
        usually(values, SHOP.rates[code]);
        assert.deepEqual(
          times.slice(1).map((time, at) => time - times[at]),
          Array(times.length - 1).fill(STEP_MS),
        );
        assert.equal(
          times.every((time) => time % STEP_MS === 0),
          true,
        );
        assert.equal(
          each.fields[1].config.displayNameFromDS,
          `{code="${code}", endpoint="/api/article", instance="${instance}", job="shop"}`,
        );
        assert.equal(each.meta.preferredVisualisationType, 'graph');
      }
      assert.deepEqual(
        found.map(labelsOf).map(({ code, instance }) => code + instance),
        [...SHOP.instances.map((each) => `200${each}`), ...SHOP.instances.map((each) => `500${each}`)],
      );
      assert.deepEqual(
        sent.map(({ method, path }) => [method, path]),
        [[httpMethod, '/api/v1/query_range']],
      );
    });
  }

  test('legends: of the series, automatic, and a template', async () => {
    const expr = 'sum by (instance, code) (rate(shop_requests_total[4s]))';
    const names = async (legendFormat) =>
      (await frames({ expr, range: true, legendFormat })).frames.map((each) => each.fields[1].config.displayNameFromDS);
    assert.equal((await names('{{instance}} answers {{code}}')).includes('shop-2 answers 500'), true);
    assert.equal((await names('')).includes('{code="500", instance="shop-2"}'), true);
    const temperatures = (await frames({ expr: 'shop_temperature_celsius', range: true, legendFormat: '__auto' }))
      .frames;
    assert.deepEqual(
      temperatures.map((each) => each.fields[1].config.displayNameFromDS),
      ['{instance="shop-1"}', '{instance="shop-2"}'],
    );
  });

  test('macros stand for steps and ranges that the server takes', async () => {
    const macros = {
      'rate(shop_requests_total{code="200",instance="shop-1"}[$__rate_interval])':
        'rate(shop_requests_total{code="200",instance="shop-1"}[4s])',
      'rate(shop_requests_total{code="200",instance="shop-1"}[${__rate_interval}])':
        'rate(shop_requests_total{code="200",instance="shop-1"}[4s])',
      'increase(shop_requests_total{code="200",instance="shop-1"}[5s:$__interval]) / 5':
        'increase(shop_requests_total{code="200",instance="shop-1"}[5s:1s]) / 5',
      'vector($__interval_ms * 0.9)': 'vector(1000 * 0.9)',
      'vector(900 + $__range_s - $__range_ms / 1000)': 'vector(900 + 6 - 6000 / 1000)',
      'vector(900 * $__rate_interval_ms / 4000)': 'vector(900 * 4000 / 4000)',
    };
    const six = { from: context.shop.ready - 6000, to: context.shop.ready };
    for (const [expr, wanted] of Object.entries(macros)) {
      const shop = source();
      const { data, error } = await ask(shop, [{ expr, range: true }], {}, six);
      assert.equal(error, undefined);
      assert.equal(shop.promlib.sent[0].form.get('query'), wanted);
      usually(data[0].fields[1].values, 900);
    }
    // As Go writes durations, with a minute that has seconds.
    const minutes = source({ timeInterval: '15s' });
    const over = await ask(
      minutes,
      [{ expr: 'count_over_time(shop_temperature_celsius{instance="shop-1"}[$__rate_interval])', instant: true }],
      { intervalMs: 15_000 },
    );
    assert.equal(minutes.promlib.sent[0].form.get('query').endsWith('[1m0s])'), true);
    assert.equal(
      over.data[0].fields[1].values.every((value) => value >= 5),
      true,
    );
    const long = source({ timeInterval: '90m' });
    await ask(long, [{ expr: 'count_over_time(up[$__rate_interval])', range: true }], { intervalMs: 5_400_000 });
    assert.deepEqual(
      long.promlib.sent.map(({ form, status }) => [form.get('query'), status]),
      [['count_over_time(up[6h0m0s])', 200]],
    );
  });

  test('the range of a panel as a window', async () => {
    const over = async (expr) =>
      (await ask(source(), [{ expr, instant: true }], {}, context.range())).data[0].fields[1].values;
    assert.deepEqual(await over('max_over_time(shop_slow{instance="shop-1"}[$__range])'), [1]);
    assert.equal((await over('count_over_time(up{instance="shop-1"}[${__range}])'))[0] >= 14, true);
  });

  test('Explore asks for a graph and a table at once', async () => {
    const { frames: found, sent } = await frames(
      { expr: 'shop_temperature_celsius', range: true, instant: true },
      { app: 'explore' },
    );
    const [graphs, tables] = [found.filter((each) => each.refId === 'A'), found.filter((each) => each.refId !== 'A')];
    assert.deepEqual(
      graphs.map((each) => [labelsOf(each).instance, each.fields[1].values[0]]),
      Object.entries(SHOP.temperatures),
    );
    const [table] = tables;
    assert.equal(tables.length, 1);
    assert.deepEqual(
      table.fields.map(({ name }) => name),
      ['Time', '__name__', 'instance', 'job', 'Value'],
    );
    assert.deepEqual(field(table, 'instance').values, SHOP.instances);
    assert.deepEqual(field(table, 'Value').values, Object.values(SHOP.temperatures));
    assert.deepEqual(sent.map(({ path }) => path).sort(), ['/api/v1/query', '/api/v1/query_range']);
  });

  test('a table of several queries', async () => {
    const { data } = await ask(source(), [
      { expr: 'sum by (job) (payment_open)', instant: true, range: false, format: 'table' },
      { expr: 'payment_open{bank="north"}', instant: true, range: false, format: 'table' },
    ]);
    assert.deepEqual(
      data.map((each) => each.fields.at(-1)).map(({ name, values }) => [name, [...values]]),
      [
        ['Value #A', [7]],
        ['Value #B', [3]],
      ],
    );
    assert.deepEqual(field(data[1], 'bank').values, ['north']);
  });

  test('scalars, strings, and numbers that JSON has not', async () => {
    const scalar = await alone({ expr: 'scalar(payment_open{bank="north"})', instant: true });
    assert.deepEqual(scalar.fields[1].values, [3]);
    const text = await alone({ expr: '"till"', instant: true });
    assert.deepEqual(text.fields[1].values, ['till']);
    const odd = (await frames({ expr: 'shop_odd{instance="shop-1"}', instant: true })).frames;
    const byKind = Object.fromEntries(odd.map((each) => [labelsOf(each).kind, each.fields[1].values[0]]));
    assert.deepEqual(byKind, { '-inf': -Infinity, inf: Infinity, nan: NaN });
    const range = (await frames({ expr: 'shop_odd{instance="shop-1",kind="inf"} * 0', range: true })).frames;
    assert.equal(range[0].fields[1].values.length >= 5 && range[0].fields[1].values.every(Number.isNaN), true);
  });

  test('quantiles of a classic histogram', async () => {
    const expr = (at) =>
      `histogram_quantile(${at}, sum by (le) (rate(shop_request_duration_seconds_bucket[$__rate_interval])))`;
    for (const [at, wanted] of [
      [0.5, SHOP.p50],
      [0.95, SHOP.p95],
    ]) {
      const found = await alone({ expr: expr(at), range: true });
      for (const value of found.fields[1].values) about(value, wanted, 0.001);
    }
  });

  test('a heatmap of a classic histogram', async () => {
    const expr = 'sum by (le) (increase(shop_request_duration_seconds_bucket{instance="shop-1"}[$__rate_interval]))';
    const heatmap = await alone({ expr, range: true, format: 'heatmap', legendFormat: '{{le}}' });
    assert.equal(heatmap.meta.type, 'heatmap-rows');
    const rows = Object.fromEntries(heatmap.fields.slice(1).map(({ name, values }) => [name, values]));
    // In Grafana they are no longer cumulative: 4 seconds of a thousand requests each. Bounds of OpenMetrics have a point.
    for (const [le, share] of [
      ['0.1', 5],
      ['0.5', 4],
      ['1.0', 1],
    ])
      usually(rows[le], share * 400);
    assert.equal(
      rows['+Inf'].every((value) => Math.abs(value) < 1),
      true,
    );
    assert.deepEqual(
      heatmap.fields.slice(1).map(({ name }) => name),
      ['0.1', '0.5', '1.0', '+Inf'],
    );
  });

  test('a native histogram: cells of a heatmap, and functions of it', async () => {
    const cells = await alone({
      expr: 'rate(payment_duration_seconds[$__rate_interval])',
      range: true,
      format: 'heatmap',
    });
    assert.equal(cells.meta.type, 'heatmap-cells');
    assert.deepEqual(
      cells.fields.map(({ name }) => name),
      ['xMax', 'yMin', 'yMax', 'count', 'yLayout'],
    );
    const rows = cells.fields[0].values.map((_, at) => cells.fields.map(({ values }) => values[at]));
    assert.equal(rows.length >= 15, true);
    for (const [bucket, low] of [0.5, 1, 2].entries()) {
      const cells = rows.filter((row) => row[1] === low);
      assert.equal(
        cells.every(([, , high, , layout]) => high === 2 * low && layout === 0),
        true,
      );
      usually(
        cells.map(([, , , count]) => count),
        SHOP.payments[bucket],
      );
    }
    const { __name__, ...labels } = cells.fields[1].labels;
    assert.deepEqual(labels, { instance: 'payments-1', job: 'payments' });
    const instant = await alone({ expr: 'payment_duration_seconds', instant: true });
    assert.deepEqual([instant.meta.type, instant.length], ['heatmap-cells', 3]);
    const mean = await alone({ expr: 'histogram_avg(rate(payment_duration_seconds[4s]))', range: true });
    for (const value of mean.fields[1].values) about(value, 1.5, 0.001);
    // The middle of all is the middle of the bucket (1, 2], which grows exponentially.
    const median = await alone({ expr: 'histogram_quantile(0.5, rate(payment_duration_seconds[4s]))', range: true });
    usually(median.fields[1].values, Math.SQRT2, 0.03);
  });

  test('exemplars stand beside a graph, with links to their traces', async () => {
    const expr = 'histogram_quantile(0.95, sum by (le) (rate(shop_request_duration_seconds_bucket[$__rate_interval])))';
    const settings = {
      exemplarTraceIdDestinations: [
        { name: 'trace_id', url: 'https://traces.example/${__value.raw}', urlDisplayLabel: 'Trace' },
      ],
    };
    const { frames: found, sent, shop } = await frames({ expr, range: true, exemplar: true }, {}, settings);
    const [graph, exemplars] = [found[0], found.find((each) => each.meta.dataTopic === 'annotations')];
    assert.equal(graph.fields[1].values.length >= 5, true);
    assert.deepEqual(sent.map(({ path }) => path).sort(), ['/api/v1/query_exemplars', '/api/v1/query_range']);
    const names = exemplars.fields.map(({ name }) => name);
    assert.deepEqual(names, ['Time', 'Value', '__name__', 'endpoint', 'instance', 'job', 'le', 'trace_id', 'user']);
    const times = exemplars.fields[0].values;
    const [from, to] = [range().from - 2000, range().to + 1000];
    assert.equal(times.length >= 3 && ascending(times) && times.every((time) => time >= from && time <= to), true);
    for (const [at, value] of exemplars.fields[1].values.entries()) {
      const slow = value === 0.83;
      assert.equal(slow || value === 0.05, true);
      assert.equal(
        field(exemplars, 'trace_id').values[at],
        slow ? '4bf92f3577b34da6a3ce929d0e0e4736' : '00f067aa0ba902b7a3ce929d0e0e4737',
      );
      assert.deepEqual(
        [field(exemplars, 'le').values[at], field(exemplars, 'user').values[at]],
        [slow ? '1.0' : '0.1', 'ann'],
      );
    }
    assert.equal(field(exemplars, 'trace_id').config.links[0].url, 'https://traces.example/${__value.raw}');
    // A second query of the same metric does not ask for them again.
    await shop.languageProvider.start(context.grafana.timeRange(range()));
    shop.promlib.sent.length = 0;
    const target = { expr: 'shop_request_duration_seconds_bucket', range: true, exemplar: true };
    await ask(shop, [target, target]);
    assert.equal(shop.promlib.sent.filter(({ path }) => path.endsWith('exemplars')).length, 1);
  });

  test('ad-hoc filters and variables become matchers', async () => {
    const shop = source();
    context.grafana.templates.variables = { code: '500', shops: ['shop-1', 'shop-2'], one: 'shop-2' };
    const sentBy = async (expr, filters) => {
      shop.promlib.sent.length = 0;
      const { data, error } = await ask(shop, [{ expr, instant: true }], { filters });
      assert.equal(error, undefined);
      return {
        sent: shop.promlib.sent[0].form.get('query'),
        found: data
          .map(labelsOf)
          .map(({ code, instance }) => `${code} ${instance}`)
          .sort(),
      };
    };
    const filter = (key, operator, value, values) => ({ key, operator, value, values });
    assert.deepEqual(
      await sentBy('shop_requests_total', [filter('instance', '=', 'shop-1'), filter('code', '!=', '200')]),
      {
        sent: 'shop_requests_total{instance="shop-1", code!="200"}',
        found: ['500 shop-1'],
      },
    );
    assert.deepEqual(
      (await sentBy('shop_requests_total{code=~"$code"}', [filter('instance', '=|', 'shop-2', ['shop-2', 'shop-3'])]))
        .found,
      ['500 shop-2'],
    );
    assert.deepEqual(await sentBy('shop_requests_total{instance=~"$shops",code="$code"}'), {
      sent: 'shop_requests_total{instance=~"(shop-1|shop-2)",code="500"}',
      found: ['500 shop-1', '500 shop-2'],
    });
    assert.deepEqual((await sentBy('rate(shop_requests_total{code="$code",instance="$one"}[4s])', [])).found, [
      '500 shop-2',
    ]);
    assert.equal((await sentBy('shop_requests_total', [filter('endpoint', '=~', '/api/.*')])).found.length, 4);
    const room = await ask(shop, [{ expr: '{"shop.room.size"}', instant: true }], {
      filters: [filter('service.name', '=', 'till, the first')],
    });
    assert.deepEqual(
      room.data.map((each) => [labelsOf(each).instance, each.fields[1].values[0]]),
      [
        ['shop-1', 40],
        ['shop-2', 40],
      ],
    );
  });

  test('a panel in another time zone and with a minimal step has its points on whole steps', async () => {
    const target = { expr: 'shop_temperature_celsius{instance="shop-1"}', range: true, interval: '2s' };
    const { frames: found, sent } = await frames(target, { timezone: 'Asia/Kolkata' });
    assert.equal(sent[0].form.get('step'), '2');
    assert.equal(
      found[0].fields[0].values.every((time) => time % 2000 === 0),
      true,
    );
    const dense = await ask(source(), [{ ...target, interval: '500ms' }], { intervalMs: 500 });
    assert.equal(
      dense.data[0].fields[0].values.some((time) => time % 1000 === 500),
      true,
    );
  });

  test('settings of a data source: a timeout, parameters of its own, statistics', async () => {
    const settings = {
      queryTimeout: '20s',
      customQueryParameters: 'max_source_resolution=5m&lookback_delta=1m',
      queryStatsEnabled: true,
    };
    const { frames: found, sent } = await frames(
      { expr: 'shop_temperature_celsius', range: true, instant: true },
      {},
      settings,
    );
    assert.deepEqual(
      [...new Set(sent.map(({ search }) => search.toString()))],
      ['max_source_resolution=5m&lookback_delta=1m&stats=all'],
    );
    assert.deepEqual(
      sent.map(({ form, status }) => [form.get('timeout'), status]),
      [
        ['20s', 200],
        ['20s', 200],
      ],
    );
    assert.equal(found[0].meta.custom.stats.samples.totalQueryableSamples > 0, true);
    assert.equal(found[0].meta.custom.stats.timings.evalTotalTime > 0, true);
  });

  test('what is asked again is only what is new', async () => {
    const targets = [{ expr: 'rate(shop_requests_total[$__rate_interval])', range: true }];
    const live = (shop, to) => {
      const request = context.grafana.request({ from: to - 8000, to }, targets);
      const raw = { from: 'now-8s', to: 'now' };
      return answer(shop.query({ ...request, range: { ...request.range, raw }, rangeRaw: raw }));
    };
    const shop = source({ incrementalQuerying: true, incrementalQueryOverlapWindow: '2s' });
    const { ready } = context.shop;
    await live(shop, ready - 2000);
    const { data } = await live(shop, ready);
    assert.deepEqual(
      shop.promlib.sent.map(({ form }) => form.get('end') - form.get('start')),
      [8, 4],
    );
    const points = (found) => found.map((each) => [labelsOf(each), each.fields[0].values, each.fields[1].values]);
    assert.deepEqual(points(data), points((await live(source(), ready)).data));
  });

  test('annotations: the time that an alert was firing, with its labels', async () => {
    const shop = source();
    const annotation = shop.annotations.prepareAnnotation({
      name: 'slow',
      expr: 'ALERTS{alertname="ShopIsSlow",alertstate="firing"}',
      step: '1s',
      titleFormat: '{{alertname}}',
      textFormat: '{{instance}} is slow',
      tagKeys: 'severity,instance',
    });
    const { data } = await ask(shop, [{ ...annotation.target, range: true }], {}, context.range());
    const events = await answer(shop.annotations.processEvents(annotation, data));
    assert.equal(events.length, 1);
    const [{ time, timeEnd, title, text, tags }] = events;
    assert.deepEqual({ title, text, tags }, { title: 'ShopIsSlow', text: 'shop-1 is slow', tags: ['shop-1', 'page'] });
    const [from, to] = SHOP.slow.map((second) => context.shop.began + second * 1000);
    // A scrape, an evaluation and a step later, each of a second; the end is marked at once.
    assert.equal(time >= from && time <= from + 3500, true, `${time - from} ms late`);
    assert.equal(timeEnd > time && timeEnd <= to + 3500, true, `ends ${timeEnd - to} ms late`);
  });

  test('errors and remarks are shown beside the panel', async () => {
    const error = async (expr) => (await ask(source(), [{ expr, range: true }])).error?.message;
    assert.match(
      await error('sum('),
      /^bad_data: invalid parameter "query": 1:5: parse error: unclosed left parenthesis$/,
    );
    assert.match(await error('nothing_of(up)'), /^bad_data: .*unknown function with name "nothing_of"/);
    assert.match(
      await error('up * on (job) payment_open'),
      /^execution: .*many-to-many|^execution: found duplicate series/,
    );
    const notices = async (expr) => (await ask(source(), [{ expr, range: true }])).data[0].meta.notices ?? [];
    const [info] = await notices('rate(shop_temperature_celsius[5s])');
    assert.equal(info.severity, 'info');
    assert.match(info.text, /metric might not be a counter.*"shop_temperature_celsius"/);
    const [warning] = await notices('histogram_quantile(2, sum by (le) (shop_request_duration_seconds_bucket))');
    assert.equal(warning.severity, 'warning');
    assert.match(warning.text, /quantile value should be between 0 and 1, got 2/);
    assert.deepEqual(await notices('shop_temperature_celsius'), []);
  });

  test('a panel without data has a frame without fields', async () => {
    const found = await alone({ expr: 'nothing_is_called_so', range: true });
    assert.deepEqual(found.fields, []);
    assert.match(found.meta.executedQueryString, /^Expr: nothing_is_called_so\nStep: 1s$/);
  });
}
