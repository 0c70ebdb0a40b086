"""Alerting survives: whatever fails, an alert that fires never looks resolved, and none is lost.

    python tests/acceptance/alerting.py --promlake target/release/promlake [--away 30] [SCENARIO ...]

Each scenario starts promlake, an exporter that is scraped every second, and an Alertmanager that writes down every post; behind it
is Debian's where that is of use, with a webhook that it tells. Then something fails for `--away` seconds. At the end of each: no post
had an `endsAt` that was over while the alert fired, Alertmanager saw no end, every alert that fired was told, and metric and log
line say what happened.

Needs moto (tests/peers), Debian's prometheus-alertmanager, and a C compiler for `clock_…`. Everything listens on loopback and
is stopped at the end.
"""
import argparse
import contextlib
import glob
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from outages import Proxy  # noqa: E402
from processes import Server, call, free_port, text_page, until  # noqa: E402
from servers import Checks, Peer, Scribe, alertmanager, alertmanager_alerts, seconds  # noqa: E402

# The clock that people see, set by the seconds in a file. Debian's faketime takes memory before it is ready, and the allocator of
# promlake asks it for the time then.
CLOCK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long none, *offset = &none;
__attribute__((constructor)) static void open_offset(void) {
    int file = open(getenv("CLOCK_OFFSET_FILE"), O_RDONLY);
    void *page = file < 0 ? MAP_FAILED : mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) _exit(99);
    offset = page;
}
int clock_gettime(clockid_t id, struct timespec *ts) {
    int result = syscall(SYS_clock_gettime, id, ts);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) ts->tv_sec += *offset;
    return result;
}
int gettimeofday(struct timeval *tv, void *zone) {
    struct timespec ts;
    int result = clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec, tv->tv_usec = ts.tv_nsec / 1000;
    return result;
}
time_t time(time_t *out) {
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return out ? (*out = ts.tv_sec) : ts.tv_sec;
}
"""
RESEND_S = 5
RULES = """
groups:
- name: alerts
  interval: 1s
  rules:
  - {alert: Always, expr: 'level > 10', labels: {severity: page}, annotations: {summary: '{{ $labels.of }} is {{ $value }}'}}
  - {alert: Waiting, expr: 'waits > 10', for: 20s}
  - {alert: Short, expr: 'short > 10', for: 3s}
  - {alert: Later, expr: 'later > 10', for: 2s}
  - {alert: Windowed, expr: 'rate(ticks_total[6s]) > 0'}
  - {record: beat, expr: vector(1)}
- name: recorded
  interval: 2s
  rules:
  - {record: 'level:sum', expr: sum(level)}
"""
HEAVY = """
- name: heavy
  interval: 1s
  rules:
  - {record: 'heavy:sum', expr: 'HEAVY'}
  - {alert: Beside, expr: 'level > 10', annotations: {summary: 'evaluated late'}}
"""


class Exporter:
    """Gauges that are set from outside."""

    def __init__(self):
        self.values = {"level": 20, "waits": 0, "short": 0, "later": 0}
        self.port = text_page(self.page).port

    def page(self):
        lines = [f'{name}{{of="{name}"}} {value}\n' for name, value in self.values.items()]
        lines.append(f"ticks_total {time.time() % 1e6}\n")
        return "".join(lines + [f'many{{i="{i}"}} {time.time() % 100 + i}\n' for i in range(200)])


class Watcher(threading.Thread):
    """When Alertmanager did not have an alert, once it had it."""

    def __init__(self, manager, name):
        super().__init__(daemon=True)
        self.manager, self.name, self.ended, self.had, self.gaps, self.starts = manager, name, False, False, [], set()

    def run(self):
        while not self.ended:
            with contextlib.suppress(OSError):
                found = alertmanager_alerts(self.manager, self.name)
                self.starts |= {a["startsAt"] for a in found}
                if self.had and not found:
                    self.gaps.append(time.time())
                self.had = self.had or bool(found)
            time.sleep(0.3)


class World:
    """promlake with an exporter, and one that writes down what Alertmanagers are told; `real` has Alertmanager behind it."""

    def __init__(self, stack, args, checks, name, real=False, bucket=False, others=(), rules=RULES, env=None, now=time.time, flags=(), resend=RESEND_S):
        self.checks, self.exporter, self.began = checks, Exporter(), time.time()
        self.folder = tempfile.mkdtemp(prefix=f"promlake-alerting-{name}-")
        stack.callback(self.remove, args.keep)
        self.hook, self.manager, self.proxy, storage = Scribe(), None, None, None
        if real:
            self.manager = stack.enter_context(alertmanager(os.path.join(self.folder, "alertmanager"), self.hook.port))
        self.scribe = Scribe(int(self.manager.url.rsplit(":", 1)[1]) if real else None, now)
        env = dict(env or {})
        if bucket:
            s3 = free_port()
            moto = os.path.join(os.path.dirname(sys.executable), "moto_server")
            home = os.path.join(self.folder, "moto")
            os.makedirs(home)
            stack.enter_context(Server([moto, "-H", "127.0.0.1", "-p", str(s3)], s3, "/moto-api/", home))
            urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{s3}/bucket", method="PUT")).close()
            self.proxy, storage = Proxy(s3), "s3://bucket/lake"
            env.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_REGION="us-east-1", AWS_ALLOW_HTTP="true",
                       AWS_ENDPOINT_URL=f"http://127.0.0.1:{self.proxy.port}")
        self.targets = [f"127.0.0.1:{port}" for port in (self.scribe.port, *others)]
        home = os.path.join(self.folder, "promlake")
        os.makedirs(home)
        self.home = home
        self.write_rules(rules)
        self.server = Peer("promlake", args.promlake, home, self.config(), f"--rules.alert.resend-delay={resend}s",
                           "--storage.flush-interval=20s", *flags, storage=storage, env=env)
        stack.enter_context(self.server)

    def config(self, extra=""):
        return ("global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: ['rules*.yml']\n"
                f"scrape_configs: [{{job_name: t, static_configs: [{{targets: ['127.0.0.1:{self.exporter.port}']}}]}}]\n"
                f"alerting: {{alertmanagers: [{{timeout: 3s, static_configs: [{{targets: {json.dumps(self.targets)}}}]}}]}}\n{extra}")

    def write_rules(self, text, name="rules.yml"):
        path = os.path.join(self.home, name)
        with open(path + ".new", "w") as file:
            file.write(text)
        os.replace(path + ".new", path)

    def remove(self, keep):
        if keep:
            print(f"     logs are in {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def check(self, name, ok, detail=""):
        return self.checks.check(f"  {name}", ok, detail)

    def told(self, name, since=0, within=20, scribe=None):
        return until(within, f"Alertmanager is told of {name}", lambda: (scribe or self.scribe).of(name, since))

    def state(self, name):
        found = self.server.alerts(name)
        return found[0]["state"] if found else "inactive"

    def check_posts(self, name, since=0, until_at=None, scribe=None):
        """That nobody was told that it ended: not by a post, and not by silence."""
        posts = [(at, seconds(a["startsAt"]), seconds(a["endsAt"])) for at, a in (scribe or self.scribe).of(name, since) if until_at is None or at < until_at]
        over = [f"{at - self.began:.1f} s: {end - at:+.1f}" for at, _, end in posts if end <= at]
        self.check(f"{name} was told {len(posts)} times, never as something that ended", posts and not over, over[:5])
        silent = [f"{b[0] - a[2]:.1f} s from {a[2] - self.began:.1f} s on" for a, b in zip(posts, posts[1:]) if b[0] > a[2]]
        self.check(f"{name} was told again before it was over", not silent, silent)
        return posts

    def logged(self, *words):
        return [line.strip() for line in self.server.logged() if all(word in line for word in words)]

    def panics(self):
        return [line.strip()[:300] for line in self.server.logged() if "panic" in line]


def set_up(world, real=False):
    world.told("Always")
    if real:
        until(10, "Alertmanager has it", lambda: alertmanager_alerts(world.manager, "Always"))
        watcher = Watcher(world.manager, "Always")
        watcher.start()
        return watcher


def check_end(world, watcher=None):
    """It is resolved when it is over, and that once."""
    if watcher:
        watcher.ended = True
        world.check("Alertmanager had it throughout", not watcher.gaps, [f"{at - world.began:.1f} s" for at in watcher.gaps[:5]])
        said = [a["status"] for _, a in world.hook.hooks if a["labels"]["alertname"] == "Always"]
        world.check("its receiver was told once", said == ["firing"], said)
    world.exporter.values["level"] = 0
    ended = time.time()
    until(15, "it is resolved", lambda: any(seconds(a["endsAt"]) <= at for at, a in world.scribe.of("Always", ended)))
    if watcher:
        until(15, "its receiver is told", lambda: [a for _, a in world.hook.hooks if a["labels"]["alertname"] == "Always" and a["status"] == "resolved"])
    world.check("and of its end", True, f"{time.time() - ended:.1f} s after it was over")
    world.check("no panic", not world.panics(), world.panics()[:2])


def bucket(stack, args, checks):
    world = World(stack, args, checks, "bucket", real=True, bucket=True)
    watcher = set_up(world, True)
    world.exporter.values["short"] = 20
    short = world.told("Short")[0][1]["startsAt"]
    time.sleep(4)
    before = world.server.alerts("Always")[0]["activeAt"]
    failures = world.server.metric("prometheus_rule_evaluation_failures_total")
    world.proxy.fail("refuse")
    away = time.time()
    # What is scraped meanwhile is not seen before the bucket is back.
    time.sleep(2)
    world.exporter.values["later"] = 20
    health, errors = set(), set()
    while time.time() < away + args.away:
        with contextlib.suppress(OSError):
            for rule in world.server.rules().values():
                health.add(rule["health"])
                errors |= {rule["lastError"]} if "lastError" in rule else set()
        time.sleep(1)
    failed = world.server.metric("prometheus_rule_evaluation_failures_total") - failures
    world.check("evaluations fail visibly: metric", failed > 0, failed)
    world.check("evaluations fail visibly: health and lastError", "err" in health and errors, f"{health} {list(errors)[:2]}")
    lines = world.logged("WARN", "rule")
    world.check("evaluations fail visibly: log", lines, lines[:1] + lines[-1:])
    world.proxy.mend()
    back = time.time()
    until(15, "rules are well again", lambda: all(rule["health"] == "ok" for rule in world.server.rules().values()))
    world.check("rules are well soon after it is back", True, f"{time.time() - back:.1f} s")
    later = world.told("Later")[-1]
    world.check("what began meanwhile is told", True, f"{later[0] - back:+.1f} s after it was back")
    time.sleep(RESEND_S * 2 + 2)
    world.check("it has been active all the time", world.server.alerts("Always")[0]["activeAt"] == before)
    samples = [t for s in world.server.query('ALERTS{alertname="Always"}[10m]') for t, _ in s["values"]]
    after = [t for t in samples if t > back + 5]
    world.check("ALERTS goes on", len(after) >= 5, f"{len(after)} samples after, {len([t for t in samples if away < t < back])} meanwhile")
    for name in ("Always", "Short", "Windowed"):
        world.check_posts(name)
    starts = {a["startsAt"] for _, a in world.scribe.of("Short")}
    world.check("no alert began anew", starts == {short}, starts)
    check_end(world, watcher)


def slow_bucket(stack, args, checks):
    """The bucket's server is stopped: connections are made, and nobody answers."""
    world = World(stack, args, checks, "slow-bucket", real=True, bucket=True)
    watcher = set_up(world, True)
    time.sleep(3)
    # The process of moto, the first of its servers that was started.
    moto = [c for c in find_children() if "moto_server" in c[1]][-1][0]
    os.kill(moto, signal.SIGSTOP)
    stack.callback(os.kill, moto, signal.SIGCONT)
    time.sleep(args.away)
    os.kill(moto, signal.SIGCONT)
    back = time.time()
    until(40, "rules are well again", lambda: all(rule["health"] == "ok" for rule in world.server.rules().values()))
    time.sleep(RESEND_S * 2 + 2)
    world.check_posts("Windowed")
    world.check("evaluation goes on", world.server.query("level:sum")[0]["value"][1] == "20", f"{time.time() - back:.1f} s after")
    world.check_posts("Always")
    check_end(world, watcher)


def find_children():
    out = []
    for stat in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError):
            with open(stat) as file:
                fields = file.read().rsplit(")", 1)
            pid = int(stat.split("/")[2])
            if int(fields[1].split()[1]) == os.getpid():
                with open(f"/proc/{pid}/cmdline") as file:
                    out.append((pid, file.read().replace("\0", " ")))
    return sorted(out)


def away(stack, args, checks):
    """Alertmanager is away, and alerts begin and end meanwhile."""
    # Alertmanager forgets an alert that it is not told again within four of these.
    resend = max(15, args.away // 3)
    world = World(stack, args, checks, "away", real=True, resend=resend)
    watcher = set_up(world, True)
    world.scribe.leave()
    gone = time.time()
    time.sleep(2)
    world.exporter.values["later"] = 20
    until(15, "it fires", lambda: world.state("Later") == "firing")
    world.exporter.values["short"] = 20
    until(15, "it fires", lambda: world.state("Short") == "firing")
    world.exporter.values["short"] = 0
    until(15, "it is over", lambda: world.state("Short") == "inactive")
    time.sleep(max(0, gone + args.away - time.time()))
    url = f"http://127.0.0.1:{world.scribe.port}/api/v2/alerts"
    errors = world.server.metric("prometheus_notifications_errors_total", alertmanager=url)
    world.check("errors are counted", errors > 0, errors)
    lines = world.logged("WARN", str(world.scribe.port)) + world.logged("ERROR", str(world.scribe.port))
    world.check("and logged", lines, lines[:1])
    world.scribe.come_back()
    back = time.time()
    at, alert = world.told("Later", back, resend + 10)[0]
    world.check("what fired meanwhile is told", seconds(alert["endsAt"]) > at, f"{at - back:.1f} s after it was back")
    at, alert = world.told("Short", back, resend + 10)[0]
    world.check("what ended meanwhile is told as ended", seconds(alert["endsAt"]) <= at, f"{at - back:.1f} s after it was back")
    world.told("Always", back, resend + 10)
    until(10, "Alertmanager has it", lambda: alertmanager_alerts(world.manager, "Later"))
    world.check_posts("Later")
    world.check_posts("Always")
    sent = world.server.metric("prometheus_notifications_sent_total", alertmanager=url)
    world.check("what was sent is counted", sent >= len(world.scribe.posts), f"{sent} of {len(world.scribe.posts)}")
    check_end(world, watcher)


def two(stack, args, checks):
    """Two Alertmanagers, one of which is away, or takes its time."""
    other = Scribe()
    world = World(stack, args, checks, "two", others=[other.port])
    world.told("Always")
    world.told("Always", scribe=other)
    other.leave()
    gone = time.time()
    world.exporter.values["later"] = 20
    at, alert = world.told("Later")[0]
    world.check("the one that is there is told at once", at - seconds(alert["startsAt"]) < 2, f"{at - seconds(alert['startsAt']):.2f} s")
    # One that takes connections and does not answer.
    silent = socket.create_server(("127.0.0.1", other.port))
    world.exporter.values["short"] = 20
    at, alert = world.told("Short")[0]
    world.check("and while the other takes connections only", at - seconds(alert["startsAt"]) < 2, f"{at - seconds(alert['startsAt']):.2f} s")
    time.sleep(max(0, gone + args.away - time.time()))
    urls = [f"http://127.0.0.1:{port}/api/v2/alerts" for port in (world.scribe.port, other.port)]
    errors = [world.server.metric("prometheus_notifications_errors_total", alertmanager=url) for url in urls]
    world.check("errors are those of one", errors[0] == 0 and errors[1] > 0, errors)
    known = [a["url"] for a in world.server.data("/api/v1/alertmanagers")["activeAlertmanagers"]]
    world.check("both are known all the time", sorted(known) == sorted(urls), known)
    silent.close()
    other.come_back()
    back = time.time()
    for name in ("Always", "Later", "Short"):
        world.told(name, back, scribe=other)
    world.check("the other is told when it is back", True, f"{time.time() - back:.1f} s")
    world.check_posts("Always")
    check_end(world)


def slow(stack, args, checks):
    """A rule takes longer than the interval of its group."""
    world = World(stack, args, checks, "slow")
    world.told("Always")
    time.sleep(15)
    # Each term is another one, so that none is evaluated once for all.
    terms, took = 4, 0
    while took < 2.5 and terms < 1000:
        terms *= 2
        expression = " + ".join(f"sum(quantile_over_time(0.{i:03}, many[1m:10ms]))" for i in range(1, terms + 1))
        before = time.time()
        world.server.query(expression)
        took = time.time() - before
    world.check("a rule that takes long", took > 1.2, f"{took:.1f} s for {terms} terms")
    world.write_rules(HEAVY.replace("HEAVY", expression).join(["groups:", ""]), "rules-heavy.yml")
    world.server.reload()
    world.told("Beside")
    began = time.time()
    time.sleep(args.away)
    group = f"{world.home}/rules-heavy.yml;heavy"
    names = [line for line in call(f"{world.server.url}/metrics")[1].decode().splitlines() if "iterations_missed_total{" in line and ";heavy" in line]
    missed = float(names[0].rsplit(" ", 1)[1]) if names else -1
    values = world.server.query("heavy:sum[10m]")
    evaluated = len([t for t, _ in values[0]["values"] if t > began]) if values else 0
    passed = time.time() - began
    world.check("missed iterations are counted", missed > 0, f"{missed} missed, {evaluated} evaluated in {passed:.0f} s; {names or group}")
    world.check("all iterations are one or the other", abs(missed + evaluated - passed) < passed * 0.3 + 6, f"{missed} + {evaluated} of {passed:.0f}")
    world.check_posts("Beside")
    beats = [t for s in world.server.query("beat[10m]") for t, _ in s["values"] if t > began]
    world.check("other groups go on", len(beats) > passed * 0.7, f"{len(beats)} evaluations in {passed:.0f} s")
    world.check_posts("Always")
    lines = world.logged("WARN", "heavy")
    world.check("a log line tells", lines, lines[:1])
    check_end(world)


def reload(stack, args, checks):
    """Reloads again and again while rules of the file change, and much is asked."""
    world = World(stack, args, checks, "reload")
    world.told("Always")
    active = world.server.alerts("Always")[0]["activeAt"]
    world.exporter.values["waits"] = 20
    pending = until(10, "it is pending", lambda: world.server.alerts("Waiting"))[0]
    asked, ended = [], threading.Event()

    def load():
        while not ended.is_set():
            with contextlib.suppress(OSError):
                call(f"{world.server.url}/api/v1/query_range?query=sum(rate(many[1m]))&start={time.time() - 300}&end={time.time()}&step=1")
                asked.append(time.time())

    loads = [threading.Thread(target=load, daemon=True) for _ in range(2)]
    for thread in loads:
        thread.start()
    began, count, states = time.time(), 0, []
    while time.time() < began + args.away:
        count += 1
        # The group of alerts changes every second time: other texts, and rules before and behind.
        more = f"  - {{record: more, expr: vector({count // 2})}}\n  - {{record: beat"
        changed = RULES.replace("is {{ $value }}", f"is now {{{{ $value }}}} {count // 2}").replace("  - {record: beat", more)
        if count // 2 % 2:
            changed = changed.replace("  rules:\n  - {alert: Always", "  rules:\n  - {record: before, expr: vector(2)}\n  - {alert: Always", 1)
        world.write_rules(changed)
        if count % 3 == 0:
            rule = f"{{record: coming, expr: 'vector({count})', labels: {{n: '{count}'}}}}"
            world.write_rules(f"groups: [{{name: g{count}, interval: 1s, rules: [{rule}]}}]", "rules-coming.yml")
        if count % 7 == 0:
            # One with a mistake changes nothing.
            world.write_rules("groups: [{name: g, rules: [{record: x, expr: 'sum('}]}]", "rules-bad.yml")
            status, _ = call(f"{world.server.url}/-/reload", b"")
            world.check("a file with a mistake is refused", status != 200, status) if status == 200 else None
            os.remove(os.path.join(world.home, "rules-bad.yml"))
        world.server.reload()
        found = world.server.alerts("Waiting")
        states.append((found[0]["state"], found[0]["activeAt"]) if found else None)
        time.sleep(0.5)
    ended.set()
    passed = time.time() - began
    world.check("reloads while much is asked", count > passed / 3, f"{count} reloads and {len(asked)} queries in {passed:.0f} s")
    lost = [s for s in states if s is None or s[1] != pending["activeAt"]]
    world.check("a pending alert keeps its time", not lost, f"{len(lost)} of {len(states)}: {lost[:2]}; {pending['activeAt']}")
    began_firing = world.told("Waiting", within=30)[0][1]["startsAt"]
    waited = seconds(began_firing) - seconds(pending["activeAt"])
    world.check("and fires in time", 20 <= waited < 26, f"{waited:.1f} s")
    world.check("one that fires keeps its time", world.server.alerts("Always")[0]["activeAt"] == active)
    starts = {a["startsAt"] for _, a in world.scribe.of("Always")}
    world.check("and its beginning", len(starts) == 1, starts)
    unchanged = [t for s in world.server.query("level:sum[10m]") for t, _ in s["values"] if t > began]
    gaps = [round(b - a, 3) for a, b in zip(unchanged, unchanged[1:])]
    world.check("a group that is the same goes on", max(gaps) < 2.5, f"{len(unchanged)} evaluations, gaps of {min(gaps)} to {max(gaps)} s")
    beats = [t for s in world.server.query("beat[10m]") for t, _ in s["values"] if t > began]
    world.check("one that changes too", len(beats) > passed * 0.7, f"{len(beats)} evaluations in {passed:.0f} s")
    time.sleep(4)
    coming = world.server.query("coming")
    world.check("series of groups that are gone end", len(coming) == 1, coming)
    texts = {a["annotations"]["summary"] for _, a in world.scribe.of("Always", time.time() - RESEND_S - 3)}
    world.check("new texts are told", texts and all("is now" in t for t in texts), texts)
    world.check_posts("Always")
    check_end(world)


def killed(stack, args, checks):
    """kill -9 while alerts fire: Alertmanager sees nothing of it."""
    world = World(stack, args, checks, "killed", real=True, resend=15)
    watcher = set_up(world, True)
    world.exporter.values["short"] = 20
    until(15, "Alertmanager has it", lambda: alertmanager_alerts(world.manager, "Short"))
    short = Watcher(world.manager, "Short")
    short.start()
    for _ in range(2):
        time.sleep(4)
        world.server.kill()
        time.sleep(5)
        world.server.restart()
        back = time.time()
        world.told("Short", back)
        world.told("Always", back)
    world.check("both fire again", world.state("Short") == world.state("Always") == "firing", f"{time.time() - back:.1f} s after the start")
    short.ended = True
    world.check("Alertmanager had the one that waits anew throughout", not short.gaps, short.gaps[:3])
    for name in ("Always", "Short"):
        world.check_posts(name)
    check_end(world, watcher)


def stopped(stack, args, checks):
    """SIGTERM: what is queued is sent, nothing is resolved, and series go on."""
    world = World(stack, args, checks, "stopped", real=True, resend=15)
    watcher = set_up(world, True)
    time.sleep(3)
    world.server.process.terminate()
    began = time.time()
    status = world.server.process.wait(30)
    world.check("it stops", status == 0, f"{status} after {time.time() - began:.1f} s")
    world.server.restart()
    world.told("Always", time.time())
    ends = world.server.query('count_over_time(ALERTS{alertname="Always"}[5m])')
    world.check("ALERTS goes on", len(ends) == 1, ends)
    world.check_posts("Always")
    check_end(world, watcher)


def clock_ahead(stack, args, checks):
    set_clocks(stack, args, checks, ((3600, "an hour ahead"), (0, "an hour back again")))


def clock_back(stack, args, checks):
    # No further: samples that are older than the newest by more than the window for such are refused.
    set_clocks(stack, args, checks, ((-3600, "an hour back"), (0, "an hour ahead again")))


def set_clocks(stack, args, checks, steps_to):
    """The clock is set by an hour, to and fro; that of Alertmanager as well."""
    folder = tempfile.mkdtemp(prefix="promlake-clock-")
    stack.callback(shutil.rmtree, folder, True)
    offset, file, library = [0], os.path.join(folder, "offset"), os.path.join(folder, "clock.so")
    with open(os.path.join(folder, "clock.c"), "w") as source:
        source.write(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source.name], check=True)

    def set_clock(by):
        # In place: it is mapped.
        with open(file, "r+b" if os.path.exists(file) else "wb") as out:
            out.write(struct.pack("=q", by))
        offset[0] = by

    set_clock(0)
    now = lambda: time.time() + offset[0]
    env = {"LD_PRELOAD": library, "CLOCK_OFFSET_FILE": file}
    world = World(stack, args, checks, "clock", env=env, now=now)
    world.began = 0
    world.told("Always")
    world.exporter.values["short"] = 20
    world.told("Short")
    for by, what in steps_to:
        world.exporter.values["waits"] = 20
        pending = until(10, "it is pending", lambda: world.server.alerts("Waiting"))[0]
        time.sleep(6)
        steps = world.server.metric("promlake_rule_clock_steps_total")
        before, real_since = offset[0], time.time()
        waited = now() - seconds(pending["activeAt"])
        set_clock(by)
        step = by - before
        until(15, "the step is seen", lambda: world.server.metric("promlake_rule_clock_steps_total") > steps)
        world.check(f"{what}: a metric tells", True, world.server.metric("promlake_rule_clock_steps_total") - steps)
        lines = world.logged("WARN", "the clock was set")
        world.check(f"{what}: a warning tells", lines, lines[-1:])
        since = now()
        until(20, "samples of the new time", lambda: [s for s in world.server.query("beat", now()) if s])
        world.check(f"{what}: rules are evaluated by the new clock", True, f"{time.time() - real_since:.1f} s after")
        # Told again, and as something that goes on.
        for name in ("Always", "Short"):
            posts = until(25, f"{name} is told again", lambda: [(at, a) for at, a in world.scribe.of(name) if abs(at - now()) < 600 and at >= since])
            ends = [seconds(a["endsAt"]) - at for at, a in posts]
            world.check(f"{what}: {name} is told again, and not as over", all(end > 0 for end in ends), [f"{end:+.1f} s" for end in ends])
            world.check(f"{what}: {name} fires on", world.state(name) == "firing", world.state(name))
        fires = until(40, "what waited fires", lambda: [a for a in world.server.alerts("Waiting") if a["state"] == "firing"])[0]
        moved = seconds(fires["activeAt"]) - seconds(pending["activeAt"])
        world.check(f"{what}: what waited goes on waiting", abs(moved - step) < 3, f"moved by {moved:+.1f} s, waited for {waited:.1f} s before")
        at, alert = until(10, "it is told", lambda: [p for p in world.scribe.of("Waiting") if abs(p[0] - now()) < 600 and p[0] >= since])[0]
        waited = seconds(alert["startsAt"]) - seconds(fires["activeAt"])
        world.check(f"{what}: and fires in time", 18 <= waited < 26, f"{waited:.1f} s")
        world.exporter.values["waits"] = 0
        until(20, "it is over", lambda: world.state("Waiting") == "inactive")
        # Before the next step, all posts of this time are in.
        time.sleep(2)
    resolved = [(at, a) for at, a in world.scribe.posts if a["labels"]["alertname"] in ("Always", "Short") and seconds(a["endsAt"]) <= at]
    world.check("nobody was told of an end", not resolved, resolved[:2])
    world.exporter.values["level"] = 0
    until(15, "it is resolved", lambda: [1 for at, a in world.scribe.posts[-20:] if a["labels"]["alertname"] == "Always" and seconds(a["endsAt"]) <= at])
    world.check("and of the real one", True)
    world.check("no panic", not world.panics(), world.panics()[:2])


SCENARIOS = [bucket, slow_bucket, away, two, slow, reload, killed, stopped, clock_ahead, clock_back]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--promlake", default="target/release/promlake")
    parser.add_argument("--away", type=int, default=30, help="seconds that something is away")
    parser.add_argument("--keep", action="store_true", help="the folders with logs")
    parser.add_argument("scenarios", nargs="*", help=", ".join(scenario.__name__ for scenario in SCENARIOS))
    args = parser.parse_args()
    checks = Checks()
    unknown = set(args.scenarios) - {scenario.__name__ for scenario in SCENARIOS}
    if unknown:
        sys.exit(f"no such scenario: {', '.join(unknown)}")
    for scenario in SCENARIOS:
        if args.scenarios and scenario.__name__ not in args.scenarios:
            continue
        print(f"{scenario.__name__}:", flush=True)
        with contextlib.ExitStack() as stack:
            try:
                scenario(stack, args, checks)
            except AssertionError as error:
                checks.check(f"  {scenario.__name__}", False, error)
    sys.exit(checks.end())


if __name__ == "__main__":
    main()
