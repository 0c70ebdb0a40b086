// What Grafana's server asks for by itself: whether a data source is well, alert rules of its own, rules and alerts of the
// data source, and the results of its recording rules that it writes there. The shapes are those of Grafana's Go code.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { remoteWrite } from './exposition.mjs';
import { SHOP } from './shop.mjs';

const RULES = ['instance:shop_requests:rate10s', 'ShopIsSlow', 'ShopIsHot', 'ShopStaysHot'];

export function server(context) {
  const promlib = (settings) =>
    context.grafana.dataSource(context.shop.url, { timeInterval: '1s', ...settings }).promlib;

  /** By a GET, as Grafana's proxy for rules sends it: a status and a body. */
  async function get(path, parameters = {}) {
    const search = new URLSearchParams(
      Object.entries(parameters).flatMap(([name, value]) => [value].flat().map((each) => [name, each])),
    );
    const response = await fetch(`${context.shop.url}${path}?${search}`, {
      headers: { 'user-agent': 'Grafana/13.2.3' },
    });
    return { status: response.status, body: await response.json() };
  }
  const rules = async (parameters) => {
    const { status, body } = await get('/api/v1/rules', parameters);
    assert.deepEqual([status, body.status], [200, 'success']);
    return body.data;
  };
  const names = ({ groups }) => groups.flatMap((group) => group.rules.map(({ name }) => name));

  test('a health check is a query that needs no data, and one for the version', async () => {
    for (const httpMethod of ['POST', 'GET']) {
      const grafana = promlib({ httpMethod });
      assert.equal((await grafana.health()).status, 'OK');
      assert.deepEqual(
        grafana.sent.map(({ method, path }) => [method, path]),
        [
          [httpMethod, '/api/v1/query'],
          ['GET', '/api/v1/status/buildinfo'],
        ],
      );
    }
    const answer = await promlib().request('/api/v1/query', { query: '1+1', time: '4' });
    assert.deepEqual(await answer.json(), { status: 'success', data: { resultType: 'scalar', result: [4, '2'] } });
  });

  test('the version is one that Grafana can compare, and is of no other kind of server', async () => {
    const { status, body } = await get('/api/v1/status/buildinfo');
    assert.equal(status, 200);
    // Names of labels with a selector take 2.24.
    const [major] = /^(\d+)\.\d+\.\d+/.exec(body.data.version).slice(1);
    assert.equal(Number(major) >= 3, true, body.data.version);
    // Mimir has these, and is asked for other things.
    assert.equal(body.data.features, undefined);
    assert.notEqual(body.data.application, 'Grafana Mimir');
  });

  test('alert rules of Grafana: an instant query, and a range that is reduced', async () => {
    const now = context.shop.ready;
    const model = {
      refId: 'A',
      expr: 'shop_temperature_celsius > bool 22',
      instant: true,
      range: false,
      exemplar: true,
      legendFormat: '__auto',
    };
    const rule = { ...model, editorMode: 'code', intervalMs: 1000, maxDataPoints: 43_200 };
    const grafana = promlib({ timeInterval: undefined, queryTimeout: '60s' });
    const instant = await grafana.query({ queries: [rule], from: String(now - 600_000), to: String(now) }, true);
    const found = instant.results.A.frames.map(({ schema, data }) => [
      schema.fields[1].labels.instance,
      ...data.values[1],
    ]);
    assert.deepEqual(found.sort(), [
      ['shop-1', 0],
      ['shop-2', 1],
    ]);
    const range = {
      ...rule,
      expr: 'rate(shop_requests_total{code="500"}[10s])',
      instant: false,
      range: true,
      interval: '5s',
    };
    const reduced = await grafana.query({ queries: [range], from: String(now - 600_000), to: String(now) }, true);
    for (const { data } of reduced.results.A.frames)
      assert.equal(Math.abs(data.values[1].at(-1) - SHOP.rates[500]) < 30, true);
    assert.equal(reduced.results.A.frames.length, 2);
    // No exemplars for an alert, and its timeout is passed on.
    assert.deepEqual(
      grafana.sent.map(({ path, form }) => [path, form.get('timeout'), form.get('step')]),
      [
        ['/api/v1/query', '60s', null],
        ['/api/v1/query_range', '60s', '5'],
      ],
    );
    const none = await grafana.query(
      { queries: [{ ...rule, expr: 'shop_temperature_celsius > 100' }], from: String(now - 600_000), to: String(now) },
      true,
    );
    assert.deepEqual([none.results.A.error, none.results.A.frames[0].schema.fields], [undefined, []]);
    const wrong = await grafana.query(
      { queries: [{ ...rule, expr: 'sum(' }], from: String(now - 600_000), to: String(now) },
      true,
    );
    assert.deepEqual([wrong.results.A.status, wrong.results.A.error.startsWith('bad_data: ')], [400, true]);
  });

  test('rules of the data source, with all that a list of them shows', async () => {
    const { groups } = await rules();
    assert.deepEqual(groups.map(({ name, file, interval }) => [name, file.endsWith('rules.yml'), interval]).sort(), [
      ['payments', true, 1],
      ['shop', true, 1],
    ]);
    const shop = groups.find(({ name }) => name === 'shop');
    assert.deepEqual(
      shop.rules.map(({ name }) => name),
      RULES,
    );
    for (const each of [shop, ...shop.rules]) {
      // Go takes no other form of a time.
      assert.match(each.lastEvaluation, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/);
      assert.equal(Math.abs(Date.now() - Date.parse(each.lastEvaluation)) < 10_000, true);
      assert.equal(each.evaluationTime > 0 && each.evaluationTime < 1, true);
    }
    const [recording, slow, hot, stays] = shop.rules;
    assert.deepEqual(
      shop.rules.map(({ type, health }) => [type, health]),
      [
        ['recording', 'ok'],
        ['alerting', 'ok'],
        ['alerting', 'ok'],
        ['alerting', 'ok'],
      ],
    );
    assert.deepEqual(
      [recording.query, recording.labels],
      ['sum by (instance) (rate(shop_requests_total[10s]))', { team: 'shop' }],
    );
    assert.deepEqual(
      [slow.state, slow.alerts, slow.annotations],
      ['inactive', [], { summary: '{{ $labels.instance }} is slow' }],
    );
    assert.deepEqual([hot.state, hot.duration, hot.labels], ['firing', 0, { severity: 'ticket' }]);
    const [alert] = hot.alerts;
    assert.deepEqual(alert.labels, { alertname: 'ShopIsHot', instance: 'shop-2', job: 'shop', severity: 'ticket' });
    assert.deepEqual(
      [alert.annotations, alert.state, Number(alert.value)],
      [{ summary: 'shop-2 has 22.5 degrees' }, 'firing', 22.5],
    );
    assert.equal(typeof alert.value, 'string');
    assert.equal(
      Date.parse(alert.activeAt) > context.shop.began - 2000 && Date.parse(alert.activeAt) < context.shop.ready,
      true,
    );
    assert.deepEqual([stays.state, stays.duration, stays.alerts.length], ['pending', 3600, 1]);
  });

  test('rules of a group, of a name, without alerts, and page by page', async () => {
    const { groups } = await rules();
    const { file } = groups[0];
    // Each under the names of Mimir and of Prometheus, which takes no notice of the others.
    const group = { file, 'file[]': file, rule_group: 'shop', 'rule_group[]': 'shop' };
    assert.deepEqual(names(await rules(group)), RULES);
    assert.deepEqual(names(await rules({ ...group, rule_name: 'ShopIsHot', 'rule_name[]': 'ShopIsHot' })), [
      'ShopIsHot',
    ]);
    assert.deepEqual(names(await rules({ 'file[]': 'another.yml' })), []);
    const hot = (await rules({ 'rule_name[]': 'ShopIsHot', exclude_alerts: 'true' })).groups[0].rules[0];
    assert.deepEqual([hot.state, hot.alerts ?? []], ['firing', []]);
    const first = await rules({ group_limit: '1' });
    assert.equal(typeof first.groupNextToken, 'string');
    const second = await rules({ group_limit: '1', group_next_token: first.groupNextToken });
    assert.deepEqual([second.groupNextToken, ...[first, second].map((page) => page.groups.length)], [undefined, 1, 1]);
    assert.deepEqual([...first.groups, ...second.groups].map(({ name }) => name).sort(), ['payments', 'shop']);
  });

  test('alerts of the data source', async () => {
    const { status, body } = await get('/api/v1/alerts');
    assert.equal(status, 200);
    assert.deepEqual(body.data.alerts.map(({ labels, state }) => [labels.alertname, labels.instance, state]).sort(), [
      ['ShopIsHot', 'shop-2', 'firing'],
      ['ShopStaysHot', 'shop-2', 'pending'],
    ]);
  });

  test("results of Grafana's recording rules are written by remote write", async () => {
    const write = async (value, timestamp) => {
      const headers = {
        'content-type': 'application/x-protobuf',
        'content-encoding': 'snappy',
        'user-agent': 'grafana-recording-rule',
        'x-prometheus-remote-write-version': '0.1.0',
      };
      const body = remoteWrite([{ labels: { __name__: 'grafana_recorded', rule: 'of Grafana' }, value, timestamp }]);
      const response = await fetch(`${context.shop.url}/api/v1/write`, { method: 'POST', headers, body });
      return { ok: response.ok, status: response.status, text: await response.text() };
    };
    const timestamp = Date.now();
    assert.equal((await write(42, timestamp)).ok, true);
    await context.until('the sample', async () => (await context.shop.value('grafana_recorded')) === 42);
    // Another Grafana of a pair writes the same, or nearly; the latter is told by this text, which Grafana looks for.
    assert.equal((await write(42, timestamp)).ok, true);
    const twice = await write(43, timestamp);
    assert.equal(twice.status, 400);
    assert.match(twice.text, /duplicate sample for timestamp/);
    assert.equal(await context.shop.value('grafana_recorded'), 42);
  });

  test('a POST where there is none is refused by status, so that Grafana tries a GET', async () => {
    const { status } = await promlib().resource('POST', 'api/v1/label/job/values', [], 'start=1');
    assert.equal(status, 405);
    const missing = await promlib().resource('GET', 'api/v1/no_such_thing', []);
    assert.equal(missing.status, 404);
  });
}
