# Files that a build can write about the closure of a store path, and an image built within a build.
# For the sleep at the end of builders see debstore-builder.sh.
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

  # A sandbox contains only the closure and a file about it, and nothing else of the machine.
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
