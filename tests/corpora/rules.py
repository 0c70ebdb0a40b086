#!/usr/bin/env python3
"""Rule files and unit tests of rules that others wrote: promlake, by its own name and by that of promtool, and the promtool of
Debian sid must make the same of each.

    python tests/corpora/rules.py --promlake BINARY [--promtool BINARY] [-v] FOLDER...

As a corpus it takes the files of the packages that tests/peers unpacks. Each file is checked as rules and run as a test of rules,
since a file of another kind is to be refused too. Exit codes and what is printed must be the same; of a file that is refused
every mistake that promtool tells must be told, at its line. `EXPLAINED` lists what differs for a reason."""

import argparse
import collections
import concurrent.futures
import gzip
import os
import re
import subprocess
import sys
import tempfile

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "promlake")
PROMTOOL = os.path.join(CACHE, "promtool/usr/bin/promtool")
PACKAGES = os.path.join(CACHE, "rules")
# What the texts below were compared with.
VERSION = "3.5."
NAME = re.compile(r"\.(ya?ml|rules?|alerts?)(\.gz)?$")
# The rest of Prometheus' test data is for configurations.
SKIPPED = re.compile(r"/(config|discovery|web|promql|scrape)/|/copyright$")
LARGEST = 4 << 20
COMMANDS = [
    ["check", "rules"],
    ["check", "rules", "--lint=all", "--lint-fatal"],
    ["check", "rules", "--ignore-unknown-fields"],
    ["check", "rules", "--enable-feature=promql-experimental-functions"],
    ["test", "rules"],
    ["test", "rules", "--diff"],
    ["test", "rules", "--ignore-unknown-fields"],
    ["test", "rules", "--junit=JUNIT"],
]
SECONDS = 120

Printed = collections.namedtuple("Printed", "code out errors junit")
# A file is named from the folder that it lies in.
File = collections.namedtuple("File", "directory name")


DUPLICATES = re.compile(r"(?<=hand-side of the operation: )\[(\{.*?\}), (\{.*?\})\](?=;many-to-many)")


def settled(text):
    """Which of two series comes first is by chance."""
    return DUPLICATES.sub(lambda m: "[{}, {}]".format(*sorted(m.groups())), text)


def run(argv, file):
    """What a command prints about a file, where the times of a JUnit report are left out."""
    with tempfile.NamedTemporaryFile(prefix="promlake-junit-") as junit:
        argv = [word.replace("JUNIT", junit.name) for word in argv]
        try:
            done = subprocess.run([*argv, file.name], cwd=file.directory, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return Printed(f"ended after {SECONDS} s", "", "", "")
        report = re.sub(r'(time|timestamp)="[^"]*"', r"\1", junit.read().decode())
        texts = [settled(text) for text in (done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"), report)]
        return Printed(done.returncode, *texts)


# --- What is told of mistakes

OF_RULES = re.compile(r"^(?P<file>.*?): (?P<line>\d+):\d+: (?:\d+:\d+: )?(?P<says>(?:group \"|[Gg]roupname).*)$")
OF_TEMPLATES = re.compile(r"^(?P<file>.*?): (?P<says>group \".*)$")
OF_YAML = re.compile(r"^(?:(?P<file>.*?): )?yaml: (?:line (?P<near>\d+): )?(?P<says>.*)$")
OF_FIELDS = re.compile(r"^  line (?P<line>\d+): (?P<says>.*)$")
OTHERS = re.compile(r"^(?P<file>.*?): (?P<says>not a valid duration string: .*)$")
RULE = re.compile(r"group \"(?:[^\"\\]|\\.)*\", rule \d+, .*")
# The form of promlake.
OURS = re.compile(r"^(?P<file>.*?):(?P<line>\d+): (?P<says>.*)$", re.M)


def promtool_mistakes(text):
    """Line and words of each mistake; a line of 0 is none."""
    found = []
    for line in text.splitlines():
        if line.strip() in ("", "FAILED:") or line.endswith("yaml: unmarshal errors:"):
            continue
        match = next((m for p in (OF_FIELDS, OF_YAML, OF_RULES, OF_TEMPLATES, OTHERS) if (m := p.match(line))), None)
        if not match:
            return None
        parts = match.groupdict()
        found.append((int(parts.get("line") or 0), field_words(parts["says"])))
    return found


def field_words(says):
    """Go's types are not shown."""
    if field := re.match(r"field (\S+) not found in type ", says):
        return f"field {field[1]} not found in "
    if re.match(r"cannot unmarshal |mapping key |field \S+ already set", says):
        return ""
    return says


def mistakes_differ(ours, theirs):
    """How, or nothing. promtool ends at the first kind of mistakes; where those are of rules, no more may be told."""
    told = promtool_mistakes(theirs.errors)
    if not told:
        return "promtool's words are of no known form" if ours.errors != theirs.errors else ""
    mine = [(int(m["line"]), m["says"]) for m in OURS.finditer(ours.errors)]
    for line, says in told:
        if not any(says in words and line in (0, at) for at, words in mine):
            return f"not told: {says or 'a mistake'} at line {line}"
    of_rules = {m[0] for _, says in told if (m := RULE.search(says))}
    if len(of_rules) == len(set(told)):
        more = {m[0] for _, words in mine if (m := RULE.search(words))} - of_rules
        return f"told for no reason: {sorted(more)}" if more else ""
    return ""


def difference(ours, theirs):
    """What of the two differs, or nothing."""
    for part in ("code", "out"):
        if getattr(ours, part) != getattr(theirs, part):
            return part
    if ours.errors == theirs.errors:
        return "junit" if ours.junit != theirs.junit else ""
    if theirs.code != 1:
        return "errors"
    # A report has the words of the mistakes.
    wordless = [re.sub(r"<(error|failure)>.*?</", r"<\1></", printed.junit, flags=re.S) for printed in (ours, theirs)]
    return mistakes_differ(ours, theirs) or ("junit" if wordless[0] != wordless[1] else "")


# What later versions of Prometheus made different.
EXPLAINED = [
    ("duration expressions need no feature since 3.14", lambda theirs: "experimental duration expression is not enabled" in theirs.errors),
    ("tests have a start_timestamp since 3.9", lambda theirs: "field start_timestamp not found in type main.testGroup" in theirs.errors),
]


# --- Files


def files_of(folder):
    """Each with its folder and name, those of gzip unpacked beside the others."""
    found = []
    for directory, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = os.path.join(directory, name)
            if not NAME.search(name) or SKIPPED.search(path[len(folder) :]) or not os.path.isfile(path) or os.path.getsize(path) > LARGEST:
                continue
            if name.endswith(".gz"):
                name = name[: -len(".gz")]
                with gzip.open(path) as packed, open(os.path.join(directory, name), "wb") as plain:
                    plain.write(packed.read(LARGEST))
            found.append(File(directory, name))
    return sorted(set(found))


class Comparison:
    """Of files, counted by folder."""

    def __init__(self, promlake, promtool, directory):
        self.promlake, self.promtool, self.link = promlake, promtool, os.path.join(directory, "promtool")
        os.symlink(promlake, self.link)
        self.used = collections.Counter()

    def look_at(self, file, command):
        """The name of what promtool made of a file, and lines on what differs."""
        theirs = run([self.promtool, *command], file)
        ours = run([self.promlake, *command], file)
        linked = run([self.link, *command], file)
        what = f"{' '.join(command)} {os.path.join(file.directory, file.name)}"
        lines = [f"{what}: the link named promtool prints something else"] if linked != ours else []
        how = difference(ours, theirs)
        reason = how and next((reason for reason, applies in EXPLAINED if applies(theirs)), None)
        if reason:
            self.used[reason] += 1
        elif how:
            lines.append(f"{what}: {how}\n  promlake: {shown(ours)}\n  promtool: {shown(theirs)}")
        return verdict(command, theirs), lines

    def folder(self, folder):
        """How many were how, and lines on what differs."""
        counts, lines = collections.Counter(), []
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [(file, command) for file in files_of(folder) for command in COMMANDS]
            for seen, differences in pool.map(lambda job: self.look_at(*job), jobs):
                counts.update(seen)
                counts["differ"] += int(bool(differences))
                lines += differences
        return counts, lines


def verdict(command, printed):
    """What is counted; options change nothing of it."""
    plain = command in (COMMANDS[0], ["test", "rules"])
    found = re.search(r"SUCCESS: (\d+) rules found", printed.out)
    counts = {"commands": 1}
    if plain and command[0] == "check":
        counts |= {"files": 1, "good rule files": int(found is not None and found[1] != "0"), "rules": int(found[1]) if found else 0}
    elif plain:
        counts |= {"passing tests": int(printed.code == 0)}
    return counts


def shown(printed):
    return f"{printed.code} {(printed.out + printed.errors).strip()[:600]}".replace("\n", "\n    ")


def counted(counts):
    return ", ".join(f"{counts[name]} {name}" for name in ("files", "good rule files", "rules", "passing tests", "commands", "differ"))


# --- As a corpus, and by hand


def packages(settings):
    """Each of the packages passes where all of its files do. Their files are copied, since some are unpacked."""
    version = promtool_version(PROMTOOL)
    if not (version or "").startswith(VERSION):
        return None, None, f"promtool of Debian sid is {version or 'not there'}, the comparison is with {VERSION}x"
    if missing := [name for name in wanted_packages(settings) if not os.path.isdir(os.path.join(PACKAGES, name))]:
        return None, None, f"not there: {', '.join(missing)} of Debian sid"
    passed, text = 0, []
    with tempfile.TemporaryDirectory(prefix="promlake-rules-") as directory:
        comparison = Comparison(settings.promlake, PROMTOOL, directory)
        for name in wanted_packages(settings):
            copy = os.path.join(directory, name)
            subprocess.run(["cp", "-R", os.path.join(PACKAGES, name), copy], check=True)
            counts, lines = comparison.folder(copy)
            good = counts["good rule files"] > 0 and not lines
            passed += good
            text += [f"{'ok  ' if good else 'FAIL'} {name}: {counted(counts)}", *lines]
        text += [f"     {count} differ: {reason}" for reason, count in comparison.used.items()]
    return passed, len(wanted_packages(settings)), "\n".join(text)


def wanted_packages(settings):
    """As tests/peers lists them."""
    with open(os.path.join(settings.root, "tests/peers"), encoding="utf-8") as f:
        return re.search(r"^sid_rules=\((.*?)\)", f.read(), re.S | re.M)[1].split()


def promtool_version(promtool):
    if not os.path.exists(promtool):
        return None
    out = subprocess.run([promtool, "--version"], capture_output=True, text=True, timeout=60).stdout
    return (re.search(r"version (\d\S*)", out) or [None, None])[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promlake", required=True, help="the binary", type=os.path.abspath)
    parser.add_argument("--promtool", default=PROMTOOL, type=os.path.abspath)
    parser.add_argument("folders", nargs="+", metavar="FOLDER", type=os.path.abspath, help="where files of gzip are unpacked")
    args = parser.parse_args()
    differ = 0
    with tempfile.TemporaryDirectory(prefix="promlake-rules-") as directory:
        comparison = Comparison(args.promlake, args.promtool, directory)
        for folder in args.folders:
            counts, lines = comparison.folder(folder)
            differ += counts["differ"]
            print("\n".join([f"{folder}: {counted(counts)}", *lines]), flush=True)
        for reason, count in comparison.used.items():
            print(f"{count} differ: {reason}")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
