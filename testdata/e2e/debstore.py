#!/usr/bin/env python3
"""Build a real Nix profile from Debian packages, with real Nix and without a binary cache.

usage: debstore.py PROFILE WORKDIR PACKAGE...

For every PACKAGE and its dependencies, downloads the .deb into WORKDIR/debs and builds
one derivation from it (see debstore-builder.sh). So store paths, the store's database,
references and NAR hashes are Nix's own. Then installs the PACKAGEs into the profile
PROFILE with nix-env. Existing downloads and builds are reused.

The second string of each line in WORKDIR/default.nix is a revision, empty at first. With another one
the store path changes, and so do those of all dependents, while names keep their length.

Needs root, and Debian's nix-bin and patchelf. Prints the profile's store path.
"""
import os
import re
import subprocess
import sys

# Packages that only configure a Debian system; nothing runs them here.
SKIP = {"adduser", "base-files", "base-passwd", "debconf", "debianutils", "dpkg",
        "init-system-helpers", "install-info", "passwd", "perl-base", "systemd", "tar", "udev"}

NIX_CONFIG = """\
substituters =
sandbox = false
filter-syscalls = false
build-users-group =
"""

NIX_HEAD = """\
let
  mk = name: rev: deb: deps: derivation {
    inherit name rev deps;
    system = builtins.currentSystem;
    builder = "/bin/bash";
    args = [ (builtins.path { path = "%(builder)s"; name = "debstore-builder.sh"; }) ];
    deb = builtins.path { path = deb; name = name + ".deb"; };
  };
"""


def run(*args, **kwargs):
    return subprocess.run(args, check=True, text=True, stdout=subprocess.PIPE, **kwargs).stdout


def read_packages():
    """Returns the control fields of all available packages by name."""
    packages = {}
    for record in run("apt-cache", "dumpavail").split("\n\n"):
        fields = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", record, re.M))
        if "Filename" in fields:
            packages.setdefault(fields["Package"], fields)
    return packages


def depends(packages, name):
    """Returns the names of the direct dependencies of name: of alternatives, the first available."""
    found = []
    for field in ("Pre-Depends", "Depends"):
        for clause in packages[name].get(field, "").split(","):
            for alternative in clause.split("|"):
                n = re.split(r"[\s(:]", alternative.strip())[0]
                if n in SKIP:
                    break
                if n in packages:
                    found.append(n)
                    break
    return list(dict.fromkeys(found))


def sort_packages(packages, roots):
    """Returns (name, dependencies) for the roots and all they need, dependencies first.

    Nix has no cycles, so edges that would close one are dropped.
    """
    order, state = [], {}

    def visit(name):
        state[name] = "open"
        kept = []
        for d in depends(packages, name):
            if state.get(d) == "open":
                continue
            if d not in state:
                visit(d)
            kept.append(d)
        state[name] = "done"
        order.append((name, kept))

    for root in roots:
        if root not in packages:
            sys.exit(f"debstore: no package {root}: run apt-get update first?")
        if root not in state:
            visit(root)
    return order


def version(packages, name):
    return re.sub(r"[^\w.+-]", "-", re.sub(r"^\d+:", "", packages[name]["Version"]))


def download(packages, order, directory):
    """Downloads the current version of each package, and returns the paths of the .debs by name."""
    def path(name):
        p = packages[name]  # the name that apt-get download uses
        return f"{directory}/{name}_{p['Version'].replace(':', '%3a')}_{p['Architecture']}.deb"

    want = [name for name, _ in order if not os.path.exists(path(name))]
    if want:
        run("apt-get", "download", "-q", "-o", "Acquire::Retries=3", *want, cwd=directory)
    return {name: path(name) for name, _ in order}


def expression(packages, order, debs, roots):
    here = os.path.dirname(os.path.abspath(__file__))

    def ident(name):
        return "p_" + re.sub(r"\W", "_", name)

    lines = [NIX_HEAD % {"builder": here + "/debstore-builder.sh"}]
    for name, deps in order:
        idents = " ".join(ident(d) for d in deps)
        lines.append(f'  {ident(name)} = mk "{name}-{version(packages, name)}" "" "{debs[name]}" [ {idents} ];\n')
    lines.append("in [ " + " ".join(ident(r) for r in roots) + " ]\n")
    return "".join(lines)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    profile, work, roots = sys.argv[1], os.path.abspath(sys.argv[2]), sys.argv[3:]
    os.makedirs(work + "/debs", exist_ok=True)
    packages = read_packages()
    order = sort_packages(packages, roots)
    debs = download(packages, order, work + "/debs")
    with open(work + "/default.nix", "w") as f:
        f.write(expression(packages, order, debs, roots))

    env = dict(os.environ, NIX_CONFIG=NIX_CONFIG)
    outs = run("nix-build", work + "/default.nix", "--no-out-link", "-j2", "-Q", env=env).split()
    run("nix-env", "-p", profile, "-i", *outs, env=env, stderr=subprocess.DEVNULL)
    print(os.path.realpath(profile))


main()
