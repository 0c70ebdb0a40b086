"""promlake and a real Prometheus find the same targets: files, HTTP, DNS, Docker, Swarm, Kubernetes, EC2, Eureka.

    python tests/acceptance/discovery.py --promlake target/release/promlake

Both get one configuration and the same sources, which are made up here, and their answers to /api/v1/targets are compared: active
targets with discovered labels, labels and URLs, dropped ones, counts. Then the sources change, and they are compared again. What
differs for a reason is listed in NEWER. DNS needs a /etc/resolv.conf and a port 53 of its own: as root it runs in namespaces of its
own, otherwise that part is left out, and said so. Needs the Prometheus that tests/peers unpacks, or --prometheus.
"""
import argparse
import http.server
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from processes import free_port  # noqa: E402

# Labels that came after Prometheus 3.5, which is the one that is asked.
NEWER = re.compile(r"__meta_docker_container_image(_id)?|__scrape_native_histograms__|__convert_classic_histograms_to_nhcb__|"
                   r"__always_scrape_classic_histograms__|__meta_ec2_default_ipv6_address|(__meta_kubernetes_)?node_condition_.*")

CONTAINERS = [
    {"Id": "c1", "Names": ["/web"], "Image": "nginx:1", "ImageID": "sha256:a", "Labels": {"com.docker.compose.project": "shop"},
     "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}, {"PrivatePort": 53, "Type": "udp"}],
     "HostConfig": {"NetworkMode": "shop"}, "State": "running",
     "NetworkSettings": {"Networks": {"shop": {"NetworkID": "n1", "IPAddress": "172.18.0.2"},
                                      "back": {"NetworkID": "n2", "IPAddress": "172.19.0.2"}}}},
    {"Id": "c2", "Names": ["/host"], "Image": "i", "ImageID": "x", "Labels": {}, "Ports": [], "HostConfig": {"NetworkMode": "host"},
     "NetworkSettings": {"Networks": {"host": {"NetworkID": "n3", "IPAddress": ""}}}},
    {"Id": "c3", "Names": ["/side"], "Image": "i", "ImageID": "x", "Labels": {}, "Ports": [],
     "HostConfig": {"NetworkMode": "container:c1"}, "NetworkSettings": {"Networks": {}}},
]
NETWORKS = [{"Id": i, "Name": n, "Scope": "local", "Internal": n == "back", "Ingress": False, "Labels": {"a.b": "c"}}
            for i, n in (("n1", "shop"), ("n2", "back"), ("n3", "host"))]
NODES = [{"ID": "n1", "Spec": {"Role": "manager", "Availability": "active", "Labels": {"zone.x": "1"}},
          "Description": {"Hostname": "m", "Platform": {"Architecture": "x86_64", "OS": "linux"}, "Engine": {"EngineVersion": "27"}},
          "Status": {"State": "ready", "Addr": "10.0.0.1"},
          "ManagerStatus": {"Leader": True, "Reachability": "reachable", "Addr": "10.0.0.1:2377"}}]
SERVICES = [{"ID": "s1", "Spec": {"Name": "web", "Labels": {"l": "v"}, "Mode": {"Replicated": {"Replicas": 1}},
                                  "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1", "Hostname": "h"}}},
             "Endpoint": {"Ports": [{"Name": "http", "Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"}],
                          "VirtualIPs": [{"NetworkID": "n1", "Addr": "10.255.0.5/16"}]}, "UpdateStatus": {"State": "completed"}}]
TASKS = [{"ID": "t1", "ServiceID": "s1", "NodeID": "n1", "Slot": 1, "DesiredState": "running",
          "Spec": {"ContainerSpec": {"Image": "nginx:1", "Labels": {"c": "d"}}},
          "Status": {"State": "running", "ContainerStatus": {"ContainerID": "cc"},
                     "PortStatus": {"Ports": [{"Protocol": "tcp", "PublishedPort": 9100, "PublishMode": "host"}]}},
          "NetworksAttachments": [{"Network": {"ID": "n1"}, "Addresses": ["10.255.0.6/16"]}]}]

META = {"namespace": "shop", "labels": {"app.io/x": "web", "l": "v"}, "annotations": {"scrape/port": "80"}}
POD = {"metadata": {"name": "p1", "uid": "u1", **META,
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "x", "controller": True}]},
       "spec": {"nodeName": "k1", "containers": [
           {"name": "app", "image": "shop:1", "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"},
                                                        {"containerPort": 9090, "protocol": "TCP"}]},
           {"name": "bare", "image": "bare:1"}], "initContainers": [{"name": "init", "image": "init:1"}]},
       "status": {"podIP": "1.2.3.4", "hostIP": "10.0.0.1", "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
                  "containerStatuses": [{"name": "app", "containerID": "cri://1", "image": "", "imageID": "", "ready": True,
                                         "restartCount": 0}]}}
CLUSTER = {
    "/api/v1/pods": [POD],
    "/api/v1/nodes": [{"metadata": {"name": "k1", "labels": {"zone": "a"}}, "spec": {"providerID": "x://1"}, "status": {
        "conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "k1.x"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}}],
    "/api/v1/services": [
        {"metadata": {"name": "web", **META}, "spec": {"type": "ClusterIP", "clusterIP": "10.1.1.1",
                                                       "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}},
        {"metadata": {"name": "ext", **META}, "spec": {"type": "ExternalName", "externalName": "x.example", "ports": [{"port": 81, "protocol": "TCP"}]}}],
    "/api/v1/endpoints": [{"metadata": {"name": "web", **META}, "subsets": [{
        "addresses": [{"ip": "1.2.3.4", "nodeName": "k1", "targetRef": {"kind": "Pod", "namespace": "shop", "name": "p1"}},
                      {"ip": "5.6.7.8", "hostname": "h"}],
        "notReadyAddresses": [{"ip": "9.9.9.9", "targetRef": {"kind": "Node", "name": "k1"}}],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}]}],
    "/apis/discovery.k8s.io/v1/endpointslices": [{
        "metadata": {"name": "web-1", **META, "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "h2"}],
        "endpoints": [{"addresses": ["1.2.3.4"], "conditions": {"ready": True, "serving": True, "terminating": False}, "zone": "z",
                       "targetRef": {"kind": "Pod", "namespace": "shop", "name": "p1"}, "nodeName": "k1"},
                      {"addresses": ["5.6.7.8"], "conditions": {}, "hostname": "h"}]}],
    "/apis/networking.k8s.io/v1/ingresses": [{"metadata": {"name": "i", **META}, "spec": {
        "ingressClassName": "nginx", "tls": [{"hosts": ["*.example"]}],
        "rules": [{"host": "a.example", "http": {"paths": [{"path": "/x", "pathType": "Prefix", "backend": {}}]}}, {"host": "b.other"}]}}],
    "/api/v1/namespaces": [{"metadata": {"name": "shop", "labels": {"team": "t"}, "annotations": {"n": "1"}}}],
}
KINDS = {"pods": ("v1", "Pod"), "nodes": ("v1", "Node"), "services": ("v1", "Service"), "endpoints": ("v1", "Endpoints"),
         "endpointslices": ("discovery.k8s.io/v1", "EndpointSlice"), "ingresses": ("networking.k8s.io/v1", "Ingress"),
         "namespaces": ("v1", "Namespace")}
EUREKA = """<applications><application><name>SHOP</name><instance><instanceId>i1</instanceId><hostName>shop-1</hostName>
<ipAddr>10.0.0.1</ipAddr><status>UP</status><port enabled="true">8080</port><securePort enabled="false">443</securePort>
<countryId>1</countryId><dataCenterInfo class="x"><name>MyOwn</name></dataCenterInfo>
<metadata><management.port>8090</management.port></metadata></instance></application></applications>"""
EC2 = """<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet><item><ownerId>1</ownerId>
<instancesSet><item><instanceId>i-1</instanceId><imageId>ami</imageId><instanceState><code>16</code><name>running</name></instanceState>
<privateDnsName>p</privateDnsName><dnsName>d</dnsName><instanceType>t3.micro</instanceType><architecture>x86_64</architecture>
<placement><availabilityZone>eu-1a</availabilityZone></placement><subnetId>sub</subnetId><vpcId>vpc</vpcId>
<privateIpAddress>10.0.0.9</privateIpAddress><ipAddress>192.0.2.9</ipAddress><tagSet><item><key>Na:me</key><value>w&amp;b</value></item></tagSet>
<networkInterfaceSet><item><subnetId>sub</subnetId><attachment><deviceIndex>0</deviceIndex></attachment><ipv6AddressesSet>
<item><ipv6Address>2001:db8::1</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item></ipv6AddressesSet></item></networkInterfaceSet>
</item></instancesSet></item></reservationSet></DescribeInstancesResponse>"""
ZONES = """<DescribeAvailabilityZonesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><availabilityZoneInfo><item>
<zoneName>eu-1a</zoneName><zoneId>eu1-az1</zoneId></item></availabilityZoneInfo></DescribeAvailabilityZonesResponse>"""


class World:
    """What the sources say now."""

    def __init__(self):
        self.lock = threading.Condition()
        self.lists = [{"targets": ["127.0.0.1:1", "127.0.0.1:2"], "labels": {"from": "http", "drop": "no"}},
                      {"targets": ["127.0.0.1:3"], "labels": {"drop": "yes"}}]
        self.cluster = {path: {o["metadata"]["name"]: o for o in objects} for path, objects in CLUSTER.items()}
        self.version = 10
        self.events = []

    def put(self, path, name, change):
        with self.lock:
            self.version += 1
            new = json.loads(json.dumps(self.cluster[path].get(name)))
            new = change(new)
            kind = "MODIFIED" if new else "DELETED"
            if new:
                self.cluster[path][name] = new
            else:
                new = self.cluster[path].pop(name)
            self.events.append((self.version, path, kind, new))
            self.lock.notify_all()


def shown(obj, path, version):
    api, kind = KINDS[path.rsplit("/", 1)[1]]
    return {"apiVersion": api, "kind": kind, **obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}}


def handler(world):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, body, kind="application/json"):
            body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Api-Version", "1.44")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def refuse(self, code, reason):
            body = json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self):
            self.answer("OK", "text/plain")

        def do_POST(self):
            form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.answer(ZONES if form["Action"] == ["DescribeAvailabilityZones"] else EC2, "text/xml")

        def do_GET(self):
            url = urllib.parse.urlsplit(self.path)
            query = urllib.parse.parse_qs(url.query)
            # Docker's own client names the version of its API.
            path = re.sub(r"^/v1\.\d+/", "/", url.path)
            docker = {"/containers/json": CONTAINERS, "/networks": NETWORKS, "/nodes": NODES, "/services": SERVICES, "/tasks": TASKS}
            if path == "/list":
                self.answer(world.lists)
            elif path in docker:
                self.answer(docker[path])
            elif path == "/_ping":
                self.answer("OK", "text/plain")
            elif path == "/eureka/apps":
                self.answer(EUREKA, "application/xml")
            elif path in world.cluster and "sendInitialEvents" in query:
                # The client then lists first, as with servers that cannot do both in one.
                self.refuse(422, "Invalid")
            elif path in world.cluster and query.get("watch") in (["true"], ["1"]):
                self.watch(path, int(query["resourceVersion"][0] or 0))
            elif path in world.cluster:
                with world.lock:
                    api, kind = KINDS[path.rsplit("/", 1)[1]]
                    items = [shown(o, path, world.version) for o in world.cluster[path].values()]
                    self.answer({"apiVersion": api, "kind": kind + "List", "metadata": {"resourceVersion": str(world.version)}, "items": items})
            else:
                self.send_error(404)

        def watch(self, path, version):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                while True:
                    with world.lock:
                        new = [e for e in world.events if e[0] > version and e[1] == path]
                        if not new:
                            world.lock.wait(1)
                    for version, _, kind, obj in new:
                        line = json.dumps({"type": kind, "object": shown(obj, path, version)}).encode() + b"\n"
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            except OSError:
                pass

    return Handler


def dns_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split(".")) + b"\0"


def dns_server(zone):
    """Answers to (NAME, TYPE); what is not in the zone does not exist."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 53))

    def serve():
        while True:
            question, sender = sock.recvfrom(4096)
            at, parts = 12, []
            while question[at]:
                parts.append(question[at + 1:at + 1 + question[at]].decode())
                at += 1 + question[at]
            kind = struct.unpack(">H", question[at + 1:at + 3])[0]
            records = zone.get((".".join(parts), kind))
            head = question[:2] + struct.pack(">HHHHH", 0x8180 | (3 if records is None else 0), 1, len(records or []), 0, 0)
            body = question[12:at + 5]
            for record_kind, data in records or []:
                body += b"\xc0\x0c" + struct.pack(">HHIH", record_kind, 1, 5, len(data)) + data
            sock.sendto(head + body, sender)

    threading.Thread(target=serve, daemon=True).start()


DNS_ZONE = {
    ("_web._tcp.corp.test", 33): [(33, struct.pack(">HHH", 1, 2, 8080) + dns_name("a.corp.test")),
                                  (33, struct.pack(">HHH", 1, 2, 8081) + dns_name("b.corp.test"))],
    ("db.corp.test", 1): [(5, dns_name("real.corp.test")), (1, bytes([10, 0, 0, 7]))],
    ("db.corp.test", 28): [(28, bytes.fromhex("20010db8000000000000000000000007"))],
    ("corp.test", 15): [(15, struct.pack(">H", 10) + dns_name("mail.corp.test"))],
    ("corp.test", 2): [(2, dns_name("ns.corp.test"))],
}


def configuration(base, dns):
    jobs = [
        {"job_name": "file", "file_sd_configs": [{"files": ["sd/*.yml", "sd/*.json"]}],
         "relabel_configs": [{"source_labels": ["drop"], "regex": "yes", "action": "drop"},
                             {"source_labels": ["__meta_filepath"], "regex": ".*/(.*)", "target_label": "file"}]},
        {"job_name": "http", "http_sd_configs": [{"url": f"{base}/list", "refresh_interval": "1s"}],
         "relabel_configs": [{"source_labels": ["drop"], "regex": "yes", "action": "drop"}]},
        {"job_name": "docker", "docker_sd_configs": [{"host": base, "port": 99}]},
        {"job_name": "docker-all", "docker_sd_configs": [{"host": base.replace("http", "tcp"), "match_first_network": False}]},
        {"job_name": "eureka", "eureka_sd_configs": [{"server": f"{base}/eureka"}]},
        {"job_name": "ec2", "ec2_sd_configs": [{"endpoint": base, "region": "eu-1", "access_key": "a", "secret_key": "b"}]},
        {"job_name": "static", "static_configs": [{"targets": ["127.0.0.1:9", "127.0.0.1:9"], "labels": {"__address__": "no"}}]},
    ]
    for role in ("nodes", "services", "tasks"):
        jobs.append({"job_name": f"swarm-{role}", "dockerswarm_sd_configs": [{"host": base, "role": role}]})
    for role in ("pod", "service", "endpoints", "endpointslice", "node", "ingress"):
        attach = {"attach_metadata": {"node": True}} if role in ("pod", "endpoints", "endpointslice") else {}
        jobs.append({"job_name": f"k8s-{role}", "kubernetes_sd_configs": [{"api_server": base, "role": role, **attach}],
                     "relabel_configs": [{"regex": "__meta_kubernetes_(.+)", "action": "labelmap"}]})
    if dns:
        jobs += [{"job_name": "dns-srv", "dns_sd_configs": [{"names": ["_web._tcp", "none"], "refresh_interval": "1s"}]}]
        for kind, name in (("A", "db"), ("AAAA", "db.corp.test"), ("MX", "corp.test"), ("NS", "corp.test.")):
            jobs.append({"job_name": f"dns-{kind}", "dns_sd_configs": [{"names": [name], "type": kind, "port": 9100}]})
    return json.dumps({"scrape_configs": jobs})


def targets(url):
    """What is compared of an answer, by job."""
    data = json.load(urllib.request.urlopen(f"{url}/api/v1/targets", timeout=5))["data"]
    old = lambda labels: {k: v for k, v in labels.items() if not NEWER.fullmatch(k)}
    jobs = {}
    for t in data["activeTargets"]:
        entry = {"discovered": old(t["discoveredLabels"]), "labels": old(t["labels"]), "url": t["scrapeUrl"],
                 "interval": t["scrapeInterval"], "timeout": t["scrapeTimeout"]}
        jobs.setdefault(t["scrapePool"], []).append(entry)
    for t in data["droppedTargets"] or []:
        jobs.setdefault(t["scrapePool"], []).append({"dropped": old(t["discoveredLabels"])})
    for job, count in (data.get("droppedTargetCounts") or {}).items():
        jobs.setdefault(job, []).append({"dropped count": count})
    return {job: sorted(entries, key=lambda e: json.dumps(e, sort_keys=True)) for job, entries in jobs.items()}


def compare(what, servers, expected, deadline=90):
    """Until both say the same and `expected`, by name, holds of it."""
    end = time.time() + deadline
    while True:
        try:
            ours, theirs = (targets(url) for url in servers)
            missing = [name for name, holds in expected(theirs).items() if not holds]
            if ours == theirs and not missing:
                print(f"{what}: the same {sum('url' in t for l in ours.values() for t in l)} targets of {len(ours)} jobs")
                return
        except OSError:
            ours, theirs, missing = {}, {}, ["an answer"]
        if time.time() > end:
            for job in sorted(set(ours) | set(theirs)):
                if ours.get(job) != theirs.get(job):
                    print(f"--- {job}\npromlake   {json.dumps(ours.get(job), sort_keys=True)}\n"
                          f"prometheus {json.dumps(theirs.get(job), sort_keys=True)}")
            sys.exit(f"{what}: they differ" if ours != theirs else f"{what}: both lack {missing}")
        time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--promlake", required=True)
    parser.add_argument("--prometheus", default=os.path.expanduser("~/.cache/promlake/prometheus/usr/bin/prometheus"))
    args = parser.parse_args()
    if os.geteuid() == 0 and not os.environ.get("DISCOVERY_ALONE"):
        command = ["unshare", "-mn", sys.executable, *sys.argv]
        os.execvpe(command[0], command, {**os.environ, "DISCOVERY_ALONE": "1"})
    folder = tempfile.mkdtemp(prefix="promlake-discovery-")
    dns = bool(os.environ.get("DISCOVERY_ALONE"))
    if dns:
        subprocess.check_call(["ip", "link", "set", "lo", "up"])
        with open(f"{folder}/resolv.conf", "w") as f:
            f.write("nameserver 127.0.0.1\nsearch other.test corp.test\n")
        subprocess.check_call(["mount", "--bind", f"{folder}/resolv.conf", "/etc/resolv.conf"])
        dns_server(DNS_ZONE)
    else:
        print("left out: DNS, which needs root")
    world = World()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(world))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.mkdir(f"{folder}/sd")
    write = lambda name, text: open(f"{folder}/sd/{name}", "w").write(text)
    write("a.yml", "- targets: ['127.0.0.1:1', '127.0.0.1:2']\n  labels: {shard: 3, hex: 0x1F, on: yes, day: 2026-01-02}\n- {targets: []}\n")
    write("b.json", '[{"targets": ["127.0.0.1:3"], "labels": {"drop": "yes"}}, {"targets": ["127.0.0.1:4"]}]')
    open(f"{folder}/prometheus.yml", "w").write(configuration(f"http://127.0.0.1:{server.server_port}", dns))
    ports = [free_port(), free_port()]
    commands = [
        [args.promlake, f"--storage.url={folder}/lake", f"--web.listen-address=127.0.0.1:{ports[0]}", "--pg.listen-address=127.0.0.1:0"],
        [args.prometheus, f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{ports[1]}"],
    ]
    logs = [open(f"{folder}/{name}.log", "w") for name in ("promlake", "prometheus")]
    running = [subprocess.Popen([*c, f"--config.file={folder}/prometheus.yml"], stderr=log, stdout=log, cwd=folder)
               for c, log in zip(commands, logs)]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    try:
        wanted = {job["job_name"] for job in json.loads(configuration("http://x", dns))["scrape_configs"]}
        compare("at the start", urls, lambda jobs: {job: any("url" in t for t in jobs.get(job, [])) for job in wanted})
        write("a.yml", "- targets: ['127.0.0.1:5']\n")
        write("b.json", "[")
        write("c.json", '[{"targets": ["127.0.0.1:6"], "labels": {"file": "mine"}}]')
        world.lists = world.lists[:1]

        def failed(pod):
            pod["status"]["phase"] = "Failed"
            pod["metadata"]["labels"]["new"] = "label"
            return pod

        world.put("/api/v1/pods", "p1", failed)
        # Prometheus sees a pod's change in its slices only when these change after it; we see it at once.
        time.sleep(3)
        for path in ("/api/v1/endpoints", "/apis/discovery.k8s.io/v1/endpointslices"):
            for name in list(world.cluster[path]):
                world.put(path, name, lambda o: {**o, "metadata": {**o["metadata"], "annotations": {"again": "1"}}})
        world.put("/api/v1/services", "ext", lambda _: None)
        has = lambda jobs, job, key: any(key in json.dumps(t) for t in jobs.get(job, []))
        compare("after changes", urls, lambda jobs: {
            "a new file": has(jobs, "file", '"127.0.0.1:6"'), "a changed file": not has(jobs, "file", '"127.0.0.1:1"'),
            "a broken file's targets": has(jobs, "file", '"127.0.0.1:4"'), "a changed list": not has(jobs, "http", '"127.0.0.1:3"'),
            "pods": has(jobs, "k8s-pod", "Failed"), "endpoints": has(jobs, "k8s-endpoints", "Failed"),
            "slices": has(jobs, "k8s-endpointslice", "Failed"), "services": not has(jobs, "k8s-service", "x.example")})
        os.remove(f"{folder}/sd/b.json")
        compare("without a file", urls, lambda jobs: {"its targets gone": not has(jobs, "file", '"127.0.0.1:4"')})
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(30)
        if sys.exc_info()[0]:
            for name in ("promlake", "prometheus"):
                print(f"--- {name}.log", "".join(open(f"{folder}/{name}.log").readlines()[-15:]), sep="\n")


if __name__ == "__main__":
    main()
