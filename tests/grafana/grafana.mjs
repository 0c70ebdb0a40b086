// Grafana as far as its Prometheus data source sees it: a browser's globals, the service that requests go through, template
// variables, and data sources with settings of their own.
import { JSDOM } from 'jsdom';

import { grafana as load } from './bundle.mjs';
import { Promlib } from './promlib.mjs';

const GLOBALS = [
  'document',
  'localStorage',
  'sessionStorage',
  'location',
  'history',
  'Node',
  'Element',
  'HTMLElement',
  'DOMParser',
];

/** Variables as Grafana's own templates know them: `$name`, `${name}` and `[[name]]`; a list is formatted by who asks. */
class Templates {
  constructor() {
    this.variables = {};
  }

  replace(text, scoped = {}, format) {
    const pattern = /\$(\w+)|\[\[(\w+)\]\]|\$\{(\w+)\}/g;
    return (text ?? '').replace(pattern, (match, ...names) => {
      const name = names.slice(0, 3).find(Boolean);
      const value = scoped?.[name]?.value ?? this.variables[name];
      if (value === undefined) return match;
      const multi = Array.isArray(value);
      return typeof format === 'function' ? format(value, { name, multi, includeAll: false }) : String(value);
    });
  }

  containsTemplate(text) {
    return this.replace(text) !== text;
  }

  getVariables() {
    return Object.keys(this.variables).map((name) => ({ name }));
  }

  updateTimeRange() {}
}

/** Grafana's `backendSrv`: URL and body as the browser would send them, and errors as Grafana's code expects them. */
class BackendService {
  constructor(grafana) {
    this.grafana = grafana;
    this.servers = new Map();
  }

  fetch(options) {
    return this.observe(options, async (respond) => {
      const { status, ok, headers, body } = await this.call(options);
      const text = typeof body === 'string' ? body : await body.text();
      let data = text;
      try {
        data = JSON.parse(text);
      } catch {
        // Not every answer is JSON.
      }
      const response = { data, status, ok, headers, config: options, statusText: String(status), url: options.url };
      if (!ok) throw response;
      respond(response);
    });
  }

  chunked(options) {
    return this.observe(options, async (respond) => {
      const response = await this.call(options);
      const { status, ok, headers } = response;
      for await (const data of response.body.body)
        respond({ data, status, ok, headers, config: options, statusText: String(status) });
    });
  }

  async get(url) {
    throw new Error(`no such page: ${url}`);
  }

  observe(options, work) {
    return new this.grafana.Observable((observer) => {
      work((response) => observer.next(response)).then(
        () => observer.complete(),
        (error) => observer.error(error),
      );
    });
  }

  /** The route of Grafana's server that a request goes to. */
  async call({ url, method = 'GET', params = {}, data, headers = {} }) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(params)) {
      if (value === undefined || value?.length === 0) continue;
      for (const each of [value].flat()) query.append(name, each);
    }
    const form = headers['Content-Type'] === 'application/x-www-form-urlencoded';
    const body =
      data === undefined || typeof data === 'string'
        ? data
        : form
          ? new URLSearchParams(data).toString()
          : JSON.stringify(data);

    const resource = /^\/?api\/datasources\/uid\/([^/]+)\/resources\/(.*)$/.exec(url);
    if (resource) {
      const response = await this.servers.get(resource[1]).resource(method, resource[2], query, body);
      return { status: response.status, ok: response.ok, headers: response.headers, body: response };
    }
    const health = /^\/api\/datasources\/uid\/([^/]+)\/health$/.exec(url);
    if (health) {
      const answer = await this.servers.get(health[1]).health();
      return this.json(answer.status === 'OK' ? 200 : 400, answer);
    }
    if (url.startsWith('/api/ds/query')) {
      const request = JSON.parse(body);
      const answer = await this.servers.get(request.queries[0].datasource.uid).query(request);
      return this.json(Object.values(answer.results).some(({ error }) => error) ? 400 : 200, answer);
    }
    throw new Error(`Grafana's code asks for a page that is not known here: ${method} ${url}`);
  }

  json(status, answer) {
    return { status, ok: status === 200, headers: new Headers(), body: JSON.stringify(answer) };
  }
}

export class Grafana {
  static async load() {
    const { window } = new JSDOM('<!doctype html>', { url: 'http://localhost:3000/' });
    window.grafanaBootData = { settings: {}, user: { orgId: 1 }, navTree: [] };
    globalThis.window = window;
    for (const name of GLOBALS) globalThis[name] = window[name];
    Object.defineProperty(globalThis, 'navigator', { value: window.navigator, configurable: true });
    return new Grafana(await load());
  }

  constructor(code) {
    this.code = code;
    this.templates = new Templates();
    this.backend = new BackendService(code);
    this.settings = new Map();
    code.initializeLoggersRegistry();
    code.setTemplateSrv(this.templates);
    code.setBackendSrv(this.backend);
    code.setDataSourceSrv({ getInstanceSettings: (reference) => this.settings.get(reference?.uid ?? reference) });
  }

  /** A data source of the server at `url`, as somebody would have set it; `promlib` in it is Grafana's server. */
  dataSource(url, jsonData = {}) {
    const uid = `source-${this.settings.size + 1}`;
    const meta = { id: 'prometheus', name: 'Prometheus', type: 'datasource' };
    const settings = {
      id: this.settings.size + 1,
      uid,
      type: 'prometheus',
      name: uid,
      url,
      access: 'proxy',
      jsonData,
      meta,
      readOnly: false,
    };
    this.settings.set(uid, settings);
    const promlib = new Promlib(url, jsonData, this.code);
    this.backend.servers.set(uid, promlib);
    const source = new this.code.PrometheusDatasource(settings, this.templates);
    source.meta = meta;
    source.promlib = promlib;
    return source;
  }

  /** What a dashboard sends: a range in milliseconds, targets, and what else is said. */
  request(range, targets, more = {}) {
    const { dateTime } = this.code;
    const [from, to] = [dateTime(range.from), dateTime(range.to)];
    return {
      app: 'dashboard',
      requestId: 'Q1',
      dashboardUID: 'shop',
      panelId: 1,
      timezone: 'utc',
      interval: '1s',
      intervalMs: 1000,
      maxDataPoints: 1000,
      scopedVars: {},
      startTime: Date.now(),
      range: { from, to, raw: { from, to } },
      rangeRaw: { from, to },
      targets: targets.map((target, at) => ({ refId: 'ABC'[at], ...target })),
      ...more,
    };
  }

  timeRange({ from, to }) {
    return this.request({ from, to }, []).range;
  }
}

/** The last value of an observable. */
export function answer(observable) {
  return new Promise((resolve, reject) => {
    let last;
    observable.subscribe({ next: (value) => (last = value), error: reject, complete: () => resolve(last) });
  });
}
