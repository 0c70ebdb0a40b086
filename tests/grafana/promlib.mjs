// What Grafana's server does for a Prometheus data source: it hands resource calls on, and makes Prometheus' requests and data
// frames of a panel's queries. In Grafana that is Go (`pkg/promlib` of grafana/grafana-prometheus-datasource), so it is written
// anew here, as far as the tests go: scopes inside a query, which take a parser of PromQL, are left out.

const DEFAULT_SCRAPE_MS = 15_000;
const DEFAULT_RESOLUTION = 1500;
const SAFE_RESOLUTION = 11_000;

export class Promlib {
  /** `url` is that of the server under test; `settings` are the data source's `jsonData`; `grafana` is Grafana's own code. */
  constructor(url, settings, grafana) {
    this.url = url;
    this.settings = settings;
    this.grafana = grafana;
    this.method = (settings.httpMethod || 'POST').toUpperCase();
    // Every request that was sent, for the tests to look at.
    this.sent = [];
  }

  /** `[method, path]` with form or query parameters: what Go's client puts on the wire. */
  async send(method, path, search, body) {
    const extra = new URLSearchParams(this.settings.customQueryParameters ?? '');
    if (this.settings.queryStatsEnabled && /\/api\/v1\/query(_range)?$/.test(path)) extra.set('stats', 'all');
    const query = new URLSearchParams([...search, ...extra]).toString();
    const headers = { 'user-agent': 'Grafana/13.2.3', 'accept-encoding': 'gzip' };
    if (method === 'POST') headers['content-type'] = 'application/x-www-form-urlencoded';
    const response = await fetch(`${this.url}${path}${query && `?${query}`}`, { method, headers, body });
    this.sent.push({
      method,
      path,
      search: new URLSearchParams(query),
      form: new URLSearchParams(body),
      status: response.status,
    });
    return response;
  }

  /** Parameters go into a form or into the URL, sorted by name, as the data source is set. */
  request(path, parameters) {
    const sorted = new URLSearchParams(Object.entries(parameters));
    sorted.sort();
    return this.method === 'POST' ? this.send('POST', path, [], sorted.toString()) : this.send('GET', path, sorted);
  }

  /** A resource call: the path and the parameters are the caller's, the method is the data source's unless the call is a GET. */
  async resource(method, path, search, body) {
    if (path.replace(/^\//, '').toLowerCase() === 'suggestions') return this.suggestions(JSON.parse(body));
    const api = `/${path.replace(/^\/+/, '')}`;
    if (method === 'GET' || this.method === 'GET') {
      return this.send('GET', api, [...search, ...new URLSearchParams(body)]);
    }
    return this.send('POST', api, search, body);
  }

  /** Names or values of labels for the metrics of some queries, within scopes and ad-hoc filters. */
  suggestions({ labelName, queries, scopes, adhocFilters, start, end, limit }) {
    const matchers = new Map();
    for (const { key, operator, value, values } of [...(scopes ?? []), ...(adhocFilters ?? [])]) {
      const operators = {
        equals: '=',
        'not-equals': '!=',
        'regex-match': '=~',
        'regex-not-match': '!~',
        'one-of': '=~',
        'not-one-of': '!~',
      };
      const text = operator.endsWith('one-of') && values?.length ? values.join('|') : value;
      matchers.set(key, `${key}${operators[operator]}${JSON.stringify(text)}`);
    }
    const names = (queries ?? [])
      .map((query) => this.grafana.buildVisualQueryFromString(query).query.metric)
      .filter(Boolean);
    const braces = matchers.size ? `{${[...matchers.values()].join(',')}}` : '';
    const selectors = [...new Set(names)].sort().map((name) => name + braces);
    if (!selectors.length && braces) selectors.push(braces);
    const search = selectors.map((selector) => ['match[]', selector]);
    if (start) search.push(['start', start]);
    if (end) search.push(['end', end]);
    if (limit > 0) search.push(['limit', String(limit)]);
    // The call has no method of its own, so it is the data source's, with nothing in the body.
    return this.send(
      this.method,
      labelName ? `/api/v1/label/${labelName}/values` : '/api/v1/labels',
      search,
      this.method === 'POST' ? '' : undefined,
    );
  }

  /** What the button "Save & test" asks for: a query that needs no data, and what the server is. */
  async health() {
    const query = { refId: '__healthcheck__', expr: '1+1', instant: true };
    const answer = await this.query({ queries: [query], from: '1000', to: '4000' });
    const { error, status } = answer.results.__healthcheck__;
    if (error)
      return {
        status: 'ERROR',
        message: `${error} - There was an error returned querying the Prometheus API.`,
        code: status,
      };
    const build = await this.resource('GET', 'api/v1/status/buildinfo', []);
    const { data } = await build.json();
    const mimir = Object.keys(data.features ?? {}).length > 0;
    const details = { application: mimir ? 'Mimir' : 'Prometheus', features: { rulerApiEnabled: mimir } };
    return { status: 'OK', message: 'Successfully queried the Prometheus API.', details };
  }

  /** `/api/ds/query`. */
  async query({ queries, from, to }, fromAlert = false) {
    const range = { from: Number(from), to: Number(to) };
    const answers = await Promise.all(queries.map((query) => this.answer(query, range, fromAlert)));
    return { results: Object.fromEntries(queries.map(({ refId }, at) => [refId, answers[at]])) };
  }

  async answer(model, range, fromAlert) {
    // An alert has no use for exemplars.
    const query = this.parse({ ...model, exemplar: model.exemplar && !fromAlert }, range);
    const parts = [];
    if (query.instant)
      parts.push(this.part(query, '/api/v1/query', { query: query.expr, time: seconds(range.to), ...query.timeout }));
    if (query.range) {
      const parameters = {
        query: query.expr,
        start: seconds(query.start),
        end: seconds(query.end),
        step: seconds(query.step),
      };
      parts.push(this.part(query, '/api/v1/query_range', { ...parameters, ...query.timeout }));
    }
    if (query.exemplar) {
      const parameters = { query: query.expr, start: seconds(query.start), end: seconds(query.end) };
      parts.push(this.part(query, '/api/v1/query_exemplars', parameters, true));
    }
    const done = await Promise.all(parts);
    const failed = done.filter((part) => part.error && !part.exemplars);
    const answer = { status: failed[0]?.status ?? 200, frames: done.flatMap((part) => part.frames) };
    if (failed.length) answer.error = failed.map((part) => part.error).join(' ');
    return answer;
  }

  /** The step, the aligned range and the expression without macros. */
  parse(model, range) {
    const variable = /^\$(\{?)__(rate_)?interval(_ms)?\}?$/;
    const wanted = variable.test(model.interval ?? '') ? '' : (model.interval ?? '');
    const scrape = this.settings.timeInterval;
    const least =
      wanted && wanted !== '0s'
        ? milliseconds(wanted)
        : model.intervalMs || (scrape ? milliseconds(scrape) : DEFAULT_SCRAPE_MS);
    const { roundInterval } = this.grafana.rangeUtil;
    const length = range.to - range.from;
    const calculated = length / (model.maxDataPoints || (model.maxDataPoints === undefined ? 100 : DEFAULT_RESOLUTION));
    let step = Math.max(
      calculated < least ? least : roundInterval(calculated),
      roundInterval(length / SAFE_RESOLUTION),
    );
    if (variable.exec(model.interval ?? '')?.[2]) step = rateInterval(step, scrape);
    else step *= model.intervalFactor || 1;
    const offset = (model.utcOffsetSec ?? 0) * 1000;
    const align = (at) => Math.floor((at + offset) / step) * step - offset;
    const instant = Boolean(model.instant);
    return {
      refId: model.refId,
      legendFormat: model.legendFormat ?? '',
      expr: this.interpolate(model, step, length),
      step,
      start: align(range.from),
      end: align(range.to),
      instant,
      range: Boolean(model.range) || !instant,
      exemplar: Boolean(model.exemplar),
      timeout: this.settings.queryTimeout ? { timeout: this.settings.queryTimeout } : {},
    };
  }

  interpolate(model, step, length) {
    const isRate = /^\$\{?__rate_interval\}?$/.test(model.interval ?? '');
    const isInterval = /^\$\{?__interval\}?$/.test(model.interval ?? '');
    const minimum = isInterval ? `${step}ms` : model.interval || this.settings.timeInterval;
    const rate = isRate ? step : rateInterval(model.intervalMs ?? 1000, minimum);
    const range = Math.round(length / 1000);
    // In this order, since one is the beginning of another.
    const values = [
      ['__interval_ms', step],
      ['__interval', formatInterval(step)],
      ['__range_ms', length],
      ['__range_s', range],
      ['__range', `${range}s`],
      ['__rate_interval_ms', rate],
      ['__rate_interval', goDuration(rate)],
    ];
    return values.reduce(
      (text, [name, value]) => text.replaceAll(`$${name}`, value).replaceAll(`\${${name}}`, value),
      model.expr ?? '',
    );
  }

  /** One request of a query and its frames, in the JSON that goes to the browser. */
  async part(query, path, parameters, exemplars = false) {
    const response = await this.request(path, parameters);
    const { status } = response;
    const meta = {
      executedQueryString: `Expr: ${query.expr}\nStep: ${goDuration(query.step)}`,
      custom: { calculatedMinStep: query.step },
    };
    if (!(response.ok || [400, 422, 503].includes(status))) {
      const text = (await response.text()).slice(0, 1024);
      return {
        exemplars,
        status,
        error: `unexpected response with status code ${status}: ${text}`,
        frames: [frame(query, '', [], meta)],
      };
    }
    const answer = await response.json();
    if (answer.status === 'error') {
      const frames = query.exemplar ? [] : [frame(query, '', [], meta)];
      return { exemplars, status, error: `${answer.errorType}: ${answer.error}`, frames };
    }
    const frames = exemplars ? exemplarFrames(query, answer.data) : resultFrames(query, answer.data);
    const notices = [
      ...(answer.warnings ?? []).map((text) => ({ severity: 'warning', text })),
      ...(answer.infos ?? []).map((text) => ({ severity: 'info', text })),
    ];
    if (!frames.length && notices.length) frames.push(frame(query, 'Warnings', [], {}));
    if (!frames.length && !query.exemplar) frames.push(frame(query, '', [], {}));
    for (const each of frames) if (notices.length) each.schema.meta.notices = notices;
    if (frames.length) {
      const first = frames[0].schema.meta;
      first.executedQueryString = meta.executedQueryString;
      first.custom = { ...first.custom, ...meta.custom, ...(answer.data.stats && { stats: answer.data.stats }) };
    }
    return { exemplars, status, frames };
  }
}

function resultFrames(query, { resultType, result }) {
  if (resultType === 'scalar' || resultType === 'string') {
    const type = resultType === 'scalar' ? 'number' : 'string';
    return [seriesFrame(query, resultType, {}, [result], type)];
  }
  return result.map((series) => {
    const histograms = series.histograms ?? (series.histogram && [series.histogram]);
    if (histograms) return heatmapFrame(query, series.metric, histograms);
    return seriesFrame(query, resultType, series.metric, series.values ?? [series.value]);
  });
}

function seriesFrame(query, resultType, labels, points, type = 'number') {
  const name = displayName(query, labels);
  const fields = [
    {
      name: 'Time',
      type: 'time',
      config: { interval: query.step },
      values: points.map(([at]) => Math.trunc(at * 1000)),
    },
    {
      name: labels.__name__ ?? 'Value',
      type,
      labels,
      config: name ? { displayNameFromDS: name } : {},
      values: points.map(([, value]) => (type === 'number' ? number(value) : value)),
    },
  ];
  return frame(query, '', fields, {
    type: resultType === 'scalar' ? 'numeric-multi' : 'timeseries-multi',
    custom: { resultType },
  });
}

/** A native histogram: a row for each bucket of each sample. */
function heatmapFrame(query, labels, samples) {
  const rows = samples.flatMap(([at, { buckets }]) =>
    (buckets ?? []).map((bucket) => [Math.trunc(at * 1000), ...bucket]),
  );
  const column = (name, type, pick, config = {}) => ({ name, type, labels, config, values: rows.map(pick) });
  const name = displayName(query, labels);
  const fields = [
    column('xMax', 'time', (row) => row[0], { interval: query.step }),
    column('yMin', 'number', (row) => number(row[2]), name ? { displayNameFromDS: name } : {}),
    column('yMax', 'number', (row) => number(row[3])),
    column('count', 'number', (row) => number(row[4])),
    column('yLayout', 'number', (row) => row[1]),
  ];
  return frame(query, '', fields, { type: 'heatmap-cells' });
}

/**
 * One frame of all series: of each step the exemplar with the highest value, and those below that are two standard deviations
 * away from the one before.
 */
function exemplarFrames(query, data) {
  const all = data.flatMap(({ seriesLabels, exemplars }) =>
    exemplars.map(({ labels, value, timestamp }) => ({
      ...seriesLabels,
      ...labels,
      Time: Math.trunc(timestamp * 1000),
      Value: number(value),
    })),
  );
  if (!all.length) return [];
  const mean = all.reduce((sum, { Value }) => sum + Value, 0) / all.length;
  const squares = all.reduce((sum, { Value }) => sum + (Value - mean) ** 2, 0);
  const deviation = all.length < 2 ? 0 : Math.sqrt(squares / (all.length - 1));
  const steps = new Map();
  for (const each of all) {
    const step = Math.floor(each.Time / query.step);
    steps.set(step, [...(steps.get(step) ?? []), each]);
  }
  const sampled = [];
  for (const step of steps.values()) {
    let last;
    for (const each of step.sort((a, b) => b.Value - a.Value)) {
      if (last === undefined || (deviation !== 0 && last - each.Value > 2 * deviation)) {
        sampled.push(each);
        last = each.Value;
      }
    }
  }
  sampled.sort((a, b) => a.Time - b.Time);
  const names = [...new Set(all.flatMap(Object.keys))].filter((name) => name !== 'Time' && name !== 'Value').sort();
  const field = (name, type) => ({ name, type, config: {}, values: sampled.map((each) => each[name] ?? '') });
  const fields = [field('Time', 'time'), field('Value', 'number'), ...names.map((name) => field(name, 'string'))];
  return [frame(query, 'exemplar', fields, { custom: { resultType: 'exemplar' } })];
}

/** In the JSON of a frame, what JSON has no number for stands beside its column. */
function frame(query, name, fields, meta) {
  const entities = fields.map(({ type, values }) => {
    if (type !== 'number') return null;
    const at = (wanted) => values.flatMap((value, index) => (Object.is(value, wanted) ? [index] : []));
    const found = { NaN: at(NaN), Inf: at(Infinity), NegInf: at(-Infinity) };
    return Object.values(found).some((indices) => indices.length) ? found : null;
  });
  const values = fields.map((field) =>
    field.values.map((value) => (Number.isFinite(value) || typeof value === 'string' ? value : null)),
  );
  const schema = {
    name: name || undefined,
    refId: query.refId,
    meta: { ...meta },
    fields: fields.map(({ values: _, ...field }) => field),
  };
  return { schema, data: { values, entities } };
}

function displayName({ legendFormat, expr }, labels) {
  if (legendFormat === '__auto' && Object.keys(labels).length) return '';
  if (legendFormat && legendFormat !== '__auto') {
    return legendFormat.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, name) => labels[name] ?? '');
  }
  const { __name__: name = '', ...rest } = labels;
  const pairs = Object.entries(rest).map(([label, value]) => `${label}=${JSON.stringify(value)}`);
  if (!pairs.length) return name || expr;
  return `${name}{${pairs.sort().join(', ')}}`;
}

function number(text) {
  return { NaN: NaN, '+Inf': Infinity, '-Inf': -Infinity }[text] ?? Number(text);
}

const seconds = (ms) => String(ms / 1000);

function rateInterval(intervalMs, scrape) {
  const scrapeMs = scrape ? milliseconds(scrape) : DEFAULT_SCRAPE_MS;
  return Math.max(intervalMs + scrapeMs, 4 * scrapeMs);
}

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000, y: 31_557_600_000 };

/** Milliseconds of `15s` or of a bare number of seconds. */
export function milliseconds(text) {
  const found = /^[<>]?(\d+(?:\.\d+)?)(ms|[smhdwy])?$/.exec(text);
  if (!found) throw new Error(`invalid interval ${text}`);
  return Number(found[1]) * UNITS[found[2] ?? 's'];
}

function formatInterval(ms) {
  const [name, unit] = [
    ['y', 31_536_000_000],
    ['d', UNITS.d],
    ['h', UNITS.h],
    ['m', UNITS.m],
    ['s', UNITS.s],
  ].find(([, unit]) => ms >= unit) ?? ['ms', 1];
  return ms < 1 ? '1ms' : `${Math.floor(ms / unit)}${name}`;
}

/** As Go prints a duration: `1m0s`, `1.5s`, `500ms`. */
export function goDuration(ms) {
  if (ms < 1000) return ms === 0 ? '0s' : `${ms}ms`;
  const [hours, minutes, rest] = [Math.floor(ms / UNITS.h), Math.floor(ms / UNITS.m) % 60, (ms % UNITS.m) / 1000];
  return `${hours ? `${hours}h` : ''}${hours || minutes ? `${minutes}m` : ''}${rest}s`;
}
