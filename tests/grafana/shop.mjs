// A shop of two servers and a payment service, scraped by the promlake under test. Numbers grow with the clock, so that what is
// right is known: `SHOP` says it.
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { families } from './exposition.mjs';

const DEADLINE_MS = 60_000;

/** Of each of the two shop servers, unless it says otherwise. */
export const SHOP = {
  instances: ['shop-1', 'shop-2'],
  // Requests a second by code.
  rates: { 200: 900, 500: 100 },
  // Of 10 requests, how many take at most so many seconds.
  buckets: { 0.1: 5, 0.5: 9, 1: 10, '+Inf': 10 },
  sumOfTen: 2.25,
  p50: 0.1,
  p95: 0.75,
  temperatures: { 'shop-1': 21.5, 'shop-2': 22.5 },
  // Payments a second, in the buckets (0.5, 1], (1, 2] and (2, 4] of the native histogram of schema 0.
  payments: [10, 20, 10],
  // From the start, shop-1 is slow between these seconds.
  slow: [3, 7],
};

const TRACES = { '/api/article': '4bf92f3577b34da6a3ce929d0e0e4736', '/api/cart': '00f067aa0ba902b7a3ce929d0e0e4737' };

const RULES = `
groups:
- name: shop
  interval: 1s
  rules:
  - {record: 'instance:shop_requests:rate10s', expr: 'sum by (instance) (rate(shop_requests_total[10s]))', labels: {team: shop}}
  - alert: ShopIsSlow
    expr: shop_slow == 1
    labels: {severity: page}
    annotations: {summary: '{{ $labels.instance }} is slow'}
  - alert: ShopIsHot
    expr: shop_temperature_celsius > 22
    labels: {severity: ticket}
    annotations: {summary: '{{ $labels.instance }} has {{ $value }} degrees'}
  - {alert: ShopStaysHot, expr: 'shop_temperature_celsius > 22', for: 1h}
- name: payments
  interval: 1s
  rules:
  - {record: 'job:payments:rate10s', expr: 'histogram_count(sum by (job) (rate(payment_duration_seconds[10s])))'}
`;

// Prometheus 3.5 has a flag for native histograms and no setting.
const config = (shops, payments, isPrometheus) => `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yml]
scrape_configs:
- job_name: shop
  static_configs:
  - {targets: ['${shops[0]}'], labels: {instance: shop-1}}
  - {targets: ['${shops[1]}'], labels: {instance: shop-2}}
- job_name: payments${isPrometheus ? '' : '\n  scrape_native_histograms: true'}
  scrape_protocols: [PrometheusProto]
  static_configs: [{targets: ['${payments}'], labels: {instance: payments-1}}]
`;

function shopPage(instance, began) {
  // Hundredths of a second, so that ten requests of each make a thousand a second.
  const ticks = Math.floor((Date.now() - began) / 10) + 100_000;
  const slow = (Date.now() - began) / 1000;
  const isSlow = instance === 'shop-1' && slow >= SHOP.slow[0] && slow < SHOP.slow[1];
  const now = (Date.now() / 1000).toFixed(3);
  const exemplar = (endpoint, value) => ` # {trace_id="${TRACES[endpoint]}",user="ann"} ${value} ${now}`;
  const codes = Object.entries(SHOP.rates).map(
    ([code, rate]) => `shop_requests_total{endpoint="/api/article",code="${code}"} ${(ticks * rate) / 100}`,
  );
  const buckets = Object.entries(SHOP.buckets).map(([le, count]) => {
    const bucket = `shop_request_duration_seconds_bucket{endpoint="/api/article",le="${le}"} ${ticks * count}`;
    return le === '1'
      ? bucket + exemplar('/api/article', 0.83)
      : le === '0.1'
        ? bucket + exemplar('/api/cart', 0.05)
        : bucket;
  });
  return `# HELP shop_requests Requests that were answered.
# TYPE shop_requests counter
${codes.join('\n')}
# HELP shop_request_duration_seconds How long requests took.
# TYPE shop_request_duration_seconds histogram
# UNIT shop_request_duration_seconds seconds
${buckets.join('\n')}
shop_request_duration_seconds_count{endpoint="/api/article"} ${ticks * 10}
shop_request_duration_seconds_sum{endpoint="/api/article"} ${ticks * SHOP.sumOfTen}
# HELP shop_temperature_celsius Of the room.
# TYPE shop_temperature_celsius gauge
# UNIT shop_temperature_celsius celsius
shop_temperature_celsius ${SHOP.temperatures[instance]}
# TYPE shop_slow gauge
shop_slow ${Number(isSlow)}
# TYPE shop_odd gauge
shop_odd{kind="nan"} NaN
shop_odd{kind="inf"} +Inf
shop_odd{kind="-inf"} -Inf
# HELP shop Which version runs.
# TYPE shop info
shop_info{version="1.2.3"} 1
# HELP "shop.room.size" A name in UTF-8.
# TYPE "shop.room.size" gauge
{"shop.room.size","service.name"="till, the first"} 40
# EOF
`;
}

function paymentsPage(began) {
  const ticks = Math.floor((Date.now() - began) / 10) + 100_000;
  const counts = SHOP.payments.map((rate) => Math.floor((ticks * rate) / 100));
  const count = counts.reduce((sum, each) => sum + each, 0);
  return families([
    {
      name: 'payment_duration_seconds',
      help: 'How long payments took.',
      type: 'histogram',
      // Bucket 0 of schema 0 is (0.5, 1].
      histogram: { count, sum: count * 1.5, schema: 0, zeroThreshold: 1e-128, zeroCount: 0, offset: 0, counts },
    },
    {
      name: 'payment_queue_seconds',
      help: 'How long payments waited.',
      type: 'summary',
      summary: { count: ticks, sum: ticks * 0.2, quantiles: { 0.5: 0.1, 0.99: 0.4 } },
    },
    { name: 'payment_refunds_total', help: 'Payments that went back.', type: 'counter', value: ticks },
    { name: 'payment_open', help: 'Payments under way.', type: 'gauge', labels: { bank: 'north' }, value: 3 },
    { name: 'payment_open', help: 'Payments under way.', type: 'gauge', labels: { bank: 'south' }, value: 4 },
  ]);
}

function listen(type, page) {
  const server = createServer((_, response) => {
    response.setHeader('content-type', type);
    response.end(page());
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve({ server, address: `127.0.0.1:${server.address().port}` }));
  });
}

/** Runs until `stop`; `url` is promlake's. */
export class Shop {
  /** Of `PROMLAKE`, or of `PROMETHEUS` where that is given, which is another peer to compare with. */
  static async open(programs) {
    const shop = new Shop();
    try {
      await shop.start(programs);
    } catch (error) {
      await shop.stop();
      throw error;
    }
    return shop;
  }

  async start({ PROMLAKE, PROMETHEUS }) {
    this.servers = [];
    if (!PROMLAKE && !PROMETHEUS) throw new Error('PROMLAKE names no program to test');
    this.folder = await mkdtemp(join(tmpdir(), 'promlake-grafana-'));
    const openMetrics = 'application/openmetrics-text; version=1.0.0; escaping=allow-utf-8; charset=utf-8';
    const protobuf = 'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited';
    // Set when the first page is asked for, so that the time a start takes does not count.
    const began = () => (this.began ??= Date.now());
    for (const instance of SHOP.instances)
      this.servers.push(await listen(openMetrics, () => shopPage(instance, began())));
    this.servers.push(await listen(protobuf, () => paymentsPage(began())));
    const addresses = this.servers.map(({ address }) => address);
    await writeFile(
      join(this.folder, 'prometheus.yml'),
      config(addresses.slice(0, 2), addresses[2], Boolean(PROMETHEUS)),
    );
    await writeFile(join(this.folder, 'rules.yml'), RULES);
    const flags = [
      '--config.file=prometheus.yml',
      '--web.listen-address=127.0.0.1:0',
      '--web.enable-remote-write-receiver',
    ];
    if (PROMETHEUS) flags.push('--storage.tsdb.path=data', '--enable-feature=exemplar-storage,native-histograms');
    else flags.push('--storage.url=./data', '--pg.listen-address=127.0.0.1:0', '--enable-feature=search-api');
    this.process = spawn(PROMETHEUS ?? PROMLAKE, flags, { cwd: this.folder, stdio: ['ignore', 'ignore', 'pipe'] });
    this.log = '';
    this.process.stderr.on('data', (text) => (this.log += text));
    const listens = PROMETHEUS ? /"Listening on" component=web address=(\S+)/ : /HTTP API on http:\/\/([^" ]+)/;
    this.url = `http://${await this.until('it listens', () => listens.exec(this.log)?.[1])}`;
    // The slow time is over and its alert resolved, and rules have a few results.
    await this.until('samples of 16 seconds', async () => {
      const history = await this.value('count_over_time(shop_temperature_celsius{instance="shop-2"}[1m])');
      const recorded = await this.value('min(count_over_time({__name__=~".+:rate10s"}[1m]))');
      const firing = await this.value('count(ALERTS{alertname="ShopIsSlow"})');
      return (
        history >= 16 && recorded >= 5 && firing === undefined && Date.now() - this.began > (SHOP.slow[1] + 3) * 1000
      );
    });
    this.ready = Math.floor(Date.now() / 1000) * 1000;
  }

  async value(expression) {
    const response = await fetch(`${this.url}/api/v1/query?query=${encodeURIComponent(expression)}`);
    const { data } = await response.json();
    return data?.result[0] && Number(data.result[0].value[1]);
  }

  async until(what, condition) {
    for (const end = Date.now() + DEADLINE_MS; Date.now() < end; await sleep(100)) {
      if (this.process.exitCode !== null)
        throw new Error(`the server ended with ${this.process.exitCode}:\n${this.log}`);
      const value = await condition();
      if (value) return value;
    }
    throw new Error(`not within ${DEADLINE_MS / 1000} s: ${what}\n${this.log}`);
  }

  async stop() {
    if (this.process && this.process.exitCode === null) {
      const ended = new Promise((resolve) => this.process.once('exit', resolve));
      this.process.kill('SIGTERM');
      const stuck = setTimeout(() => this.process.kill('SIGKILL'), 20_000);
      await ended;
      clearTimeout(stuck);
    }
    for (const { server } of this.servers) {
      server.closeAllConnections();
      server.close();
    }
    if (this.folder) await rm(this.folder, { recursive: true, force: true });
  }
}
