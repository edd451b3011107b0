# What a build can say of the closure of a store path, and an image that is made within a build.
# Why builders end with a sleep is said in debstore-builder.sh.
{ object, program }:
let
  closure = builtins.storePath object;
  make = name: script: attrs: derivation ({
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/bash";
    args = [ "-c" ("set -e; export PATH=/usr/bin:/bin; " + script + " sleep 0.3 &") ];
  } // attrs);
  # With __structuredAttrs, outputs are not in the environment.
  structured = { __structuredAttrs = true; exportReferencesGraph.closure = [ closure ]; };
in {
  graph = make "graph" "cp graph $out;" { exportReferencesGraph = [ "graph" closure ]; };

  attrs = make "attrs" "source .attrs.sh; cp .attrs.json \${outputs[out]};" structured;

  # nixpkgs' closureInfo, with Python in place of jq.
  closureInfo = make "closure-info" ''
    source .attrs.sh
    mkdir ''${outputs[out]}
    python3 - > ''${outputs[out]}/registration <<END
    import json
    for p in json.load(open(".attrs.json"))["closure"]:
        print(p["path"], p["narHash"], p["narSize"], "", len(p["references"]), *p["references"], sep="\n")
    END
  '' structured;

  # In a sandbox there are the closure, and what a file says of it, and nothing else of the machine.
  image = derivation {
    name = "image";
    system = builtins.currentSystem;
    program = builtins.path { name = "export-profile"; path = program; };
    exportReferencesGraph = [ "graph" closure ];
    builder = "${closure}/bin/dash";
    args = [ "-c" ''
      set -e
      PATH=${closure}/bin
      if [ -e /nix/var ] || [ -e /var ]; then echo "this is no sandbox"; exit 1; fi
      $program image --no-cache --platform linux/amd64 --profile ${closure} --references graph oci:$out:v1
      sleep 0.3 &
    '' ];
  };
}
